"""Resume tokens: where a stream was, in bytes that a client keeps and brings back, perhaps to another server.

``AFT`` and a version, 16 bytes that prove the rest, and the state as compressed JSON. With a key the proof is an
HMAC, and only servers with the same key take the token; without one it tells damage, not malice.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from acfd_stream.errors import ConfigError

_MAGIC = b"AFT\x01"
_PROOF_BYTES = 16
_STATE_BYTES = 16 * 2**20  # far above any state; a small token must not grow into all the memory there is


def pack(state: Mapping[str, Any], key: bytes = b"") -> bytes:
    """A token that holds ``state``, which JSON can hold."""
    text = json.dumps(state, separators=(",", ":"), allow_nan=False)
    # The state is mostly a few small pictures in base64, where nothing repeats but runs; to look for more takes longer.
    deflater = zlib.compressobj(1, strategy=zlib.Z_RLE)
    body = deflater.compress(text.encode()) + deflater.flush()
    return _MAGIC + _proof(body, key) + body


def unpack(token: bytes, keys: Sequence[bytes] = (b"",)) -> dict[str, Any]:
    """The state in ``token``, which was packed with one of ``keys``.

    Raises:
        ConfigError: it is no token, damaged, of another version, or of a server with another key.
    """
    magic, proof, body = token[:4], token[4 : 4 + _PROOF_BYTES], token[4 + _PROOF_BYTES :]
    if magic != _MAGIC:
        raise ConfigError("resume_token must be one that a server of this version gave out")
    if not any(hmac.compare_digest(proof, _proof(body, key)) for key in keys):
        raise ConfigError("resume_token must be whole and from a server with the same key; this one is not")
    try:
        inflater = zlib.decompressobj()
        text = inflater.decompress(body, _STATE_BYTES)
        if not inflater.eof:
            raise ConfigError(f"resume_token must hold at most {_STATE_BYTES} bytes of state")
        state = json.loads(text)
    except (zlib.error, ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError("resume_token must hold a state; this one does not") from error
    if not isinstance(state, dict):
        raise ConfigError("resume_token must hold a state; this one does not")
    return state


def _proof(body: bytes, key: bytes) -> bytes:
    return hmac.new(key, _MAGIC + body, hashlib.sha256).digest()[:_PROOF_BYTES]
