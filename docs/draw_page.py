"""Write docs/page.png: the page in Chromium, of a drawn scene in which the engine has too much to do."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the scene is the tests'

from PIL import Image  # noqa: E402

from acfd_stream.service.dashboard.http_server import DashboardServer  # noqa: E402
from acfd_stream.service.dashboard.page_data import ServiceInfo  # noqa: E402
from docs.pictures import save  # noqa: E402
from tests.service.chromium import chromium  # noqa: E402
from tests.service.scene import Scene, drawn_picture  # noqa: E402

CARD = ServiceInfo("0.1.0", "acfd-n", "OpenVINO CPU bf16, 2 threads")
SIZE = (1030, 1440)


def main() -> None:
    """Play the scene, open the page, keep what it looks like."""
    scene = Scene()
    scene.now += 3 * 3600  # it has been up for a while
    scene.play(192)
    scene.play(108, load=1.65)
    scene.break_one()
    picture, faces = drawn_picture()
    address = "127.0.0.1:0"
    with (
        DashboardServer(address, scene.registry, CARD, lambda: "serving", scene.samples) as monitor,
        tempfile.TemporaryDirectory() as folder,
        chromium(Path(folder)) as tab,
    ):
        tab.open(f"http://127.0.0.1:{monitor.port}/", SIZE)
        tab.wait_for("document.getElementById('no-picture').textContent.startsWith('Waiting')")
        scene.show(picture, faces)
        tab.wait_for("!document.getElementById('whole').hidden")
        save(Image.open(io.BytesIO(tab.picture())), "page")


if __name__ == "__main__":
    main()
