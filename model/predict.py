"""A torch network as a detector, with the ops of the server."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from acfd_stream import ops
from acfd_stream.config import DetectConfig
from acfd_stream.ops.anchors import AnchorSpec, Letterbox, fit, fit_scale
from acfd_stream.types import Detections, FloatArray, Picture

from .network import Network
from .normalisation import MEAN, STD


def multiplies_bf16(device: str) -> bool:
    """Whether ``device`` has bf16 instructions; CPUs without them are many times slower in bf16."""
    return not device.startswith("cpu") or torch.cpu._is_avx512_bf16_supported()


def normalise(pictures: torch.Tensor) -> torch.Tensor:
    """Network input, channels last, of uint8 pictures [B, H, W, 3]."""
    mean, std = (torch.tensor(values, dtype=torch.float32, device=pictures.device) for values in (MEAN, STD))
    return ((pictures.float() - mean) / std).permute(0, 3, 1, 2)


class TorchDetector:
    """Detections of single pictures by a torch network; ``is_half`` computes in bf16 if training does."""

    def __init__(self, network: Network, spec: AnchorSpec, config: DetectConfig, *, is_half: bool = True) -> None:
        self.network, self.spec, self.config, self.is_half = network.eval(), spec, config, is_half

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        """Faces of a uint8 RGB picture [H, W, 3], in its pixels."""
        shape = (image.shape[0], image.shape[1])
        config = self.config
        views = [fit_scale(shape, scale) for scale in config.scales] or [fit(shape, config.size)]
        return ops.merge_scales([self._detect_view(image, view) for view in views], config.nms_iou, config.faces)

    @torch.inference_mode()
    def _detect_view(self, image: NDArray[np.uint8], box: Letterbox) -> tuple[FloatArray, FloatArray]:
        """Boxes in the picture's pixels and scores of one view."""
        view = ops.letterbox(Picture.from_rgb(image), box, MEAN)
        device = next(self.network.parameters()).device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.is_half and multiplies_bf16(device.type)):
            logits, deltas = self.network(normalise(torch.from_numpy(view)[None].to(device)))
        candidates = ops.decode_anchors(
            logits[0].sigmoid().cpu().numpy(), deltas[0].cpu().numpy(), box, self.spec,
            self.config.score_threshold, self.config.candidates,
        )  # fmt: skip
        return box.to_display(candidates.boxes_xyxy), candidates.scores
