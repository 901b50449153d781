"""How many files an extension touches: each test applies a toy patch to a copy of the package, and runs the copy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
MOST_FILES_OF_A_FORMAT = 3
MOST_FILES_OF_A_FIELD = 4
DOCS = 1  # docs/results.md describes every format and field
Patch = Mapping[str, tuple[str, str]]  # file → (text after which to insert, or "" for a new file; inserted text)

FORMAT: Patch = {
    "acfd_stream/outputs/counts.py": (
        "",
        """
class CountsEncoder:
    def __init__(self, header):
        self._source = header.source

    def header(self):
        return f"{self._source}\\n".encode()

    def frame(self, result):
        return f"{result.index} {len(result.faces)}\\n".encode()

    def trailer(self, end):
        yield f"{end.tracks} tracks\\n".encode()
""",
    ),
    "acfd_stream/outputs/formats.py": (
        '"jsonl:JsonlLines", marks_end=True),\n',
        '    "counts": Format(".counts", "counts:CountsEncoder"),\n',
    ),
}
USE_THE_FORMAT = """
import sys
from pathlib import Path
from acfd_stream.cli import main
from acfd_stream.outputs import FORMATS, ResultEnd, open_writer
from acfd_stream.outputs.formats import ARCHIVE_SUFFIXES
from tests.outputs.made_up import END, HEADER, made_up
assert "counts" in FORMATS and ARCHIVE_SUFFIXES["counts"] == ".counts"
assert main(["track", "--help"]) == 0
writer = open_writer(Path(sys.argv[1]), "counts", HEADER)
for result in made_up(2):
    writer.write(result)
writer.close(END)
"""

FIELD: Patch = {
    "acfd_stream/types.py": (
        "    state: FaceState = FaceState.DETECTED\n",
        '    yaw: float = field(default=0.0, metadata={"decimals": 1})\n    species: str = ""\n',
    ),
    "protos/acfd_stream/v1/types.proto": ("FaceState state = 4;\n", "  float yaw = 70;\n  string species = 71;\n"),
    "acfd_stream/track/timeline.py": (
        "Face(self._ids[s.key], s.box_xyxy, s.score, s.state",
        ', s.key + 0.25, f"no. {self._ids[s.key]}"',
    ),
}
USE_THE_FIELD = """
import json, sys
from pathlib import Path
from acfd_stream.outputs import FORMATS, ResultEnd, open_writer, read_results
from acfd_stream.types import Face, FrameResult
from acfd_stream.wire.messages import face_of, face_pb
from tests.outputs.made_up import HEADER, TIME_BASE
from tests.track.drawn_motion import seen, track
frames = track([seen([0, 0, 50, 50], [400, 0, 450, 50])] * 6)
results = [FrameResult(i, i, TIME_BASE, float(i * TIME_BASE), faces) for i, faces in enumerate(frames)]
for format in FORMATS:
    writer = open_writer(Path(sys.argv[1], format), format, HEADER)
    for result in results:
        writer.write(result)
    writer.close(ResultEnd(2))
face = frames[0][0]
assert face.species == "no. 1"
assert [each.species for each in next(iter(read_results(Path(sys.argv[1], "jsonl")))).faces] == ["no. 1", "no. 2"]
assert Face.of_values(json.loads(json.dumps(face.values()))) == face
assert Face.of_values(face.values()[:4]).species == ""  # of a checkpoint that was saved before the field existed
assert face_of(face_pb(face)).species == face.species
"""


def run_patched(patch: Patch, script: str, folder: Path, out: Path) -> str:
    """Apply ``patch`` to a copy of the package in ``folder``, run ``script`` with it, and return what it prints."""
    for name in ("acfd_stream", "protos"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("model", "csrc", "__pycache__"))
    for name, (anchor, text) in patch.items():
        path = folder / name
        before = path.read_text() if anchor else ""
        assert before.count(anchor) == 1 or not anchor, f"{name}: {anchor!r} must occur once"
        path.write_text(before.replace(anchor, anchor + text) if anchor else text)
    protos = [str(path) for path in (folder / "protos").rglob("*.proto")]
    include = f"-I{files('grpc_tools') / '_proto'}"
    assert protoc.main(["protoc", f"-I{folder / 'protos'}", include, f"--python_out={folder}", *protos]) == 0
    program = f"import sys; sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}]\n{script}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-P", "-c", program, str(out)]
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_format_touches_at_most_three_files(tmp_path: Path) -> None:
    assert len(FORMAT) + DOCS <= MOST_FILES_OF_A_FORMAT
    help_text = run_patched(FORMAT, USE_THE_FORMAT, tmp_path / "copy", tmp_path / "out")
    assert "counts" in help_text
    assert (tmp_path / "out").read_text().endswith("\n0 3\n1 3\n3 tracks\n")


def test_a_field_of_a_face_touches_at_most_four_files(tmp_path: Path) -> None:
    assert len(FIELD) + DOCS <= MOST_FILES_OF_A_FIELD
    out = tmp_path / "out"
    out.mkdir()
    run_patched(FIELD, USE_THE_FIELD, tmp_path / "copy", out)
    first = json.loads((out / "jsonl").read_text().splitlines()[1])["faces"][0]
    annotation = json.loads((out / "coco").read_text())["annotations"][0]
    row = pq.read_table(out / "parquet").to_pylist()[0]
    for stored in (first, annotation, row):
        assert stored["species"] == "no. 1"
        assert stored["yaw"] == pytest.approx(1.2)  # 1.25 with one decimal
