"""Drawn cartoons: pictures and clips whose faces are known exactly, made from nothing but a seed."""

from __future__ import annotations

from .picture import picture

__all__ = ["picture"]
