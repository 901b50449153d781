"""Self-labelling: a trained model boxes the faces of videos, or the missing ones of a set of pictures.

``python -m acfd_stream.model.selflabel --videos DIR --out OUT`` writes frames and a COCO file, for a data row of kind
"selflabel" (``folder = OUT``); ``--data FACES --set NAME --out FILE.json`` adds boxes to a COCO file.
Detections with high scores in the picture and its mirror image become faces, other ones become regions to ignore.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acfd_stream.config import DetectConfig, require
from acfd_stream.errors import ConfigError, MediaError
from acfd_stream.types import Detections

from .command_line import Parser
from .evaluation import Detect, open_detect
from .opencv import cv2
from .readers import read_picture
from .scoring import overlaps

VIDEOS = (".mp4", ".mkv", ".webm", ".avi", ".mov")
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class LabelConfig:
    """Which detections become labels."""

    sure: float = 0.6  # lowest score of a face, in both views
    doubtful: float = 0.25  # lowest score of a region to ignore
    same_iou: float = 0.6  # overlap of the two views' boxes
    known_iou: float = 0.3  # detections that overlap an existing box by this are dropped
    seconds: float = 2.0  # between frames of a video
    most_frames: int = 200  # of one video

    def __post_init__(self) -> None:
        require(0 <= self.doubtful <= self.sure <= 1, "doubtful", self.doubtful, f"in 0 … sure ({self.sure})")
        require(self.seconds > 0, "seconds", self.seconds, "> 0")
        require(self.most_frames >= 1, "most_frames", self.most_frames, ">= 1")


def label(image: Pixels, detect: Detect, config: LabelConfig) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Boxes of a picture, and which of them are faces.

    Args:
        image: uint8 [H, W, 3] RGB.
        detect: the model.
        config: which detections count.

    Returns:
        float32 [N, 4] boxes_xyxy, the mean of both views, and bool [N].
    """
    straight, turned = detect(image), detect(np.ascontiguousarray(image[:, ::-1]))
    width = image.shape[1]
    mirrored = np.stack(
        [width - turned.boxes_xyxy[:, 2], turned.boxes_xyxy[:, 1], width - turned.boxes_xyxy[:, 0],
         turned.boxes_xyxy[:, 3]], 1,
    )  # fmt: skip
    boxes, sure = [], []
    for box, value in zip(straight.boxes_xyxy, straight.scores, strict=True):
        if value < config.doubtful:
            continue
        partner = _partner(box, mirrored, turned, config.same_iou)
        if partner is None:
            sure.append(False)
            boxes.append(box)
        else:
            sure.append(min(value, turned.scores[partner]) >= config.sure)
            boxes.append((box + mirrored[partner]) / 2)
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(sure, np.bool_)


def _partner(box: NDArray[np.float32], others: NDArray[np.float32], found: Detections, least: float) -> int | None:
    """The best scored box of ``others`` that overlaps ``box``."""
    near = np.flatnonzero(overlaps(box[None], others)[0] >= least)
    return int(near[np.argmax(found.scores[near])]) if len(near) else None


def frames(video: Path, config: LabelConfig) -> Iterator[Pixels]:
    """One frame per ``seconds`` of a video, uint8 RGB, without repeats of the one before.

    Raises:
        MediaError: the video cannot be opened.
    """
    reader = cv2.VideoCapture(str(video))
    if not reader.isOpened():
        raise MediaError(f"{video}: cannot be opened as a video")
    step = max(1, round((reader.get(cv2.CAP_PROP_FPS) or 24.0) * config.seconds))
    index, given, before = 0, 0, np.zeros((8, 8), np.float32)
    while given < config.most_frames and reader.grab():
        index += 1
        if (index - 1) % step:
            continue
        is_there, image = reader.retrieve()
        if not is_there:
            break
        small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (8, 8), interpolation=cv2.INTER_AREA)
        if np.abs(small.astype(np.float32) - before).mean() < 4:
            continue
        before = small.astype(np.float32)
        given += 1
        yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    reader.release()


