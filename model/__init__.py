"""The network, its training and the drawn cartoons; installed as ``acfd_stream.model``. Imports nothing itself."""
