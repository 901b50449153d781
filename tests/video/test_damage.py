"""Damage costs what depends on it and no more, and the same bytes give the same frames on any number of threads."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.errors import MediaError
from acfd_stream.types import GapCause
from acfd_stream.video import VideoSource, open_video
from acfd_stream.video.frame import Frame
from tests.video.damage_clips import (
    H264,
    H264_B,
    HEVC,
    MJPEG,
    MPEG2,
    MPEG4,
    PRORES,
    RATE,
    VP8,
    VP9_WEBM,
    Coding,
    flipped,
    outcome,
    spoiled,
    write,
)

ONES = b"\xff".__mul__


def read(path: Path, threads: int = 0) -> tuple[VideoSource, list[Frame]]:
    with open_video(path, VideoConfig(threads=threads)) as video:
        return video, list(video)


def numbers_of(frames: list[Frame]) -> list[int]:
    return [round(frame.pts_seconds * RATE) for frame in frames]


def lost_of(video: VideoSource) -> list[int]:
    """Numbers of the pictures in the gaps; a gap holds neighbours."""
    begins = [(round(gap.time * RATE), round(gap.missing_seconds * RATE)) for gap in video.gaps]
    return [begin + number for begin, count in begins for number in range(count)]


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("coding", [H264, HEVC, VP8, VP9_WEBM, PRORES, MJPEG], ids=lambda coding: coding.codec)
def test_one_bad_packet_costs_one_frame(coding: Coding, threads: int, tmp_path: Path) -> None:
    bad = 18 if coding.count == 48 else 7
    video, frames = read(spoiled(write(tmp_path, coding), [bad], ONES if coding in (H264, HEVC) else None), threads)
    assert numbers_of(frames) == [number for number in range(coding.count) if number != bad]
    assert (video.error, video.is_complete) == (None, False)
    (gap,) = video.gaps
    assert gap.cause is GapCause.DAMAGED_PACKET
    assert gap.time == pytest.approx(bad / RATE, abs=1e-3)
    assert gap.missing_seconds == pytest.approx(1 / RATE, abs=1e-3)
    is_predicted = coding.count == 48
    damaged = {round(frame.pts_seconds * RATE) for frame in frames if frame.is_damaged}
    assert damaged == (set(range(19, 24)) if is_predicted else set())  # up to the keyframe at 24


@pytest.mark.parametrize("coding", [VP8, VP9_WEBM], ids=lambda coding: coding.codec)
@pytest.mark.parametrize("numbers", [[24], [47], [18, 30, 31], [23, 24]])
def test_the_frames_of_the_other_packets_are_there_wherever_the_damage_is(
    coding: Coding, numbers: list[int], tmp_path: Path
) -> None:
    video, frames = read(spoiled(write(tmp_path, coding), numbers))
    assert numbers_of(frames) == [number for number in range(48) if number not in numbers]
    assert lost_of(video) == numbers
    assert (video.error, video.is_complete) == (None, False)


def test_pictures_that_the_decoder_hides_behind_a_lost_keyframe_are_told(tmp_path: Path) -> None:
    video, frames = read(spoiled(write(tmp_path, H264), [24], ONES))
    shown = numbers_of(frames)
    assert set(shown) >= {*range(24), *range(36, 48)}
    assert sorted(shown + lost_of(video)) == list(range(48))


def test_a_file_of_nothing_but_damage_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path, Coding("long.webm", "libvpx", VP8.options, count=2000))
    with pytest.raises(MediaError, match="none of the 2000 packets of its vp8 video can be decoded"):
        read(spoiled(whole, range(2000), lambda size: b"\xff" * size))


def test_damage_up_to_the_end_keeps_what_was_before_it(tmp_path: Path) -> None:
    video, frames = read(spoiled(write(tmp_path, VP8), range(20, 48), ONES))
    assert numbers_of(frames) == list(range(20))
    assert lost_of(video) == list(range(20, 48))
    assert not video.is_complete


@pytest.mark.parametrize("threads", [1, 4])
def test_frames_that_the_decoder_patches_up_are_marked(threads: int, tmp_path: Path) -> None:
    whole = write(tmp_path, H264)

    def cut_in_half(size: int) -> bytes:
        return whole_packet[: size // 2] + bytes(size - size // 2)

    import av

    with av.open(str(whole)) as container:
        whole_packet = [bytes(packet) for packet in container.demux(video=0)][18]
    video, frames = read(spoiled(whole, [18], cut_in_half), threads)
    assert numbers_of(frames) == list(range(48))
    assert [number for number, frame in enumerate(frames) if frame.is_damaged] == [18]
    assert video.warnings == ["damaged frames that the decoder patched up: 1"]
    assert video.gaps == []
    assert video.is_complete


CODINGS = [H264_B, VP8, VP9_WEBM, MPEG2, MPEG4, MJPEG, Coding("raw.h264", "libx264", H264_B.options, b_frames=2),
           Coding("b.ts", "libx264", H264_B.options, b_frames=2)]  # fmt: skip


@pytest.mark.parametrize("coding", CODINGS, ids=lambda coding: coding.name)
def test_flipped_bits_give_the_same_frames_on_any_number_of_threads(coding: Coding, tmp_path: Path) -> None:
    whole = write(tmp_path, coding)
    seen = {outcome(whole)[0]}
    for seed in range(4):
        path = flipped(whole, seed, (1, 4, 20, 20)[seed])
        kinds: dict[str, int] = {}
        for threads in (1, 4, 2, 4):
            kinds.setdefault(outcome(path, threads)[0], threads)
        assert len(kinds) == 1, f"seed {seed}: {kinds}"
        seen |= set(kinds)
    assert len(seen) >= 4


@pytest.mark.parametrize("name", ["damaged.h264", "damaged.ts"])
@pytest.mark.parametrize("low_delay", [False, True])
def test_damage_that_threads_raced_on(name: str, low_delay: bool, shared: Path) -> None:
    path = shared / "cases/damaged_threads" / name
    assert len({outcome(path, threads, low_delay)[0] for threads in (0, 1, 2, 4, 8) for _ in range(2)}) == 1


def test_mutated_clips_never_stop_the_reader(tmp_path: Path) -> None:
    chance = random.Random(3)
    for coding in (H264_B, VP9_WEBM, MPEG4):
        data = write(tmp_path, coding).read_bytes()
        for _ in range(6):
            made = bytearray(data)
            begin = chance.randrange(len(data) // 8, len(data))
            made[begin : begin + chance.choice((4, 400))] = chance.randbytes(chance.choice((0, 4, 400)))
            path = tmp_path / f"mutated-{coding.name}"
            path.write_bytes(made)
            assert outcome(path, 1)[0] == outcome(path, 4)[0]
