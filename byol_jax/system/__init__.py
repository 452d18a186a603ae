"""Interfaces to the operating system and the devices: paths, XLA settings, device placement."""
