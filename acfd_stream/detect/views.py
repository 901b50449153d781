"""How a picture is laid into the network's input: once, or once per scale."""

from __future__ import annotations

from acfd_stream.config import DetectConfig
from acfd_stream.ops.anchors import Letterbox, fit, fit_scale

StageSeconds = dict[str, float]
"""Stage → seconds: queue (waiting for a thread or the device), preprocess, infer, decode_boxes, nms."""


def letterboxes(display_size: tuple[int, int], config: DetectConfig, view_side: int = 0) -> list[Letterbox]:
    """The letterboxes of a picture of ``display_size``: one, or one per scale.

    ``view_side`` is the longer side of a single view, pixels; 0: the config's.
    """
    if config.scales:
        return [fit_scale(display_size, scale) for scale in config.scales]
    return [fit(display_size, view_side or config.size)]
