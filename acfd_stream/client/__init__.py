"""Clients of the service: video in, results out, over gRPC. Importing this package loads no server code and no NumPy.

    from acfd_stream.client import Client

    with Client("localhost:50051") as client, client.track("episode.mkv") as stream:
        for result in stream:
            print(result.index, [face.track_id for face in result.faces])

``AsyncClient`` offers the same for asyncio. Both send containers (a path, a file object, pieces of bytes), single
encoded frames, or the URI of a video that the server reads. Both also detect faces in one picture, ask for the
server's capacity and models, and manage background jobs (``client.jobs``).

A stream that breaks continues by itself: the client keeps the last resume token, waits, opens the stream again, and
skips results that it has already returned. Each result is returned once, with the same track IDs. Errors of the
service become errors of ``acfd_stream.errors``; the message is one line and names the server.

| module | content |
|---|---|
| ``client``, ``aio`` | the two clients and their streams; only these two send and receive |
| ``stream_progress`` | options of a stream, the media that is sent, and how far a stream is; no I/O of its own |
| ``replies`` | answers that are one message, as dataclasses |
| ``errors`` | gRPC status to our errors; when and how long to retry |
| ``jobs`` | jobs: submit, get, list, cancel, watch, read results |
| ``tls`` | certificates of a client |
| ``faststart`` | sends the index of an MP4 before its data, so that a server can decode while it receives |
| ``pacing`` | sends a file at the speed of a camera |
| ``load_test``, ``load_plot`` | many paced streams at once, and a chart of the result |

This package may import ``wire``, ``v1``, ``config``, ``types`` and ``errors``. PyAV (``pacing``) and matplotlib
(``load_plot``) are imported inside the functions that need them. A test measures the time that the import takes.
"""

from acfd_stream.client.aio import AsyncClient, AsyncTrackStream
from acfd_stream.client.client import Client, TrackStream
from acfd_stream.client.stream_progress import EncodedFrame, StreamEnd, StreamOptions, StreamStart
from acfd_stream.client.tls import ClientTls

__all__ = [
    "AsyncClient",
    "AsyncTrackStream",
    "Client",
    "ClientTls",
    "EncodedFrame",
    "StreamEnd",
    "StreamOptions",
    "StreamStart",
    "TrackStream",
]
