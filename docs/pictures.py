"""Screenshots of pages as PNG files of docs/: in a light window, a dark one, and one as narrow as a phone."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from tests.service.chromium import Tab

FOLDER = Path(__file__).resolve().parent
WIDE, PHONE = (1040, 1400), (1240, 375)  # height, width
WINDOWS = (("", WIDE, "light"), ("_dark", WIDE, "dark"), ("_phone", PHONE, "light"))  # ending of the name, size, scheme
COLOURS = 256
MOST_BYTES = 150_000


def save(picture: Image.Image, name: str) -> None:
    """Write docs/NAME.png in as many colours as fit into ``MOST_BYTES``, at most ``COLOURS``."""
    colours = COLOURS
    while True:
        data = io.BytesIO()
        picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(data, "png", optimize=True)
        if data.tell() <= MOST_BYTES or colours == 1:
            break
        colours //= 2
    (FOLDER / f"{name}.png").write_bytes(data.getvalue())


def shoot(tab: Tab, address: str, name: str, ready: str = "true") -> None:
    """Save the page at ``address`` in every window of ``WINDOWS``, once the JavaScript condition ``ready`` holds."""
    for ending, size, scheme in WINDOWS:
        tab.open("about:blank", size)
        tab.open(address, size, scheme)
        tab.wait_for(ready)
        tab.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        save(Image.open(io.BytesIO(tab.picture())), f"{name}{ending}")
        tab.value("localStorage.clear()")  # where a page keeps the scheme of its first window
