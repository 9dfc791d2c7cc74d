"""Drawings of networks: what is drawn (`steps`, `outline`), where (`layered`, `flow`), and how."""
