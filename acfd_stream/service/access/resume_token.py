"""Resume tokens: the state of a stream as bytes that a client keeps and sends back, perhaps to another server.

Format: ``AFT`` and a version byte, 16 bytes of HMAC over the rest, and the state as compressed JSON. Nothing of it is
read before the HMAC is right. Checkpoints of jobs are the same with an empty key: a checksum against damage.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from acfd_stream.errors import ConfigError

_MAGIC = b"AFT\x01"
_PROOF_BYTES = 16
_REST_BYTES = 4 * 2**20  # thumbnails of the last shots (0.5 MiB), and frames that are not settled with their faces
_DRAWING_MEANS, _PIXELS_OF_MEAN = 640 * 640, 256  # per channel: see ``held``, where blocks have up to 16 pixels a side
_BYTES_OF_MEAN = 9  # of three channels: 16 bits each, in base64, and what deflating may add


def most_state_bytes(frame_pixels: int) -> int:
    """Most bytes of JSON, and of a token, that the state of a stream takes whose frames have so many pixels."""
    return _REST_BYTES + _BYTES_OF_MEAN * max(_DRAWING_MEANS, frame_pixels // _PIXELS_OF_MEAN)


MOST_BYTES = most_state_bytes(8192 * 8192)
"""Of frames of the usual limit."""


def pack(state: Mapping[str, Any], key: bytes = b"") -> bytes:
    """A token with ``state``, which must be valid JSON."""
    text = json.dumps(state, separators=(",", ":"), allow_nan=False)
    # The state is mostly small pictures in base64, where only runs repeat; a deeper search takes longer for nothing.
    deflater = zlib.compressobj(1, strategy=zlib.Z_RLE)
    body = deflater.compress(text.encode()) + deflater.flush()
    return _MAGIC + _proof(body, key) + body


def unpack(token: bytes, keys: Sequence[bytes] | None = None, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """The state in ``token``.

    Args:
        token: what ``pack`` returned.
        keys: it must have been packed with one of these; None: with any, for who only looks at what it made itself.
        most_bytes: of the token, and of the state.

    Raises:
        ConfigError: it is not a token, or damaged, of another version, too large, or of a server with another key.
    """
    if len(token) > most_bytes:
        raise ConfigError(f"resume_token must have at most {most_bytes} bytes, got {len(token)}")
    magic, proof, body = token[:4], token[4 : 4 + _PROOF_BYTES], token[4 + _PROOF_BYTES :]
    if magic != _MAGIC:
        raise ConfigError("resume_token must be one that a server of this version gave out")
    if keys is not None and not any(hmac.compare_digest(proof, _proof(body, key)) for key in keys):
        raise ConfigError(
            "resume_token must be whole and from a server with the same key; this one is not. "
            "Servers without a resume_key do not share one: begin at the beginning"
        )
    try:
        inflater = zlib.decompressobj()
        text = inflater.decompress(body, most_bytes)
        if not inflater.eof:
            raise ConfigError(f"resume_token must hold at most {most_bytes} bytes of state, and all of it")
        state = json.loads(text, parse_constant=_refuse)
    except (zlib.error, ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError("resume_token must hold a state; this one does not") from error
    if not isinstance(state, dict):
        raise ConfigError("resume_token must hold a state; this one does not")
    return state


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _proof(body: bytes, key: bytes) -> bytes:
    return hmac.new(key, _MAGIC + body, hashlib.sha256).digest()[:_PROOF_BYTES]
