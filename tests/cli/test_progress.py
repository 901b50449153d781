"""What a person sees while ``track`` runs, through a real terminal device of 80 columns. The pipeline is made up."""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.recording.header import expected_frames
from acfd_stream.types import MediaInfo
from tests.cli.test_track import track

FAKE = Path(__file__).with_name("fake_pipeline.py")
COLUMNS = 80
TAKE_TERMINAL = "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(sys.argv[1], sys.argv[1:])"
SEQUENCE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n])")


def screen(output: str) -> list[str]:
    """The lines that a terminal shows after ``output``, without trailing blanks."""
    lines: dict[int, list[str]] = {}
    row = column = 0
    for number, command, control, letter in SEQUENCE.findall(output):
        if letter:
            row, column = (row + 1, 0) if column == COLUMNS else (row, column)
            line = lines.setdefault(row, [" "] * COLUMNS)
            line[column] = letter
            column += 1
        elif control == "\n":
            row += 1
        elif control == "\r":
            column = 0
        elif command == "A":
            row -= int(number or 1)
        elif command == "K":
            lines[row] = [" "] * COLUMNS
    return [text for _, line in sorted(lines.items()) if (text := "".join(line).rstrip())]


class Terminal:
    """A command on a terminal of its own, which is its controlling one: Ctrl-C comes from there."""

    def __init__(self, folder: Path, arguments: list[str], **environment: str) -> None:
        self.output = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # a read may end inside a character
        self._device, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("4H", 24, COLUMNS, 0, 0))
        call = [sys.executable, "-c", TAKE_TERMINAL, sys.executable, "-B", *arguments]
        self.command = subprocess.Popen(
            call,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=side,
            stdout=side,
            stderr=side,
            start_new_session=True,
        )
        os.close(side)

    def read_until(self, is_there: Callable[[str], bool]) -> None:
        """Read on until ``is_there(output)``, or the end of the command."""
        while not is_there(self.output):
            try:
                self.output += self._decoder.decode(os.read(self._device, 65536))
            except OSError:  # what a terminal says when nobody is left on the other side
                return

    def press(self, keys: bytes) -> None:
        os.write(self._device, keys)

    def wait(self) -> int:
        """Read to the end; the exit code."""
        self.read_until(lambda output: False)
        os.close(self._device)
        return self.command.wait(timeout=60)


Start = Callable[..., Terminal]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    def run(*arguments: str, frames: int = 500, wait: bool = False, **environment: str) -> Terminal:
        plan = json.dumps({"frames": frames, "wait": wait})
        environment = {"TERM": "xterm-256color", "COLUMNS": "", "LINES": "", **environment}
        return Terminal(tmp_path, [str(FAKE), plan, "track", "a.mp4", *arguments], **environment)

    return run


def bars(output: str) -> Iterator[str]:
    """Every line that the bar ever was, without its colours."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", output)
    return (line.rstrip() for line in re.split(r"[\r\n]|\x1b\[[?\d]*[A-Za-z]", plain) if " frames " in line)


def test_the_bar_says_frames_speed_time_left_and_tracks_and_goes_without_a_trace(start: Start) -> None:
    terminal = start(wait=True)
    terminal.read_until(lambda output: any("500/500" in bar for bar in bars(output)))
    seen = list(bars(terminal.output))
    terminal.press(b"\x03")
    assert terminal.wait() == 130
    assert re.fullmatch(r"━+ 100% 500/500 frames +(–|[\d.]+) fps (-:--:--|0:00:00) 1 track", seen[-1])
    assert max(map(len, seen)) + len("^C") <= COLUMNS
    assert "^C" in terminal.output
    assert screen(terminal.output) == [
        "waiting", "session closed", "acfd-stream: interrupted after 500 frames; a.jsonl is unfinished"
    ]  # fmt: skip
    assert terminal.output.rindex("\x1b[?25h") > terminal.output.rindex("\x1b[?25l")  # the cursor is back


def test_a_run_that_ends_leaves_its_summary_only(start: Start) -> None:
    terminal = start()
    assert terminal.wait() == 0
    line, path = screen(terminal.output)
    assert re.fullmatch(r"1 track in 500 frames; [\d.]+ fps", line)
    assert path == "a.jsonl"


@pytest.mark.parametrize(("arguments", "environment"), [(["-q"], {}), (["-o", "-"], {}), ([], {"TERM": "dumb"})])
def test_there_is_no_bar_where_it_would_disturb(
    arguments: list[str], environment: dict[str, str], start: Start
) -> None:
    terminal = start(*arguments, frames=3, **environment)
    assert terminal.wait() == 0
    assert "\x1b" not in terminal.output
    assert "━" not in terminal.output


@pytest.mark.parametrize(("arguments", "lines"), [([], 3), (["-q"], 0)])
def test_without_a_terminal_there_are_lines_of_progress(arguments: list[str], lines: int, tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", *arguments, line_seconds=0)
    said = re.findall(r"(?m)^(.*)%: (.*) fps, 1 track(?:; 0:0\d left)?$", done.stderr)
    assert [share for share, _ in said] == ["33.3", "66.7", "100.0"][:lines]
    assert all(re.fullmatch(r"[123] of 3 frames, (–|[\d.]+)", rest) for _, rest in said)
    assert ("frames" in done.stderr) == (not arguments)


@pytest.mark.parametrize(
    ("count", "seconds", "span", "expected"),
    [
        (240, 9.0, (None, None), 240),
        (None, 9.0, (None, None), 216),
        (240, 9.0, (2.0, 4.0), 48),
        (240, 9.0, (None, 99.0), 216),
        (240, 9.0, (20.0, None), 0),
        (None, None, (None, None), None),
    ],
)
def test_the_frames_to_come_are_what_the_container_knows(
    count: int | None, seconds: float | None, span: tuple[float | None, float | None], expected: int | None
) -> None:
    info = MediaInfo("a.mp4", (360, 640), Fraction(1, 24), Fraction(24), count, seconds, "h264")
    assert expected_frames(info, VideoConfig(start_seconds=span[0], end_seconds=span[1])) == expected
