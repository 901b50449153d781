"""Finds faces in pictures: model files, the runtimes that run them, and the detector that uses both."""

from __future__ import annotations

from acfd_stream.detect.detector import Detector, ModelFile, find_model, models
from acfd_stream.detect.runner import ModelSpec, Runner, read_spec

__all__ = ["Detector", "ModelFile", "ModelSpec", "Runner", "find_model", "models", "read_spec"]
