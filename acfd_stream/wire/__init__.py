"""What both ends of a connection share: messages ↔ types, channel options, PEM files, trace metadata.

| module | content |
|---|---|
| ``messages`` | ``acfd_stream.types`` ↔ protobuf, in both directions and without loss |
| ``channel`` | keepalive settings, and the gRPC options of server and client |
| ``pem`` | reads certificates and keys, and checks them before gRPC sees them |
| ``trace`` | the W3C trace context of the current span, as call metadata |

The server (``service``) and the clients (``client``) import this package; it imports ``types``, ``errors``, ``config``
and the generated messages ``v1``, so it loads neither NumPy nor a server.

Enums have the same member names in ``types`` and in the protos, and ``messages`` maps them by name; a test compares
them. An unknown number from a newer server becomes the default of the field, or is left out of a list.

To add a field to a message: add it to the proto, to the dataclass in ``types``, and to both directions in ``messages``.
"""
