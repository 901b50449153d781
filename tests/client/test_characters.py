"""What clients get of the characters of a video: from a server that knows them, and from one that does not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from acfd_stream.characters import Character, CharacterLink
from acfd_stream.client.aio import AsyncClient
from acfd_stream.client.client import Client
from acfd_stream.client.stream_progress import StreamOptions
from acfd_stream.v1 import face_track_pb2, stream_pb2, types_pb2
from tests.client.test_client import Scripted, frames, started
from tests.service.small_server import small_server

WITH = StreamOptions(with_characters=True)
LINK = CharacterLink(5, 2, 0.75, name="Velma")
CHARACTERS = (Character(2, (1, 5), 0.9, "Velma"),)


def knowing(config: Any, context: Any) -> Iterator[Any]:
    """A server that knows characters; its end has some where they were requested."""
    start = started()
    if config.with_characters:
        start.start.character_model.CopyFrom(stream_pb2.ModelInfo(name="acfd-id", version="1"))
    yield start
    face = types_pb2.Face(track_id=5, character=2, name="Velma")
    link = types_pb2.CharacterLink(track_id=5, character=2, confidence=0.75, is_tentative=True, name="Velma")
    frame = types_pb2.FrameResult(faces=[face], links=[link] if config.with_characters else [])
    yield face_track_pb2.TrackResponse(results=stream_pb2.FrameResults(frames=[frame]))
    found = types_pb2.Character(number=2, tracks=[1, 5], confidence=0.9, name="Velma")
    end = stream_pb2.TrackEnd(frame_count=1, characters=[found] if config.with_characters else [])
    yield face_track_pb2.TrackResponse(end=end)


def ignorant(config: Any, context: Any) -> Iterator[Any]:
    """A server that is too old to know characters."""
    yield started()
    yield frames(0)
    yield face_track_pb2.TrackResponse(end=stream_pb2.TrackEnd(frame_count=1, is_complete=True))


def test_links_come_with_frames_and_characters_with_the_end() -> None:
    with small_server(servicer=Scripted(knowing)) as address, Client(address) as client:
        stream = client.track(lambda: [b"media"], WITH)
        assert stream.start.character_model == {"name": "acfd-id", "version": "1", "precision": ""}
        [result] = stream
    assert result.links == (LINK,)
    assert [(face.character, face.name) for face in result.faces] == [(2, "Velma")]
    assert stream.end is not None
    assert stream.end.characters == CHARACTERS


def test_the_client_for_asyncio_gets_the_same() -> None:
    async def work(address: str) -> Any:
        async with AsyncClient(address) as client, client.track([b"media"], WITH) as stream:
            links = [result.links async for result in stream]
            return links, stream.end

    with small_server(servicer=Scripted(knowing)) as address:
        links, end = asyncio.run(work(address))
    assert (links, end.characters) == ([(LINK,)], CHARACTERS)


def test_nobody_gets_characters_without_asking() -> None:
    with small_server(servicer=Scripted(knowing)) as address, Client(address) as client:
        stream = client.track(lambda: [b"media"])
        assert [result.links for result in stream] == [()]
    assert stream.start.character_model is None
    assert stream.end is not None
    assert stream.end.characters == ()


def test_an_old_server_gives_none_and_that_shows() -> None:
    with small_server(servicer=Scripted(ignorant)) as address, Client(address) as client:
        stream = client.track(lambda: [b"media"], WITH)
        assert [(result.faces, result.links) for result in stream] == [((), ())]
    assert stream.start.character_model is None
    assert stream.end is not None
    assert (stream.end.characters, stream.end.is_complete) == ((), True)
