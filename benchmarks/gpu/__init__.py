"""The parts of ``benchmarks/gpu_suite.py``: tests and measurements on a GPU, each in its own process."""
