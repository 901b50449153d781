"""A real Chromium without a window, driven over its DevTools pipe: no driver, no port, no network but the page's."""

from __future__ import annotations

import base64
import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.deploy.conftest import program

TIMEOUT_SECONDS = 120
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions", "--mute-audio"),
    *("--disable-dev-shm-usage", "--remote-debugging-pipe", "about:blank"),
)


class Tab:
    """One tab: where it goes, what stands in it, what it looks like, and what it complained about."""

    def __init__(self, write: Any, messages: queue.Queue[dict[str, Any]]) -> None:
        self._write, self._messages = write, messages
        self._last = 0
        self._session: str | None = None
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of one DevTools command."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        while (answer := self._messages.get(timeout=TIMEOUT_SECONDS)).get("id") != self._last:
            self._note(answer)
        assert "error" not in answer, f"{method}: {answer}"
        return dict(answer["result"])

    def open(self, url: str, size: tuple[int, int], scheme: str = "light") -> None:
        """Go to ``url`` in a window of ``size`` (height, width) in a "light" or "dark" world."""
        self.call(
            "Emulation.setDeviceMetricsOverride", height=size[0], width=size[1], deviceScaleFactor=1, mobile=False
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is, awaited where it is a promise."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Return when a JavaScript condition holds; the test's own time limit ends the wait."""
        self.value(
            f"new Promise(done => {{ const ask = () => ({condition}) ? done(1) : setTimeout(ask, 50); ask(); }})"
        )

    def press(self, key: str, code: int) -> None:
        """One key, by its DOM name and its number."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def picture(self) -> bytes:
        """PNG of the window."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
            text = json.dumps(event["params"])
            if event["params"].get("entry", {}).get("source") != "network":  # servers and streams of tests go away
                self.complaints.append(text)


@contextmanager
def chromium(folder: Path) -> Iterator[Tab]:
    """A tab of a new Chromium, whose profile lies in ``folder``."""
    name = "chromium" if shutil.which("chromium") or not shutil.which("google-chrome") else "google-chrome"
    command = [program(name), f"--user-data-dir={folder}", *_FLAGS]
    (commands, to_browser), (from_browser, answers) = os.pipe(), os.pipe()
    script = f'exec "$@" 3<&{commands} 4>&{answers}'  # where Chromium looks for them
    running = subprocess.Popen(
        ["bash", "-c", script, "bash", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(commands, answers),
    )
    os.close(commands)
    os.close(answers)
    messages: queue.Queue[dict[str, Any]] = queue.Queue()
    with os.fdopen(to_browser, "wb") as write, os.fdopen(from_browser, "rb") as read:
        reader = threading.Thread(target=_read, args=(read, messages))
        reader.start()
        try:
            tab = Tab(write, messages)
            yield tab
        finally:
            running.terminate()
            running.wait(TIMEOUT_SECONDS)
            reader.join()


def _read(pipe: Any, messages: queue.Queue[dict[str, Any]]) -> None:
    buffer = b""
    while chunk := pipe.read1(2**16):
        *whole, buffer = (buffer + chunk).split(b"\0")
        for message in whole:
            messages.put(json.loads(message))
