"""From where a client can go on with its stream on another connection or server."""

from __future__ import annotations

from collections.abc import Callable

from acfd_stream.pipeline.checkpoint import SessionState
from acfd_stream.service.access.token_signer import TokenSigner
from acfd_stream.service.streams.response_queue import ControlMessage
from acfd_stream.v1 import stream_pb2


def resume_point(snapshot: Callable[[], SessionState], signer: TokenSigner) -> ControlMessage:
    """The resume point of a stream at its ``snapshot``, as a message to its client."""
    state = snapshot()
    token = signer.pack(state.values)
    point = stream_pb2.ResumePoint(token=token, next_index=state.next_result, next_frame=state.next_index)
    return ControlMessage("resume_point", point)
