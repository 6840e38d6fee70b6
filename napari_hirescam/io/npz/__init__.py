"""Volumes in numpy's archives, RAD-ChestCT's among them."""
