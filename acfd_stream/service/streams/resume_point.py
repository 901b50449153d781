"""From where a client can go on with its stream on another connection or server."""

from __future__ import annotations

from collections.abc import Callable

from acfd_stream.pipeline.checkpoint import SessionState
from acfd_stream.service.access.token_signer import TokenSigner
from acfd_stream.service.streams.response_queue import ControlMessage
from acfd_stream.v1 import stream_pb2

_TOKEN_SHARE = 0.75  # of a message; its config has the rest


def resume_point(snapshot: Callable[[], SessionState], signer: TokenSigner, message_bytes: int) -> ControlMessage:
    """The resume point of a stream at its ``snapshot``, as a message to its client.

    Args:
        snapshot: of the session.
        signer: packs the token.
        message_bytes: most bytes of a message from the client; for a token above most of it, the characters so far
            are left out.
    """
    state = snapshot()
    token = signer.pack(state.values)
    if len(token) > _TOKEN_SHARE * message_bytes:
        token = signer.pack(state.without_characters().values)
    point = stream_pb2.ResumePoint(token=token, next_index=state.next_result, next_frame=state.next_index)
    return ControlMessage("resume_point", point)
