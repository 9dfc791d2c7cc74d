"""Weights on disk: bundles, foreign checkpoints, and fitting one network's weights to another."""
