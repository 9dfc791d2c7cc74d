"""Looking inside a network without running it."""
