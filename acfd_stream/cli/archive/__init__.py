"""The commands ``archive run``, ``resume``, ``status`` and ``report``."""
