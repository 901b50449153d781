"""An RTSP server on loopback that sends RTP packets by UDP as it is told to, and RTP packets made by FFmpeg."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import av
import numpy as np
from av.video.stream import VideoStream

RATE = 25
TICKS = 90_000 // RATE
"""Of the clock of RTP, a frame."""
FORMATS = {
    "libx264": "H264",
    "libx265": "H265",
    "libvpx": "VP8",
    "mpeg4": "MP4V-ES",
    "mpeg2video": "MPV",
}
"""Encoder → name of its payload in SDP."""
_OPTIONS = {"libx264": {"bf": "0"}, "libx265": {"x265-params": "log-level=none:bframes=0:keyint=10"}}
_FRAME_SECONDS = 0.01  # between the packets of two frames
_QUIET_SECONDS = 0.5  # behind the last packet; FFmpeg waits 0.1 s for one that is late


def rtp_frames(encoder: str, count: int) -> list[list[bytes]]:
    """The RTP packets of each of ``count`` frames, in which nothing is lost; every tenth is a keyframe."""
    packets: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)

        def send(made: Sequence[av.Packet[VideoStream]]) -> None:
            for packet in made:
                output.mux(packet)
                with suppress(BlockingIOError):
                    while True:
                        packets.append(receiver.recv(4096))

        with av.open(f"rtp://127.0.0.1:{receiver.getsockname()[1]}", "w", format="rtp") as output:
            stream = output.add_stream(encoder, rate=RATE, options=_OPTIONS.get(encoder, {}))
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt, stream.gop_size = 160, 96, "yuv420p", 10
            for number in range(count):
                noise = np.random.default_rng(number).integers(0, 255, (96, 160, 3), np.uint8)
                send(stream.encode(av.VideoFrame.from_ndarray(noise, "rgb24")))
            send(stream.encode(None))
    frames: dict[bytes, list[bytes]] = {}
    for packet in packets:
        frames.setdefault(packet[4:8], []).append(packet)
    assert len(frames) == count
    return list(frames.values())


@contextmanager
def serving(frames: Sequence[Sequence[bytes]], encoder: str) -> Iterator[str]:
    """The URL of a server that sends the packets once to its first client, and then hangs up."""
    name = FORMATS[encoder]
    number = 32 if name == "MPV" else 96
    description = (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=a\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=video 0 RTP/AVP {number}\r\na=rtpmap:{number} {name}/90000\r\na=control:video\r\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, frames, description), daemon=True)
        thread.start()
        yield f"rtsp://127.0.0.1:{server.getsockname()[1]}/a"
        thread.join(timeout=30)


def _serve(server: socket.socket, frames: Sequence[Sequence[bytes]], description: str) -> None:
    client, _ = server.accept()
    with client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        port = _agreed_port(client, sender.getsockname()[1], description)
        for packets in frames:
            for packet in packets:
                sender.sendto(packet, ("127.0.0.1", port))
            time.sleep(_FRAME_SECONDS)
        time.sleep(_QUIET_SECONDS)


def _agreed_port(client: socket.socket, own: int, description: str) -> int:
    """Answer the requests up to PLAY; the port of the client."""
    port = 0
    with client.makefile("rb") as asked:
        while True:
            text = b"".join(iter(asked.readline, b"\r\n")).decode()
            more, body = "", ""
            if text.startswith("DESCRIBE"):
                more, body = f"Content-Type: application/sdp\r\nContent-Length: {len(description)}\r\n", description
            elif (found := re.search(r"client_port=(\d+)", text)) is not None:
                port = int(found[1])
                ports = f"client_port={port}-{port + 1};server_port={own}-{own + 1}"
                more = f"Transport: RTP/AVP;unicast;{ports}\r\n"
            sequence = re.search(r"CSeq: *\d+", text)
            assert sequence is not None
            client.sendall(f"RTSP/1.0 200 OK\r\n{sequence[0]}\r\nSession: 1\r\n{more}\r\n{body}".encode())
            if text.startswith("PLAY"):
                return port
