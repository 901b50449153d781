"""Reads the metadata of an ONNX file without any runtime.

Only the outermost message is read; the graph inside it is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from acfd_stream.errors import RunnerError

_QUANTISED = b"DequantizeLinear"
_METADATA_FIELD = 14  # ModelProto.metadata_props, messages of key = 1 and value = 2
_BYTES_BY_WIRE_TYPE = {1: 8, 5: 4}  # fixed64, fixed32


def read_metadata(path: Path) -> dict[str, str]:
    """The ``metadata_props`` of the ONNX file at ``path``, key → value.

    Raises:
        RunnerError: the file cannot be read or is no ONNX model.
    """
    data = memoryview(read_bytes(path))
    metadata: dict[str, str] = {}
    try:
        for number, entry in _fields(data):
            if number == _METADATA_FIELD:
                pair = {key: bytes(value).decode() for key, value in _fields(entry)}
                metadata[pair.get(1, "")] = pair.get(2, "")
    except (IndexError, ValueError) as error:
        raise RunnerError(f"model file {path} is not a whole ONNX model: {error}") from error
    return metadata


def is_quantised(path: Path) -> bool:
    """Whether the ONNX file at ``path`` holds layers in int8.

    Raises:
        RunnerError: the file cannot be read.
    """
    # The name of an operator is in the file as plain text, so this needs no onnx.
    return _QUANTISED in read_bytes(path)


def read_bytes(path: Path) -> bytes:
    """The content of the file; a RunnerError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunnerError(f"model file {path} cannot be read: {error.strerror or error}") from error


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(number, content) of every length-delimited field of a protobuf message; others are skipped."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            _, position = _varint(data, position)
            continue
        length = _BYTES_BY_WIRE_TYPE.get(wire_type)
        if wire_type == 2:
            length, position = _varint(data, position)
        if length is None or number == 0:
            raise ValueError(f"unknown protobuf field at byte {position}")
        if position + length > len(data):
            raise ValueError(f"it ends at byte {len(data)}, in the middle of a field")
        if wire_type == 2:
            yield number, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """(value, position after it) of the variable-length integer at ``position``."""
    value = shift = 0
    while shift < 64:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError(f"an integer of more than 64 bits at byte {position}")
