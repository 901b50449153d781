"""Drawn cartoons: pictures and clips with exact face boxes, generated from a seed."""

from __future__ import annotations

from .clip import Clip, render
from .encode import write_clip
from .episodes import render_episode
from .picture import picture
from .truth import Change, ClipTruth, FaceTruth, FrameTruth

__all__ = [
    "Change",
    "Clip",
    "ClipTruth",
    "FaceTruth",
    "FrameTruth",
    "picture",
    "render",
    "render_episode",
    "write_clip",
]
