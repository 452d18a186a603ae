"""Training runs: their start, their steps, and what is made of them at the end."""
