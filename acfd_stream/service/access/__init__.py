"""Access control: who may call, what they may do and read, and how a stream proves where it was.

| module | content |
|---|---|
| ``interceptor`` | checks the token of each call; refuses calls and streams that are not allowed |
| ``token_file`` | the token file: grants with name, hash, expiry, limits and rights |
| ``callers``, ``caller_gate`` | what each caller holds, against its limits; who calls |
| ``callers_page`` | ``/callers.json`` |
| ``permits`` | permits of running calls, and the end of a withdrawn permit |
| ``tls`` | server certificates |
| ``sources`` | which files and URLs TrackUri and jobs may read |
| ``token_signer``, ``resume_token`` | the key of resume tokens, and their binary format |
| ``file_watch`` | reads files again when they change |

The interceptor decides before a byte of the request is read. Without a token file every call is allowed and has no
name. With one, the metadata ``authorization: Bearer TOKEN`` names a grant. The call then runs with a ``Permit``:
``caller_name()`` is the name of the grant, by which streams and jobs know their owner, and ``current_permit()`` tells a
stream when to end. Several times a second ``AccessInterceptor.withdraw_invalid`` compares the running permits with the
token file; a permit whose grant is gone or has expired ends its stream with a status.

Token file, certificates and resume key are read again when they change. A file that became invalid is not used: the
previous content stays in use, and the log has an error.

A resume token contains the state of a stream. It is signed, and only servers with the same key accept it. The key is
in a file that all replicas share, else in the folder of the jobs or in the cache, else it ends with the process.

A caller is the name of its token, else its address. ``Callers`` counts what each one holds; ``current_caller()`` names
that of the current call. ``caller_name()`` is about who may see what, ``current_caller()`` about who takes how much.

This package may import ``settings``, ``handlers`` and ``status`` of the service, ``places``, ``wire`` (PEM files) and
``video.origin`` (whether a source is a URL). It knows neither streams nor jobs.
"""
