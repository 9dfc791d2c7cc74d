"""The verbs: signatures and docstrings for people, and what they are composed of.

`backbones.create` and its like are these functions. What takes several parts is done in
`backbones.workflows`.
"""
