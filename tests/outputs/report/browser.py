"""A report in a real Chromium: what a person does there, and what is on the screen then."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.outputs.report.drawn import SIZE, SQUARE, STEP, TOP
from tests.service.chromium import Tab

TIMEOUT_SECONDS = 20
_OPENINGS = itertools.count()
DESKTOP, PHONE = (1000, 1400), (1500, 400)


def wait_for(holds: Callable[[], bool]) -> None:
    """Return when ``holds`` does."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Page:
    """An opened page."""

    def __init__(
        self, tab: Tab, path: Path, size: tuple[int, int] = DESKTOP, scheme: str = "light", at: str = ""
    ) -> None:
        self.tab = tab
        anew = f"?{next(_OPENINGS)}"  # an address that differs in its fragment only would not be loaded again
        tab.open(path.resolve().as_uri() + anew + at, size, scheme)
        tab.wait_for("document.body?.dataset.shown && document.body.dataset.plays !== ''")

    def value(self, expression: str) -> Any:
        return self.tab.value(expression)

    def read(self, selector: str) -> list[str]:
        texts = self.value(f"[...document.querySelectorAll('{selector}')].map(node => node.textContent.trim())")
        return [" ".join(text.split()) for text in texts]

    def wait_for_frame(self, frame: int) -> None:
        """Until this frame is on screen, as far as the page says."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (shown := self.read("#frame")) != [str(frame)]:
            assert time.monotonic() < deadline, f"frame {frame} does not come, the page says {shown}"

    def click(self, selector: str, share: float = 0.5) -> None:
        """A real click, ``share`` of the way from the left edge of what ``selector`` names to its right one."""
        place = self.value(
            f"(() => {{ const node = document.querySelector('{selector}'); node.scrollIntoView({{block: 'nearest'}});"
            f" const box = node.getBoundingClientRect();"
            f" return [box.left + box.width * {share}, box.top + box.height / 2]; }})()"
        )
        self.click_at(*place)

    def click_at(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.tab.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, *keys: str) -> None:
        """Keys by their DOM names."""
        codes = {
            "Delete": 46,
            " ": 32,
            "Enter": 13,
            "Escape": 27,
            "ArrowLeft": 37,
            "ArrowUp": 38,
            "ArrowRight": 39,
            "ArrowDown": 40,
        }
        for key in keys:
            text = {"text": key} if len(key) == 1 else {}
            code = codes.get(key, 0)
            self.tab.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
            self.tab.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def set(self, control: str, value: str) -> None:
        """Give a slider or a list a value, as a hand does."""
        self.value(
            f"(() => {{ const node = document.getElementById('{control}'); node.value = '{value}';"
            " node.dispatchEvent(new Event('input', {bubbles: true}));"
            " node.dispatchEvent(new Event('change', {bubbles: true})); })()"
        )

    def picture(self, name: str) -> NDArray[np.uint8]:
        """The window, BGR; ``ACFD_KEEP_SHOTS`` names a folder where it stays to be looked at."""
        data = self.tab.picture()
        if folder := os.environ.get("ACFD_KEEP_SHOTS"):
            Path(folder, f"{name}.png").write_bytes(data)
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)

    def stage(self) -> NDArray[np.uint8]:
        """The pictures' rectangle of the window, BGR."""
        left, top, width, height = self.value(
            "(() => { const box = document.getElementById('boxes').getBoundingClientRect();"
            " return [box.left, box.top, box.width, box.height]; })()"
        )
        image = self.picture("stage")
        return image[round(top) : round(top + height), round(left) : round(left + width)]

    def drawn(self) -> tuple[float, float]:
        """The frame whose picture is on screen and the frame whose box is, both read off one picture of the stage."""
        image = self.stage()
        scale = image.shape[1] / SIZE[1]
        row = image[round((TOP + SQUARE / 2) * scale)].astype(int)
        white = np.flatnonzero(row.min(axis=1) > 200)
        edge = image[round(TOP * scale)].astype(int)  # the box's upper line
        coloured = np.flatnonzero(edge.max(axis=1) - edge.min(axis=1) > 60)
        middles = ((where[0] + where[-1]) / 2 / scale for where in (white, coloured))
        picture, box = ((middle - SQUARE / 2 - 8) / STEP for middle in middles)
        return picture, box
