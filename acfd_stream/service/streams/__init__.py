"""The calls of FaceTrackService: each Track or TrackUri call is one ``StreamCall`` with three threads.

| module | content |
|---|---|
| ``servicer`` | the RPC methods: a call becomes a stream, or is answered at once |
| ``host`` | all streams of the server: admission, idle timeouts, drain |
| ``stream`` | one stream: its threads, its messages, its resume points, its end |
| ``request_reader`` | the thread that reads the client's messages and feeds the decoder |
| ``rate`` | what a stream reserves: first what it declares, then what it sends |
| ``resume_point`` | resume points as messages |
| ``response_queue`` | the bounded queue between the session and the call |
| ``registry`` | what the dashboard reads: open and recently closed streams, with their metrics |
| ``history`` | counts and latencies of the last minutes, per time step |
| ``preview`` | the last frame of a stream, kept only while the page shows it |

The path of one video through a stream:

    client → gRPC → RequestReader (thread 1) → ByteStream or FrameFeed
      → TrackSession (thread 2, uses the shared engine) → ResponseQueue → gRPC (thread 3, of the call) → client

Each arrow is bounded. A client that reads too slowly fills the response queue, which stops its session and then its
requests; other streams are not affected. Live streams drop frames instead, and every drop has a reason.

A stream can end in several ways: its media ends, the client cancels or times out, its token is withdrawn, or the server
drains. Each of them calls ``StreamCall.stop``, ``abandon`` or ``hand_over`` from its own thread; none of them waits.
Thread 2 then releases everything: engine queue, reservation, source, metrics.

During a drain, a live stream gets a resume point and ends at once. A file stream may finish within the drain time, and
gets a resume point after that.

This package may import ``access``, ``requests``, ``progress``, ``model_messages`` and ``settings`` of the service, and
the rooms ``pipeline``, ``video``, ``detect``, ``recording`` (the settings in a result header), ``metrics`` and
``malloc``. Streams share a frozen ``StreamContext`` and do not know their host.
"""
