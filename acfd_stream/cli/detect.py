"""``detect``: pictures in, a JSON object a line out. A bad picture is said and passed over."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acfd_stream.cli.exits import DONE, complain, exit_code
from acfd_stream.cli.signals import STOP
from acfd_stream.config import DetectConfig
from acfd_stream.errors import MediaError
from acfd_stream.types import Detections


def run_detect(images: Sequence[str], model: str, device: str, config: DetectConfig) -> int:
    """Write the faces of every picture to stdout; the exit code is that of the worst picture.

    Raises:
        AcfdError: the model, the device or stdout is at fault, so that no picture could be done.
    """
    from acfd_stream.detect.detector import Detector
    from acfd_stream.outputs.jsonl import json_line
    from acfd_stream.outputs.target import Target

    code = DONE
    with Detector.open(model, device=device, config=config) as detector:
        target = Target(sys.stdout.buffer, is_streamed=True)
        for name in images:
            STOP.check()
            try:
                image = read_picture(Path(name))
            except MediaError as error:
                complain(str(error))
                code = max(code, exit_code(error))
                continue
            target.write(json_line(picture_values(name, image, detector.detect(image))))
    return code


def read_picture(path: Path) -> NDArray[np.uint8]:
    """The picture at ``path``, turned as its EXIF says: uint8 [H, W, 3] RGB.

    Raises:
        MediaError: there is no such file, or it is no picture.
    """
    import cv2

    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}") from error
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong is said below, in one line
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except cv2.error as error:
        raise MediaError(f"cannot decode {path}: {error.err}") from error
    if image is None:
        raise MediaError(f"cannot decode {path}: it is no picture, or only part of one")
    return np.ascontiguousarray(image[:, :, ::-1], np.uint8)


def picture_values(name: str, image: NDArray[np.uint8], detections: Detections) -> dict[str, Any]:
    """What is said of a picture; boxes to 2 decimals of a pixel, scores to 4, best face first."""
    from acfd_stream.outputs.jsonl import SCORE_DECIMALS, rounded, rounded_box

    faces = [
        {"box": rounded_box((x1, y1, x2, y2)), "score": rounded(score, SCORE_DECIMALS)}
        for (x1, y1, x2, y2), score in zip(detections.boxes_xyxy.tolist(), detections.scores.tolist(), strict=True)
    ]
    values: dict[str, Any] = {"file": name, "width": image.shape[1], "height": image.shape[0], "faces": faces}
    if detections.is_truncated:
        values["truncated"] = True
    return values
