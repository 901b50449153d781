"""Normalisation of the network's input; written into every model file."""

MEAN = (124, 116, 104)
"""RGB mean of natural pictures; also the colour of padding."""
STD = (58.0, 57.0, 57.0)
"""RGB deviation that the input is divided by."""
