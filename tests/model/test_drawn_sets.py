"""Tests for the drawn sets of pictures that evaluation uses."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from acfd_stream import progress
from acfd_stream.errors import ConfigError
from acfd_stream.model import evaluate
from acfd_stream.model.evaluation import DRAWN
from acfd_stream.model.toon.sets import LEAST_SIDE, SETS, draw_one, draw_set
from tests.detect.tiny_model import write_tiny_model


@pytest.mark.parametrize("name", SETS)
def test_a_picture_depends_on_its_number_only(name: str) -> None:
    first, second = draw_set(name, 2, first=40)
    again = draw_one(name, 41)
    assert np.array_equal(second[0], again[0])
    assert np.array_equal(second[1], again[1])
    assert not np.array_equal(first[0], second[0])


@pytest.mark.parametrize("name", SETS)
def test_boxes_lie_in_the_picture_and_are_large_enough(name: str) -> None:
    for image, boxes in draw_set(name, 4, first=7):
        height, width = image.shape[:2]
        assert (boxes >= 0).all()
        assert (boxes[:, 2:] <= (width, height)).all()
        assert ((boxes[:, 2:] - boxes[:, :2]).min(1) >= LEAST_SIDE).all()


def test_an_old_film_has_one_tone() -> None:
    for image, _ in draw_set("oldfilms", 6, first=11):
        colours = image.reshape(-1, 3).astype(float)
        # one tone times a tint: the channels are multiples of one another
        assert np.corrcoef(colours.T).min() > 0.99


def test_an_unknown_set_is_named() -> None:
    with pytest.raises(ConfigError, match="crowds, lineart, small, oldfilms"):
        draw_one("opera", 0)


def test_the_help_lists_the_sets() -> None:
    assert tuple(DRAWN + name for name in SETS) == evaluate.DRAWN_SETS


def test_an_evaluation_tells_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    model = write_tiny_model(tmp_path / "tiny.onnx")
    call = ["--model", str(model), "--device", "cpu", "--size", "128", "--count", "1", "drawn-crowds", "drawn-small"]
    assert evaluate.main(call) == 0
    said = [re.sub(r"(–|[\d.]+) pictures/s", "N pictures/s", line) for line in capsys.readouterr().err.splitlines()]
    assert [line.split(";")[0] for line in said] == [
        "50.0%: 1 of 2 pictures, N pictures/s, drawn-crowds",
        "100.0%: 2 of 2 pictures, N pictures/s, drawn-small",
    ]
