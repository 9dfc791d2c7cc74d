"""`backbones demo`: the whole working life of a network in a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backbones.cli.console import say
from backbones.cli.following import follow, tell_end
from backbones.cli.options import Json, Quiet


def demo(
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="Run folder; an earlier demo in it is replaced."
        ),
    ] = Path("runs/demo"),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train, evaluate and predict, in a minute.

    LeNet-5 learns the handwritten digits that come with scikit-learn; nothing is downloaded.
    """
    from backbones import predict_demo, start_demo

    run = start_demo(out)
    follow(run, as_json=json)
    tell_end(run, as_json=json)
    images = predict_demo(out)
    say(f"{images.num_right} of {images.num_images} test images classified correctly")
    say("")
    say(f"Look at  {images.page}, {out / 'curves.png'} and {out / 'confusion.png'};")
    say(f"what it got wrong is in {out / 'mistakes.html'}")
    say("Try next:")
    say(f"  backbones predict {out} {images.folder}")
    say(f"  backbones evaluate {out} digits --protocol ten_crop")
    say(f"  backbones show {out}")
    say("  backbones train FOLDER_OF_PHOTOS --recipe finetune")
