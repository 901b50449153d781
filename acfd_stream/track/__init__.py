"""Finds which face is the same as before: detections in, tracks out."""

from acfd_stream.track.tracker import FaceTracker

__all__ = ["FaceTracker"]
