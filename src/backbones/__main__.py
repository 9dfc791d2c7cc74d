"""`python -m backbones` is `backbones`."""

from backbones.cli.main import main

main()
