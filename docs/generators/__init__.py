"""The pages under "Know": written at each build from the package's own tables."""
