"""Decodes a video in a process of its own, so that damage, a crash or greed of a decoder ends that video alone.

``DecoderProcess`` opens a source as ``open_video`` does, with the same frames and outcome. A fork server starts the
processes in milliseconds. Pictures come through shared memory, everything else as small messages. The files:

- ``decoder``: the caller's side, which opens a source and gives its frames.
- ``fork_server``: starts, watches and ends the processes; ``child`` what each of them does.
- ``channel``: messages; ``slots``: pictures in shared memory, ``mapping``; ``ffmpeg_memory``: FFmpeg decodes into it.
- ``sent_bytes``: the bytes of a stream; ``served_file``: a file object without a descriptor.
- ``watch``: ends a decoder that reads on without a picture; ``limits``: what a decoder may take.
"""
