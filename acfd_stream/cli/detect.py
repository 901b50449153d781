"""``detect``: one JSON object per picture. A picture that cannot be read is reported and skipped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from acfd_stream.cli.exits import DONE, exit_code, print_error, print_note
from acfd_stream.cli.signals import STOP
from acfd_stream.config import DetectConfig
from acfd_stream.errors import MediaError


def run_detect(images: Sequence[str], model: str, device: str, config: DetectConfig, min_score: float) -> int:
    """Write the faces of every picture to stdout; the highest exit code of a picture is returned.

    Args:
        images: paths of the pictures.
        model: name or path of the model.
        device: that runs it.
        config: of the detector.
        min_score: faces with a lower score are left out, [0, 1].

    Raises:
        AcfdError: the model or the device cannot be used, or stdout cannot be written.
    """
    from acfd_stream.detect.detector import Detector
    from acfd_stream.picture_files import decode_picture, path_of

    with Detector.open(model, device=device, config=config) as detector:

        def detect(name: str) -> dict[str, Any]:
            path = path_of(name)
            image = decode_picture(read_noting(path), path)
            found = detector.detect(image, min_score=min_score)
            faces = zip(found.boxes_xyxy.tolist(), found.scores.tolist(), strict=True)
            size = (image.shape[0], image.shape[1])
            return picture_values(name, size, faces, is_truncated=found.is_truncated)

        return write_pictures(images, detect)


def write_pictures(images: Iterable[str], detect: Callable[[str], dict[str, Any]]) -> int:
    """Write what ``detect`` returns for every picture to stdout; the highest exit code of a picture is returned."""
    from acfd_stream.outputs.jsonl import json_line
    from acfd_stream.outputs.target import OutputTarget

    code = DONE
    target = OutputTarget(sys.stdout.buffer, is_streamed=True)
    for name in images:
        STOP.check()
        try:
            values = detect(name)
        except MediaError as error:
            is_named = any(path in str(error) for path in (name, str(Path(name))))
            print_error(str(error) if is_named else f"{name}: {error}")
            code = max(code, exit_code(error))
        else:
            target.write(json_line(values))
    return code


def read_noting(path: Path) -> bytes:
    """The content of a picture file. A note on stderr says when it holds more than one picture.

    Raises:
        MediaError: the file cannot be read, or is too large for a picture.
    """
    from acfd_stream.animation import is_animated
    from acfd_stream.picture_files import read_bytes

    data = read_bytes(path)
    if is_animated(data):
        print_note(f"{path}: is animated; the faces are those of its first picture")
    return data


def picture_values(
    name: str, size: tuple[int, int], faces: Iterable[tuple[Sequence[float], float]], *, is_truncated: bool
) -> dict[str, Any]:
    """The JSON object of a picture of ``size`` (height, width), from boxes and scores sorted by score.

    Boxes have 2 decimals of a pixel, scores 4.
    """
    from acfd_stream.outputs.face_values import SCORE_DECIMALS, rounded, rounded_box

    values_of_faces = [
        {"box": rounded_box((x1, y1, x2, y2)), "score": rounded(score, SCORE_DECIMALS)}
        for (x1, y1, x2, y2), score in faces
    ]
    values: dict[str, Any] = {"file": name, "width": size[1], "height": size[0], "faces": values_of_faces}
    if is_truncated:
        values["truncated"] = True
    return values
