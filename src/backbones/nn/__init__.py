"""Words that several papers share."""
