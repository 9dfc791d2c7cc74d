"""What a network sees on its way: taps at named points, and multi-scale maps for other heads."""
