"""The classic image-classification networks, built as their papers print them."""
