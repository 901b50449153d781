"""Annotated data sets: COCO, YOLO, WIDER FACE and iCartoonFace files become samples.

Every reader names the row that is wrong.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import ConfigError, MediaError
from acfd_stream.types import FloatArray

from .opencv import cv2

FACE, IGNORE, PARTIAL, LOOSE = 1, 2, 3, 4
"""Kinds of boxes: a face; a region that is neither face nor background; a region in which some faces have no box; a
region in which the boxes of faces follow another convention than the one to be learned."""
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_MOST_PIXELS = 1e6
_CLASSES = "classes.txt"  # names of the classes in a folder of YOLO files
SLACK = 0.01
"""Share of a side by which a YOLO box may leave the picture, for rounding."""
Row = tuple[Sequence[float], int, str]  # x1 y1 x2 y2, kind, and file and line


@dataclass(frozen=True)
class Sample:
    """One picture of a data set."""

    file: Path
    boxes_xyxy: FloatArray  # [N, 4]
    kinds: NDArray[np.int8]  # [N]
    places: tuple[str, ...] = ()  # file and line that each box is from, for messages

    @property
    def place(self) -> str:
        """Where the picture is named first, with a colon; empty if no box says it."""
        return f"{self.places[0]}: " if self.places else ""


def read_picture(file: Path, longest: int | None = None) -> tuple[NDArray[np.uint8], float]:
    """The picture as uint8 RGB, shrunk so that no side is above ``longest``, and the ratio used.

    Raises:
        MediaError: the file is missing or is not a picture.
    """
    try:
        encoded = np.frombuffer(file.read_bytes(), np.uint8)
    except OSError as error:
        raise MediaError(f"{file}: cannot be read ({error.strerror})") from error
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    if image is None:
        raise MediaError(f"{file}: is not a picture")
    ratio = 1.0 if longest is None else min(1.0, longest / max(image.shape[:2]))
    if ratio < 1:
        image = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB), ratio


def check_inside(sample: Sample, size: tuple[int, int]) -> None:
    """Refuse a sample with a box outside its picture of ``size`` (height, width).

    Raises:
        ConfigError: such a box.
    """
    for number, box in enumerate(sample.boxes_xyxy):
        if box[0] >= size[1] or box[1] >= size[0] or box[2] <= 0 or box[3] <= 0:
            corners = [round(float(value), 1) for value in box]
            where = f"{sample.places[number]}: box {corners}" if sample.places else f"{sample.file}: box {corners}"
            raise ConfigError(f"{where} lies outside the picture of {size[1]}×{size[0]} pixels")


def read_coco(annotation: Path, images: Path) -> list[Sample]:
    """Samples of a COCO file; every box is a face, a crowd becomes IGNORE.

    Raises:
        ConfigError: the file is missing or not COCO, or a box has no area or lies outside its picture.
    """
    text = _text(annotation)
    try:
        table = json.loads(text)
        sizes = {image["id"]: (image["width"], image["height"]) for image in table["images"]}
        if len(sizes) < len(table["images"]):
            raise ConfigError(f"{annotation}: two images have the same id")
        rows: dict[int, list[Row]] = {number: [] for number in sizes}
        categories = {category["id"] for category in table.get("categories", ())}
        for row in table["annotations"]:
            place = f"{annotation}: annotation {row['id']}"
            if categories and row.get("category_id") not in categories:
                raise ConfigError(f"{place} has the unknown category_id {row.get('category_id')!r}")
            if row["image_id"] not in sizes:
                raise ConfigError(f"{place} has the unknown image_id {row['image_id']!r}")
            x, y, width, height = row["bbox"]
            limit = sizes[row["image_id"]]
            is_inside = x < limit[0] and y < limit[1] and x + width > 0 and y + height > 0
            if not (width > 0 and height > 0 and is_inside):  # also refuses NaN
                raise ConfigError(f"{place} has box {row['bbox']} in a picture of {limit}")
            kind = IGNORE if row.get("iscrowd") else FACE
            rows[row["image_id"]].append(([x, y, x + width, y + height], kind, place))
        return [_sample(images / image["file_name"], rows[image["id"]]) for image in table["images"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{annotation}: is not a COCO file ({error!r})") from error


def read_yolo(labels: Path, images: Path) -> list[Sample]:
    """Samples of a folder of YOLO text files, ``class cx cy w h`` as shares of the picture; every class is a face.

    A picture of ``images`` without a text file, or with an empty one, has no faces. ``classes.txt`` in ``labels``, if
    there, has a line for each class.

    Raises:
        ConfigError: a folder is missing or empty, a text file has no picture or two, or a line is not five numbers, no
            box, or of an unknown class.
        MediaError: a picture cannot be read.
    """
    if not labels.is_dir():
        raise ConfigError(f"{labels}: is not a folder")
    files = _pictures(images)
    left = {path.relative_to(labels).with_suffix("") for path in labels.rglob("*.txt") if path.name != _CLASSES}
    if not left:
        raise ConfigError(f"{labels}: holds no text files with boxes")
    classes = len(list(_lines(labels / _CLASSES))) if (labels / _CLASSES).is_file() else None
    samples, named = [], dict[Path, Path]()
    for file in files:
        stem = file.relative_to(images).with_suffix("")
        if named.setdefault(stem, file) != file:
            raise ConfigError(f"{named[stem]} and {file} would share one file of boxes; rename one of them")
        rows = list(_yolo_rows(labels / f"{stem}.txt", classes)) if stem in left else []
        left.discard(stem)
        height, width = read_picture(file)[0].shape[:2] if rows else (1, 1)
        scale = np.array([width, height, width, height])
        samples.append(_sample(file, [(np.asarray(box) * scale, kind, place) for box, kind, place in rows]))
    if left:
        raise ConfigError(f"{labels}: {sorted(map(str, left))[0]}.txt has no picture in {images}")
    return samples


def _yolo_rows(path: Path, classes: int | None) -> Iterator[Row]:
    for number, line in _lines(path):
        fields = line.split()
        cx, cy, width, height = _numbers(path, number, fields, range(1, 5))
        if len(fields) > 5:
            raise ConfigError(f"{path}: line {number} has {len(fields)} columns; a box is class cx cy width height")
        if not fields[0].isdecimal() or (classes is not None and int(fields[0]) >= classes):
            allowed = "a number from 0 on" if classes is None else f"0 … {classes - 1}, the lines of {_CLASSES}"
            raise ConfigError(f"{path}: line {number} has the unknown class {fields[0]!r}; allowed is {allowed}")
        box = [cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2]
        if not (width > 0 and height > 0 and min(box) >= -SLACK and max(box) <= 1 + SLACK):
            raise ConfigError(f"{path}: line {number} is not a box of shares in 0 … 1: {line!r}")
        yield box, FACE, f"{path}: line {number}"


def read_wider(annotation: Path, images: Path) -> list[Sample]:
    """Samples of a WIDER FACE text file; faces marked invalid become IGNORE, or are left out without area.

    A picture is its path, the number of its faces, and a line ``x y w h blur expression illumination invalid
    occlusion pose`` for each; one without faces has the number 0 and a line of zeros.

    Raises:
        ConfigError: the file is missing, ends early, or a line is not in this format.
    """
    lines = list(_lines(annotation))
    samples, at = [], 0
    while at < len(lines):
        name = lines[at][1]
        count = _count(annotation, lines, at)
        rows: list[Row] = []
        for number, line in lines[at + 2 : at + 2 + count]:
            fields = line.split()
            x, y, width, height = _numbers(annotation, number, fields, range(4))
            is_invalid = len(fields) > 7 and fields[7] == "1"
            if width > 0 and height > 0:
                kind = IGNORE if is_invalid else FACE
                rows.append(([x, y, x + width, y + height], kind, f"{annotation}: line {number}"))
            elif not is_invalid:
                raise ConfigError(f"{annotation}: line {number} has a box without area: {line!r}")
        if at + 2 + count > len(lines):
            raise ConfigError(f"{annotation}: ends in the middle of {name}, which must have {count} faces")
        at += 2 + count
        if count == 0 and at < len(lines) and set(lines[at][1].split()) == {"0"}:
            at += 1
        samples.append(_sample(images / name, rows))
    return samples


def _count(annotation: Path, lines: list[tuple[int, str]], at: int) -> int:
    number, text = lines[at + 1] if at + 1 < len(lines) else (lines[at][0] + 1, "")
    if not text.isdecimal():
        raise ConfigError(f"{annotation}: line {number} must be the number of faces of {lines[at][1]}, got {text!r}")
    return int(text)


def read_icartoonface(annotation: Path, images: Path) -> list[Sample]:
    """Samples of an iCartoonFace detection CSV: ``name,x1,y1,x2,y2`` per face; further columns are ignored.

    Raises:
        ConfigError: the file is missing, or a row is not a name and a box with an area.
    """
    faces: dict[str, list[Row]] = {}
    for number, fields in enumerate(_csv_rows(annotation), 1):
        if not fields or (number == 1 and len(fields) > 1 and not _is_number(fields[1])):  # a heading
            continue
        x1, y1, x2, y2 = _numbers(annotation, number, fields, range(1, 5))
        if not (x2 > x1 and y2 > y1):
            raise ConfigError(f"{annotation}: line {number} has a box without area: {','.join(fields)!r}")
        faces.setdefault(fields[0].strip(), []).append(([x1, y1, x2, y2], FACE, f"{annotation}: line {number}"))
    return [_sample(images / name, rows) for name, rows in faces.items()]


def _csv_rows(path: Path) -> Iterator[list[str]]:
    try:
        yield from csv.reader(_text(path).splitlines())
    except csv.Error as error:
        raise ConfigError(f"{path}: is not a CSV file ({error})") from error


READERS = {"coco": read_coco, "yolo": read_yolo, "wider": read_wider, "icartoonface": read_icartoonface}
"""Kind of annotation → its reader(annotation, images)."""


def _sample(file: Path, rows: Sequence[Row]) -> Sample:
    for box, _, place in rows:
        if not np.all(np.abs(box) <= _MOST_PIXELS):  # also infinity, which JSON has
            raise ConfigError(f"{place}: box {list(map(float, box))} is larger than any picture")
    boxes = np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4)
    return Sample(file, boxes, np.array([kind for _, kind, _ in rows], np.int8), tuple(place for _, _, place in rows))


def _pictures(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    if not files:
        raise ConfigError(f"{folder}: holds no pictures")
    return files


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not a text file") from error


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not empty, with their numbers."""
    return ((number, line.strip()) for number, line in enumerate(_text(path).splitlines(), 1) if line.strip())


def _numbers(path: Path, line: int, fields: Sequence[str], columns: range) -> list[float]:
    """The finite numbers in ``columns``."""
    chosen = [fields[column] for column in columns if column < len(fields)]
    if len(chosen) != len(columns) or not all(_is_number(text) for text in chosen):
        raise ConfigError(f"{path}: line {line} must have numbers in columns {columns[0] + 1} to {columns[-1] + 1}")
    return [float(text) for text in chosen]


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
