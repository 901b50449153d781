"""The server: video in, face tracks out, over gRPC, with a status page, Prometheus metrics and background jobs.

One process has one engine. Every stream is a ``TrackSession`` of ``pipeline`` on a thread of its own; all sessions
share the engine through the scheduler, which batches their pictures. A call travels outside in:

    event loop (calls) → interceptors (metrics → log → access → memory → status → malformed → not ready)
      → servicer of streams or jobs → one StreamCall or job → session → engine

| part | content | may import, besides the parts above it |
|---|---|---|
| ``settings`` | every setting of the server, as dataclasses, and the TOML file | ``wire`` |
| ``handlers`` | wraps the behaviour of a gRPC handler | nothing |
| ``status`` | exceptions → gRPC status with details; the only such place | ``wire`` |
| ``calls`` | ``grpc.aio`` on an event loop, and thread pools for blocking handlers | nothing |
| ``model_messages`` | models → protobuf | ``detect``, ``pipeline`` |
| ``health`` | the standard health service, and reflection | nothing |
| ``access`` | tokens, rights, limits of callers, TLS, readable sources, resume tokens | ``places``, ``video`` |
| ``progress`` | how much a client sends and reads over time; which one is too slow for its place | nothing |
| ``requests`` | a TrackConfig message → a checked ``StreamRequest`` | ``pipeline`` |
| ``logs``, ``tracing`` | log lines without secrets; OpenTelemetry spans | ``video`` |
| ``connections``, ``memory_guard`` | bounds on connections, files and memory | ``memory``, ``metrics`` |
| ``decoding`` | the decoder processes of videos | ``metrics``, ``video`` |
| ``streams`` | Track, TrackUri and the other calls of FaceTrackService | ``pipeline``, ``recording``, ``metrics`` |
| ``jobs`` | the calls of JobService, the job store and the workers | ``recording``, ``outputs``, ``metrics`` |
| ``interceptors`` | what every call passes through | ``metrics`` |
| ``dashboard`` | the status page and the metrics port, over ``streams`` | ``metrics``, ``outputs`` |
| ``server`` | builds all of it, starts it, drains it and stops it | everything here |

All may import ``types``, ``errors``, ``config`` and the generated messages ``v1``; ``streams`` and ``jobs`` do not
know each other. The table ``MAY_IMPORT`` of ``tests/test_layout.py`` is the exact version, and holds.

Two rules keep the parts apart. First, code raises errors of ``acfd_stream.errors`` or a ``StatusError``; only
``status`` turns them into a gRPC status. Second, each stream and each job has an owner, the name of the caller's token
(``access.permits.caller_name``), and a call sees only what its own caller owns.

Only ``cli`` imports the server, and only inside the command that starts it. Clients are in ``acfd_stream.client``.
"""