class Table:
    """A COCO file to be written."""

    def __init__(self, table: dict[str, Any] | None = None) -> None:
        empty: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "face"}]}
        self.table = table or empty
        self._next = 1 + max((row["id"] for row in self.table["annotations"]), default=0)

    def add_image(self, file_name: str, size: tuple[int, int]) -> int:
        """Id of a new picture of ``size`` (height, width)."""
        number = 1 + len(self.table["images"])
        self.table["images"].append({"id": number, "file_name": file_name, "width": size[1], "height": size[0]})
        return number

    def add_box(self, image: int, box: NDArray[np.float32], is_sure: bool) -> None:
        """Add a box of the model; one that is not sure is to be ignored."""
        x1, y1, x2, y2 = (round(float(value), 1) for value in box)
        width, height = round(x2 - x1, 1), round(y2 - y1, 1)
        if width <= 0 or height <= 0:
            return
        row = {"id": self._next, "image_id": image, "category_id": 1, "bbox": [x1, y1, width, height]}
        self.table["annotations"].append({**row, "iscrowd": int(not is_sure), "area": width * height, "self": 1})
        self._next += 1

    def save(self, path: Path) -> None:
        """Write the file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.table))


def label_videos(videos: Sequence[Path], out: Path, detect: Detect, config: LabelConfig) -> Table:
    """Write frames to ``out/images`` and their faces to ``out/annotations/selflabel.json``.

    A video that cannot be opened is skipped with a line on stderr.
    """
    table = Table()
    (out / "images").mkdir(parents=True, exist_ok=True)
    for video in videos:
        try:
            for number, image in enumerate(frames(video, config)):
                boxes, sure = label(image, detect, config)
                name = f"{video.stem}_{number:05d}.jpg"
                cv2.imwrite(str(out / "images" / name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
                at = table.add_image(name, image.shape[:2])
                for box, is_sure in zip(boxes, sure, strict=True):
                    table.add_box(at, box, bool(is_sure))
        except MediaError as error:
            print(f"skipped: {error}", file=sys.stderr)
    if not table.table["images"]:
        raise ConfigError("no frame could be read from the videos")
    table.save(out / "annotations/selflabel.json")
    return table


def label_set(annotation: Path, images: Path, out: Path, detect: Detect, config: LabelConfig) -> Table:
    """The COCO file with the model's boxes added, written to ``out``.

    Raises:
        ConfigError: the file cannot be read.
        MediaError: a picture cannot be read.
    """
    try:
        table = Table(json.loads(annotation.read_text()))
        rows = {image["id"]: image["file_name"] for image in table.table["images"]}
        known: dict[int, list[list[float]]] = {number: [] for number in rows}
        for row in table.table["annotations"]:
            x, y, width, height = row["bbox"]
            known[row["image_id"]].append([x, y, x + width, y + height])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{annotation}: is not a COCO file ({error!r})") from error
    for number, name in rows.items():
        boxes, sure = label(read_picture(images / name)[0], detect, config)
        there = np.array(known[number], np.float32).reshape(-1, 4)
        known_iou = overlaps(boxes, there).max(axis=1, initial=0.0)
        for box, is_sure, iou in zip(boxes, sure, known_iou, strict=True):
            if iou < config.known_iou:
                table.add_box(number, box, bool(is_sure))
    table.save(out)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Box faces with a trained model, as training data."""
    parser = Parser(prog="selflabel", description=main.__doc__)
    parser.add_argument("--model", default="acfd-n", help="shipped name, or path of an .onnx, .pt or .safetensors file")
    parser.add_argument("--config", type=Path, help="the TOML file that .pt or .safetensors were trained with")
    parser.add_argument("--videos", type=Path, help="folder of videos")
    parser.add_argument("--data", type=Path, help="folder that holds annotations/ and images/")
    parser.add_argument("--set", help="annotation file of --data without .json, as scooby_train")
    parser.add_argument("--out", type=Path, required=True, help="a folder for --videos, a .json file for --set")
    parser.add_argument("--size", type=int, default=DetectConfig().size, help="longer side of the network's view")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of the network; 0: as many as cores")
    for name in ("sure", "doubtful", "seconds"):
        parser.add_argument(f"--{name}", type=float, default=getattr(LabelConfig, name))
    return parser.run(_label, arguments)


def _label(options: argparse.Namespace) -> None:
    config = LabelConfig(sure=options.sure, doubtful=options.doubtful, seconds=options.seconds)
    settings = DetectConfig(size=options.size, threads=options.threads)
    with open_detect(options.model, options.config, "auto", settings) as detect:
        if options.videos:
            videos = sorted(path for path in options.videos.iterdir() if path.suffix in VIDEOS)
            table = label_videos(videos, options.out, detect, config)
        elif options.data and options.set:
            annotation = options.data / "annotations" / f"{options.set}.json"
            table = label_set(annotation, options.data / "images", options.out, detect, config)
        else:
            raise ConfigError("selflabel needs --videos, or --data and --set")
    own = [row for row in table.table["annotations"] if row.get("self")]
    doubtful = sum(row["iscrowd"] for row in own)
    print(f"{len(table.table['images'])} pictures, {len(own) - doubtful} new faces, {doubtful} doubtful")


if __name__ == "__main__":
    raise SystemExit(main())
