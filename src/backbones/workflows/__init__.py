"""What takes several parts: training runs, folds, searches, comparisons, style transfer.

The public functions are these with signatures for people (`backbones.api`); the parts below know
nothing of each other. Here they form chains: folds and searches are many training runs.
"""
