"""What touches the operating system and the devices: paths, XLA's settings, device placement."""
