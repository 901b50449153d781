"""The characters of many videos, with their names and pictures, in one file."""
