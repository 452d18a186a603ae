"""Training runs: preparation, the training loop, and the export and evaluation at the end."""
