"""``archive``: many videos, worked through, gone on with, looked at and reported on."""
