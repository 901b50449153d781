"""Ultralytics YOLO11n ``track`` with its own ByteTrack: the architecture with random weights, for speed only.

Random weights find nothing, which favours it: almost no NMS and no tracks. Ultralytics is under the AGPL; this script
runs it and copies nothing.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turns import Look


def load(runtime: str = "torch", size: str = "640", frame: str = "1080x1920") -> tuple[str, Look]:
    """YOLO11n with torch, as ``YOLO(…).track`` runs it; or with OpenVINO, exported for this shape of ``frame``."""
    _kept.append(holder := tempfile.TemporaryDirectory(prefix="peers-"))
    folder = holder.name
    os.environ |= {
        "YOLO_OFFLINE": "true",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_VERBOSE": "false",
        "YOLO_CONFIG_DIR": folder,
    }
    import torch

    _stand_in_for_torchvision(torch)
    import ultralytics

    torch.manual_seed(0)
    model = ultralytics.YOLO("yolo11n.yaml")
    view: Any = int(size)
    threads, own = f"{torch.get_num_threads()} threads", f"ultralytics {ultralytics.__version__}"
    description = f"{own}, torch {torch.__version__}, {threads}, {size} px"
    if runtime == "openvino":
        import openvino

        view = _view(frame, int(size))
        os.chdir(folder)  # the export is in the working directory
        model = ultralytics.YOLO(model.export(format="openvino", imgsz=view, verbose=False), task="detect")
        version = openvino.__version__.split("-")[0]
        description = f"{own}, openvino {version}, {view[0]}×{view[1]} px"

    def look(clip: Path) -> Iterator[int]:
        settings = {"imgsz": view, "tracker": "bytetrack.yaml", "device": "cpu", "verbose": False, "save": False}
        for result in model.track(str(clip), stream=True, **settings):
            yield len(result.boxes)

    return description, look


def _view(frame: str, size: int) -> list[int]:
    """(height, width) of YOLO's letterbox for a frame: the longer side ``size``, the other a multiple of 32."""
    height, width = (int(side) for side in frame.split("x"))
    scale = size / max(height, width)
    return [-(-round(side * scale) // 32) * 32 for side in (height, width)]


def _stand_in_for_torchvision(torch: Any) -> None:
    """Make torchvision importable if its operators do not load with a CPU build of torch; YOLO does not use them."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)  # what it defines goes when it goes


_kept: list[Any] = []
"""What goes when nobody holds it: a folder, the names of operators."""
