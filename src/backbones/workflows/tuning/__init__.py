"""Search for a better recipe: many training runs, compared on the validation images."""
