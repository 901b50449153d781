"""One video becomes result files: lines, checkpoints, derived outputs and statistics, for every way to run it."""
