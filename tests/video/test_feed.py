"""Single pictures as a video, and the pictures' own decoder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np
import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.errors import ConfigError, MediaError, ShapeError
from acfd_stream.video import FrameFeed
from acfd_stream.video.feed import FedVideo
from acfd_stream.video.frame import Frame
from acfd_stream.video.still import decode_still, still_size

TICK = Fraction(1, 1000)


def picture(level: int, size: tuple[int, int] = (12, 20)) -> np.ndarray:
    return np.full((*size, 3), level, np.uint8)


def encoded(level: int, suffix: str = ".png", size: tuple[int, int] = (12, 20), **options: int) -> bytes:
    flags = [value for pair in options.items() for value in (getattr(cv2, pair[0]), pair[1])]
    return cv2.imencode(suffix, picture(level, size), flags)[1].tobytes()


def filled(*pictures: bytes | np.ndarray) -> FrameFeed:
    feed = FrameFeed(TICK)
    for index, image in enumerate(pictures):
        assert feed.push(image, index * 40)
    feed.close()
    return feed


def frames(feed: FrameFeed, config: VideoConfig | None = None) -> list[Frame]:
    return list(FedVideo(feed, config or VideoConfig()))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", None])
def test_pictures_come_out_in_order_with_their_times(suffix: str | None) -> None:
    levels = (10, 90, 170)
    feed = filled(*(picture(level) if suffix is None else encoded(level, suffix) for level in levels))
    found = frames(feed)
    assert [(frame.index, frame.pts, frame.time_base) for frame in found] == [(i, i * 40, TICK) for i in range(3)]
    for frame, level in zip(found, levels, strict=True):
        assert frame.picture.display_size == (12, 20)
        assert abs(int(frame.picture.planes[0].mean()) - level) <= 2
        assert frame.arrived_at is not None
        assert min(frame.ingest_seconds, frame.decode_seconds) >= 0


def test_what_was_pushed_may_be_changed_afterwards() -> None:
    image, feed = picture(50), FrameFeed(TICK)
    feed.push(image, 0)
    image[:] = 0
    feed.close()
    assert int(frames(feed)[0].picture.planes[0].max()) == 50


@pytest.mark.parametrize("junk", [b"no picture", b"", encoded(9)[:40], encoded(9, ".jpg")[:30]])
def test_a_bad_picture_fails_alone(junk: bytes) -> None:
    found = frames(filled(encoded(1), junk, encoded(3)))
    assert [bool(frame.failure) for frame in found] == [False, True, False]
    assert [frame.index for frame in found] == [0, 1, 2]
    assert found[1].picture.planes == ()


def test_a_bad_first_picture_is_passed_over_and_told() -> None:
    video = FedVideo(filled(b"junk", encoded(1)), VideoConfig())
    assert video.info.display_size == (12, 20)
    assert [bool(frame.failure) for frame in video] == [True, False]
    assert video.is_complete


@pytest.mark.parametrize("pictures", [[], [b"junk", b"more junk"]])
def test_a_feed_without_a_picture_is_refused(pictures: list[bytes]) -> None:
    with pytest.raises(MediaError, match=r"ended before the first one|none of 2 pictures"):
        FedVideo(filled(*pictures), VideoConfig())


@pytest.mark.parametrize("image", [encoded(1, size=(30, 30)), picture(1, (30, 30))])
def test_a_picture_above_the_limit_fails(image: bytes | np.ndarray) -> None:
    found = frames(filled(encoded(1), image), VideoConfig(frame_pixels=400))
    assert "above the limit" in found[1].failure


def test_a_bomb_is_refused_by_its_header() -> None:
    bomb = bytearray(encoded(1))
    bomb[16:24] = (100_000).to_bytes(4, "big") * 2
    with pytest.raises(MediaError, match=r"100000×100000 pixels"):
        decode_still(bytes(bomb), 10**8)


SUFFIXES = [".png", ".jpg", ".webp"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (513, 20)])
def test_the_size_stands_in_the_header(suffix: str, size: tuple[int, int]) -> None:
    data = encoded(99, suffix, size)
    assert still_size(data) == size
    assert decode_still(data, 10**6).shape == (*size, 3)
    for end in range(0, min(len(data), 64), 3):
        assert still_size(data[:end]) in (None, size)


def test_a_lossy_webp_says_its_size_too() -> None:
    assert still_size(encoded(99, ".webp", (31, 17), IMWRITE_WEBP_QUALITY=50)) == (31, 17)


def test_a_push_waits_for_room() -> None:
    feed = FrameFeed(TICK, capacity_bytes=1000)
    feed.push(picture(1), 0)  # 720 bytes
    pushed = threading.Event()
    thread = threading.Thread(target=lambda: feed.push(picture(2), 1) and pushed.set())
    thread.start()
    assert not pushed.wait(0.05)
    assert feed.waiting_bytes == 720
    assert feed.take() is not None
    assert pushed.wait(30)
    thread.join()


@pytest.mark.parametrize("ending", ["abort", "leave"])
def test_whoever_waits_to_push_is_let_go(ending: str) -> None:
    feed = FrameFeed(TICK, capacity_bytes=1000)
    feed.push(picture(1), 0)
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(feed.push(picture(2), 1)))
    thread.start()
    getattr(feed, ending)()
    thread.join(30)
    assert answers == [False]
    assert feed.waiting_bytes == 0


def test_an_aborted_feed_breaks_off_with_its_reason() -> None:
    feed = FrameFeed(TICK)
    feed.push(encoded(1), 0)
    video = FedVideo(feed, VideoConfig())
    feed.abort("the client went")
    assert len(list(video)) == 1
    assert video.error == "breaks off after 0.000 s: the client went"
    assert not video.is_complete


def test_what_is_pushed_too_late_or_is_no_picture_is_refused() -> None:
    feed = FrameFeed(TICK)
    with pytest.raises(ShapeError, match=r"uint8 \[H, W, 3\] RGB"):
        feed.push(np.zeros((4, 4), np.uint8), 0)
    for pts in (1.5, "1", None, 2**63):
        with pytest.raises(ConfigError, match="pts must be a whole number of 64 bits, got"):
            feed.push(b"x", pts)  # type: ignore[arg-type]
    feed.close()
    with pytest.raises(MediaError, match="after the end"):
        feed.push(b"x", 0)


def test_a_resumed_feed_counts_on() -> None:
    video = FedVideo(filled(encoded(1), encoded(2)), VideoConfig())
    video.resume_after(None, 17)
    assert [frame.index for frame in video] == [17, 18]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() <= before
