"""The parts of ``benchmarks/gpu_suite.py``: what is proven and measured on a GPU, each in a process of its own."""
