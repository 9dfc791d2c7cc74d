"""Which memory is alive when, and how large a batch may be."""
