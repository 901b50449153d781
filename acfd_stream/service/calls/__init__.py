"""Serves blocking handlers from an event loop: a call holds no thread until its request has arrived.

| module | does |
|---|---|
| ``server`` | runs ``grpc.aio`` on a thread of its own, behind blocking ``start`` and ``stop`` |
| ``handler`` | finds the handler of a call, waits for its first message, and runs it inline or on a thread pool |
| ``pool`` | the threads for handlers, and how many calls may wait for one |
| ``call`` | the context of a call for blocking code, and what crosses between its thread and the loop |

Interceptors and servicers are plain blocking code with the interfaces of ``grpc.server``. Handlers of health and
reflection run inline, on the loop, so they answer when all pools are busy. A handler that runs inline must not block.

This package knows methods by name only. It may import ``handlers`` of the service.
"""
