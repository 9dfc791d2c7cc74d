"""The ledger: what a paper or tutorial claims, how to try it here, and what came out.

A row (`rows/*.toml`) names arms: networks that are trained or loaded, each with a recipe, what is
changed in it, and the protocols that measure it. `figures/*.json` holds what was found and on
what machine; `verdict` compares the two.
"""
