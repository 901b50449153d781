"""Drawn episodes: one cast from episode to episode, other clothes from scene to scene, and the truth of who it is."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from acfd_stream.errors import ConfigError
from acfd_stream.model.toon import Clip, ClipTruth, render_episode
from acfd_stream.model.toon.__main__ import main
from acfd_stream.model.toon.bodies import draw_character
from acfd_stream.model.toon.canvas import Canvas
from acfd_stream.model.toon.characters import CAST_SIZE, LOOK_ALIKES
from acfd_stream.model.toon.design import Design, Pose

SMALL = (90, 160)


def scenes(clip: Clip, character: int) -> list[int]:
    """The scenes of a character, by where its cast is in the list of all casts."""
    order = list(dict.fromkeys(id(cast) for cast in clip.script.casts))
    found = [
        order.index(id(cast))
        for shot, cast in zip(clip.script.shots, clip.script.casts, strict=True)
        if character in {part.character for part in shot.parts}
    ]
    return sorted(set(found))


def portrait(design: Design) -> np.ndarray:
    canvas = Canvas((120, 120), (90, 200, 120))
    draw_character(canvas, design, Pose(yaw=0.2), (60, 60), 40, 1)
    return canvas.pixels


def changed(one: Design, other: Design) -> float:
    """Share of the pixels of two portraits that differ."""
    return float((portrait(one) != portrait(other)).any(2).mean())


def test_five_minutes_have_sixty_cuts_twelve_characters_and_drawings_on_twos_and_threes() -> None:
    clip = render_episode(3, 1)
    assert (len(clip), float(clip.fps), clip.size) == (7200, 24.0, (360, 640))
    assert [change.kind for change in clip.truth.changes] == ["cut"] * 60
    assert {part.character for shot in clip.script.shots for part in shot.parts} == set(range(CAST_SIZE))
    assert {clip.script.holds(shot)[0] for shot in range(61)} == {2, 3}
    assert len({shot.light for shot in clip.script.shots}) >= 3
    together = [{part.character for part in shot.parts} for shot in clip.script.shots]
    assert any(set(LOOK_ALIKES) <= who for who in together)


def test_a_character_keeps_the_face_and_changes_the_clothes_from_scene_to_scene() -> None:
    first, second = render_episode(1, 1), render_episode(2, 1)
    assert first.script.shots != second.script.shots
    looks = [cast[5] for cast in first.script.casts + second.script.casts]
    assert len({id(design.eyes) for design in first.script.casts[0]}) == CAST_SIZE - 1, "the look-alikes share theirs"
    assert all(design.eyes == looks[0].eyes and (design.head == looks[0].head).all() for design in looks)
    assert len({design.body.top for design in looks}) > 10
    assert first.script.casts[0] is first.script.casts[1]


@pytest.mark.parametrize("cast_seed", range(4))
def test_look_alikes_differ_less_than_others_but_visibly(cast_seed: int) -> None:
    cast = render_episode(0, cast_seed).script.casts[0]
    body, hat = cast[0].body, cast[0].hair.hat
    for design in cast:
        design.body, design.hair.hat = body, hat
    one, other = (cast[index] for index in LOOK_ALIKES)
    others = [changed(a, b) for a, b in itertools.combinations(cast, 2) if a is not one or b is not other]
    assert 0.005 < changed(one, other) < float(np.median(others))


def test_a_stranger_appears_in_one_scene_of_one_episode() -> None:
    clip = render_episode(4, 1, strangers=6)
    for stranger in range(CAST_SIZE, CAST_SIZE + 6):
        assert len(scenes(clip, stranger)) == 1
    assert len(scenes(clip, 0)) > 1
    another = render_episode(5, 1, strangers=6).script.casts[0][CAST_SIZE]
    assert another.eyes != clip.script.casts[0][CAST_SIZE].eyes


def test_light_changes_the_picture_and_not_the_boxes() -> None:
    clip = render_episode(1, 1, 0.1, size=SMALL)
    shot = clip.script.shots[0]
    shot.light = (1.0, 1.0, 1.0)
    pixels, frame = next(iter(clip))
    shot.light = (0.5, 0.25, 1.0)
    darker, same = next(iter(clip))
    assert same == frame
    assert np.array_equal(darker, (pixels * np.array(shot.light)).astype(np.uint8))


def test_the_truth_says_who_looks_where(tmp_path: Path) -> None:
    arguments = ["--seed", "1", "--cast-seed", "1", "--minutes", "0.2", "--strangers", "1", "--size", "160x90"]
    assert main(["episode", str(tmp_path / "e.mp4"), *arguments, "--truth", str(tmp_path / "e.json")]) == 0
    truth = ClipTruth.load(tmp_path / "e.json")
    clip = render_episode(1, 1, 0.2, 1, SMALL)
    for _ in clip:
        pass
    assert len(truth.frames) == len(clip) == 288
    assert [frame.drawing for frame in truth.frames] == [frame.drawing for frame in clip.truth.frames]
    said = [[(face.id, face.character) for face in frame.faces] for frame in truth.frames]
    assert said == [[(face.id, face.character) for face in frame.faces] for frame in clip.truth.frames]
    assert CAST_SIZE + 1 in {character for frame in said for _, character in frame}
    yaws = [face.yaw for frame in truth.frames for face in frame.faces]
    assert max(yaws) - min(yaws) > 0.5


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"minutes": 0}, "minutes"), ({"strangers": 21}, "strangers"), ({"size": (9, 9)}, "size"), ({"seed": -1}, "seed")],
)
def test_bad_arguments_are_named(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}.* must be"):
        render_episode(**changed)  # type: ignore[arg-type]


@pytest.mark.parametrize("arguments", [["episode", "--fps", "25"], ["cuts", "--minutes", "2"]])
def test_options_of_another_plan_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main([arguments[0], "x.mp4", *arguments[1:]])
    assert exit_info.value.code == 2
    assert arguments[1].lstrip("-") in capsys.readouterr().err
