from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from acfd_stream.client.aio import AsyncClient
from acfd_stream.client.client import Client
from acfd_stream.client.errors import Unreachable
from acfd_stream.client.stream_progress import EncodedFrame
from acfd_stream.errors import AccessError, MediaError, ServiceError
from acfd_stream.service.access.interceptor import AccessInterceptor
from acfd_stream.service.server import Server
from acfd_stream.service.settings import AccessConfig
from acfd_stream.types import FrameResult
from tests.client.test_client import Scripted, breaking, going_on, png, unavailable
from tests.service.rig import PATIENCE, eventually
from tests.service.small_server import small_server


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """What ``work`` returns; fails where it leaves a task behind."""

    async def whole() -> Any:
        result = await asyncio.wait_for(work, 3 * PATIENCE)
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and not task.done()]
        assert [task.get_coro().__qualname__ for task in left if "acfd" in repr(task)] == []
        return result

    return asyncio.run(whole())


def address_of(server: Server) -> str:
    return f"127.0.0.1:{server.port}"


async def tracked(client: AsyncClient, source: Any) -> list[FrameResult]:
    async with client.track(source) as stream:
        return [result async for result in stream]


async def pieces_of(path: Path) -> AsyncIterator[bytes]:
    data = path.read_bytes()
    for place in range(0, len(data), 100_000):
        yield data[place : place + 100_000]


def test_results_are_those_of_the_other_client(server: Server, clip: Path, other_clip: Path) -> None:
    async def work() -> Any:
        async with AsyncClient(address_of(server)) as client:
            return await asyncio.gather(
                tracked(client, clip), tracked(client, pieces_of(clip)), tracked(client, other_clip)
            )

    from_path, from_pieces, other = run(work())
    with Client(address_of(server)) as client:
        assert list(client.track(clip)) == from_path == from_pieces
        assert list(client.track(other_clip)) == other


def test_the_short_calls_are_answered(server: Server) -> None:
    async def work() -> Any:
        async with AsyncClient(address_of(server)) as client:
            frames = [EncodedFrame(png(index), index) for index in range(3)]
            async with client.track_frames(frames) as stream:
                assert (await stream.started()).info.display_size == (96, 128)
                assert [result.pts async for result in stream] == [0, 1, 2]
                assert stream.end is not None
            return (
                await client.health(),
                (await client.capacity((96, 128), 1.0, 10.0)).fits,
                [model.name for model in await client.models() if model.is_loaded],
                len((await client.detect(frames[0].image)).faces),
            )

    assert run(work()) == ("SERVING", True, ["tiny"], 1)


def test_a_task_that_is_cancelled_frees_the_stream_and_stays_cancelled(server: Server, clip: Path) -> None:
    held = threading.Event()

    def media() -> Iterator[bytes]:
        yield clip.read_bytes()
        held.wait(PATIENCE)

    async def work() -> None:
        async with AsyncClient(address_of(server)) as client:
            first = asyncio.Event()

            async def read() -> None:
                async with client.track(media) as stream:
                    async for _ in stream:
                        first.set()

            task = asyncio.create_task(read())
            await first.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()
            held.set()

    run(work())
    assert server.host is not None
    assert eventually(lambda: server.host.stream_count == 0)  # type: ignore[union-attr]


def test_a_stream_that_is_left_early_frees_the_server(server: Server, clip: Path) -> None:
    async def work() -> int:
        async with AsyncClient(address_of(server)) as client, client.track(clip) as stream:
            async for result in stream:
                return result.index
        return -1

    assert run(work()) == 0
    assert server.host is not None
    assert eventually(lambda: server.host.stream_count == 0)  # type: ignore[union-attr]


def test_a_stream_can_be_closed_by_another_task(server: Server, clip: Path) -> None:
    held = threading.Event()

    def media() -> Iterator[bytes]:
        yield clip.read_bytes()
        held.wait(PATIENCE)

    async def work() -> int:
        async with AsyncClient(address_of(server)) as client:
            stream = client.track(media)
            await stream.started()
            asyncio.get_running_loop().call_later(0.05, lambda: asyncio.ensure_future(stream.close()))
            count = len([result async for result in stream])
            held.set()
            return count

    assert run(work()) < 60


def test_breaks_are_mended_and_no_frame_comes_twice() -> None:
    async def work(address: str) -> list[int]:
        async with AsyncClient(address) as client:
            return [result.index for result in await tracked(client, lambda: [b"media"])]

    with small_server(servicer=Scripted(unavailable, breaking, unavailable, going_on)) as address:
        assert run(work(address)) == [0, 1, 2, 3]


def test_faults_are_our_errors(server: Server, tmp_path: Path) -> None:
    async def fault(address: str, source: Any, patience: float = 0.0) -> BaseException | None:
        async with AsyncClient(address, patience_seconds=patience) as client:
            try:
                await tracked(client, source)
            except Exception as error:
                return error
        return None

    def broken() -> Iterator[bytes]:
        yield b"bytes"
        raise ZeroDivisionError

    (tmp_path / "tokens.toml").touch()
    assert isinstance(run(fault(address_of(server), [b"no video"])), MediaError)
    assert isinstance(run(fault(address_of(server), tmp_path / "absent")), MediaError)
    assert isinstance(run(fault(address_of(server), broken)), ZeroDivisionError)
    assert isinstance(run(fault("127.0.0.1:1", [b""])), Unreachable)
    with small_server([AccessInterceptor(AccessConfig(tokens=tmp_path / "tokens.toml"))]) as address:
        # Patience: where the call ends while it is written to, gRPC hides why, and only another try shows it.
        assert isinstance(run(fault(address, [b""], 10.0)), AccessError)
    with small_server(servicer=Scripted(lambda config, context: iter([]))) as address:
        assert isinstance(run(fault(address, [b""], 10.0)), ServiceError)
