"""Write docs/site*.png: the documentation as a site, in Chromium."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the browser is the tests'

from docs.pictures import shoot  # noqa: E402
from tests.service.chromium import chromium  # noqa: E402


def main() -> None:
    """Build the site and take the pictures of a page with a menu, a table and examples."""
    with tempfile.TemporaryDirectory() as scratch:
        site = Path(scratch, "site")
        subprocess.run([sys.executable, "-m", "mkdocs", "build", "--site-dir", site], cwd=ROOT, check=True)
        handler = partial(SimpleHTTPRequestHandler, directory=site)
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, chromium(Path(scratch, "chromium")) as tab:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            shoot(tab, f"http://127.0.0.1:{server.server_port}/results.html", "site")
            server.shutdown()


if __name__ == "__main__":
    main()
