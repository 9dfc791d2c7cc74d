"""Search for a recipe: which values to try, what each trial found, which to try next.

Nothing here trains: `api.tuning` gives each trial's evaluations, one by one.
"""
