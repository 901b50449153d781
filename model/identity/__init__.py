"""The network that tells characters apart: from a crop of a face to an embedding of unit length.

``network`` is the network, ``losses`` what it learns by, ``crops`` and ``augment`` what it learns from, ``trainer`` the
training itself; ``metrics`` and ``scoring`` say how well it verifies and identifies.
"""
