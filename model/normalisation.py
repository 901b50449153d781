"""What pictures are normalised by on their way into the network; written into every model file."""

MEAN = (124, 116, 104)
"""RGB mean of natural pictures: what the input is centred on, and what a view is padded with."""
STD = (58.0, 57.0, 57.0)
"""Deviation that the input is divided by, RGB."""
