"""Resume tokens: the state of a stream as bytes that a client keeps and sends back, perhaps to another server.

Format: ``AFT`` and a version byte, 16 bytes of HMAC over the rest, and the state as compressed JSON. With a key, only
servers with the same key accept the token. With an empty key, the HMAC is only a checksum against corruption.
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
_STATE_BYTES = 16 * 2**20  # far above any state; a small token must not inflate to fill the memory


def pack(state: Mapping[str, Any], key: bytes = b"") -> bytes:
    """A token with ``state``, which must be valid JSON."""
    text = json.dumps(state, separators=(",", ":"), allow_nan=False)
    # The state is mostly small pictures in base64, where only runs repeat; a deeper search takes longer for nothing.
    deflater = zlib.compressobj(1, strategy=zlib.Z_RLE)
    body = deflater.compress(text.encode()) + deflater.flush()
    return _MAGIC + _proof(body, key) + body


def unpack(token: bytes, keys: Sequence[bytes] = (b"",)) -> dict[str, Any]:
    """The state in ``token``, which was packed with one of ``keys``.

    Raises:
        ConfigError: it is not a token, or damaged, of another version, or from a server with another key.
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
