"""Engines: what turns a network into a function from images to logits."""

from backbones.engines.table import ENGINES, Engine, find_engine, settled

__all__ = ["ENGINES", "Engine", "find_engine", "settled"]
