"""The shape of the tree: who may import whom, what files are called and how long they are."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOOR = {"types", "characters", "errors", "checked", "config", "config_file", "printable", "stored"}
SERVICE_FLOOR = FLOOR | {"service.settings", "service.status", "service.handlers", "service.model_messages"}
# A room, and the rooms it may import besides itself. A new room is a new line here.
MAY_IMPORT: dict[str, set[str]] = {
    "types": {"characters", "drawing", "rgb"},
    "characters": {"checked"},
    "errors": set(),
    "checked": {"errors"},
    "stored": {"errors"},
    "config": {"types", "errors", "checked"},
    "config_file": {"errors"},
    "printable": set(),
    "progress": {"printable"},
    "memory": set(),
    "picture_budget": {"errors", "checked"},
    "files": {"errors"},
    "places": set(),
    "drawing": set(),
    "rgb": {"errors", "checked"},
    "least_cost": set(),
    "picture_files": FLOOR | {"video"},
    "below": {"errors"},
    "shortage": set(),
    "ops": FLOOR | {"_C"},
    "video": FLOOR | {"animation", "drawing", "ops", "files", "picture_budget", "rgb", "_C"},
    "networks": FLOOR | {"files"},
    "detect": FLOOR | {"networks", "ops", "files", "picture_files", "rgb"},
    "track": FLOOR | {"least_cost"},
    "identity": FLOOR | {"networks", "files", "ops", "least_cost"},
    "metrics": FLOOR,
    "animation": set(),
    "malloc": set(),
    "pipeline": FLOOR | {"ops", "video", "detect", "track", "identity", "metrics", "places", "picture_budget"},
    "outputs": FLOOR | {"files"},
    "recording": FLOOR | {"files", "below", "shortage", "video", "identity", "pipeline", "outputs"},
    "archive": FLOOR
    | {"files", "below", "shortage", "recording", "video", "detect", "identity", "networks", "outputs"},
    "v1": set(),
    "wire": FLOOR | {"v1"},
    "client": FLOOR | {"wire", "v1"},
    # Parts of the service; a part that is not here may import nothing.
    "service": set(),
    "service.settings": FLOOR | {"wire", "places"},
    "service.handlers": set(),
    "service.status": FLOOR | {"wire", "service.handlers"},
    "service.model_messages": FLOOR | {"v1", "detect", "identity", "pipeline"},
    "service.health": FLOOR,
    "service.calls": FLOOR | {"service.handlers", "service.status"},
    "service.access": SERVICE_FLOOR | {"wire", "video", "files", "places"},
    "service.requests": SERVICE_FLOOR | {"v1", "wire", "pipeline", "service.access"},
    "service.logs": SERVICE_FLOOR | {"video", "service.access"},
    "service.tracing": SERVICE_FLOOR,
    "service.progress": SERVICE_FLOOR,
    "service.decoding": SERVICE_FLOOR | {"metrics", "video"},
    "service.embedding": SERVICE_FLOOR | {"v1", "identity", "metrics", "networks", "service.access"},
    "service.streams": SERVICE_FLOOR
    | {"v1", "wire", "video", "detect", "pipeline", "recording", "metrics", "malloc", "picture_budget"}
    | {"service.access", "service.decoding", "service.embedding", "service.progress", "service.requests"},
    "service.jobs": SERVICE_FLOOR
    | {"v1", "wire", "files", "places", "video", "pipeline", "outputs", "recording", "metrics"}
    | {"service.access", "service.decoding", "service.embedding", "service.progress", "service.requests"},
    "service.connections": SERVICE_FLOOR | {"service.access"},
    "service.memory_guard": SERVICE_FLOOR | {"memory", "metrics"},
    "service.interceptors": SERVICE_FLOOR
    | {"metrics", "service.access", "service.logs", "service.memory_guard", "service.tracing"},
    "service.dashboard": SERVICE_FLOOR | {"metrics", "service.streams"},
    "service.server": SERVICE_FLOOR
    | {"v1", "wire", "video", "detect", "pipeline", "metrics", "places", "picture_budget"}
    | {"service.access", "service.calls", "service.connections", "service.memory_guard"}
    | {"service.dashboard", "service.health", "service.interceptors", "service.jobs"}
    | {"service.decoding", "service.embedding", "service.streams", "service.tracing"},
    "cli": FLOOR
    | {
        "animation",
        "files",
        "memory",
        "progress",
        "video",
        "detect",
        "identity",
        "networks",
        "outputs",
        "recording",
        "archive",
        "model",
        "service",
        "client",
        "malloc",
        "picture_files",
    },
    "model": FLOOR | {"ops", "malloc", "progress"},
    "__init__": FLOOR | {"detect", "identity", "outputs", "pipeline", "video"},
}
# Programs of the trainer that take model files the way a user's runs do; they load the room when they are called.
LAZY_EXCEPTIONS = {
    (f"acfd_stream.model.{name}", room)
    for name in ("evaluation", "export", "quantise", "quantise_cpu")
    for room in ("detect", "networks")
} | {("acfd_stream.model.identity.quantise", "networks"), ("acfd_stream.model.identity.predict", "identity")}
# Files that import each other, directly or through others.
KNOWN_CIRCLES: set[frozenset[str]] = set()
# What may be read before any command runs: the choices of options, and progress, which loads Rich where it is shown.
LIGHT = {"acfd_stream.outputs.formats", "acfd_stream.progress"}
# Each is imported in one file, inside a function.
RUNTIMES = ("openvino", "tensorrt", "onnxruntime", "torch", "cupy", "pyarrow", "pandas", "ray")
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "core"}
LONGEST_FILE = 400
LONGEST_FUNCTION = 40  # without signature and docstring
LONGEST_TEST = 30


@dataclass(frozen=True)
class Import:
    """One imported module, by its full name."""

    path: Path
    line: int
    module: str
    is_lazy: bool  # inside a function, or for the type checker only

    @property
    def where(self) -> str:
        """file:line for messages."""
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.module}"


def python_files(*folders: str) -> list[Path]:
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if "_pb2" not in path.name)


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(["acfd_stream", *parts] if parts[0] == "model" else parts)


@lru_cache(maxsize=1)
def own_modules() -> frozenset[str]:
    return frozenset(module_name(path).removesuffix(".__init__") for path in python_files("acfd_stream", "model"))


def imported_names(node: ast.AST, package: str) -> list[str]:
    """Full module names of an import statement; ``from acfd_stream import x`` counts as acfd_stream.x."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
        return [name.value for name in node.args[:1] if isinstance(name, ast.Constant)]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = package.rsplit(".", node.level - 1)[0] if node.level else ""
    module = ".".join(part for part in (base, node.module) if part)
    names = [f"{module}.{alias.name}" for alias in node.names]
    return [name if module == "acfd_stream" or name in own_modules() else module for name in names]


def imports_below(node: ast.AST, path: Path, package: str, is_lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        is_guard = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        is_deferred = is_lazy or is_guard or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for name in imported_names(child, package):
            yield Import(path, child.lineno, name, is_deferred)  # type: ignore[attr-defined]
        yield from imports_below(child, path, package, is_deferred)


@lru_cache(maxsize=1)
def all_imports() -> tuple[Import, ...]:
    found: list[Import] = []
    for path in python_files("acfd_stream", "model"):
        name = module_name(path)
        package = name.removesuffix(".__init__") if path.stem == "__init__" else name.rpartition(".")[0]
        found += imports_below(ast.parse(path.read_text()), path, package, is_lazy=False)
    return tuple(found)


def room_of(module: str) -> str:
    """The room that a module is in: "service.jobs" of acfd_stream.service.jobs.store, where the table has that row."""
    parts = module.split(".")
    part = ".".join(parts[1:3])
    return part if part in MAY_IMPORT else parts[1] if len(parts) > 1 else "__init__"


def may_import(room: str, target: str) -> bool:
    """Whether the table allows it; a row that names the whole service allows each part of it."""
    allowed = MAY_IMPORT[room] | {room}
    return target in allowed or target.partition(".")[0] in MAY_IMPORT[room]


def own_imports() -> list[Import]:
    return [entry for entry in all_imports() if entry.module.split(".")[0] == "acfd_stream"]


def test_every_room_has_a_line_in_the_table() -> None:
    rooms = {room_of(module_name(path)) for path in python_files("acfd_stream", "model")}
    assert rooms <= set(MAY_IMPORT)
    assert FLOOR | {"ops", "model", "__init__"} <= rooms  # the reading itself works


def test_rooms_import_only_what_the_table_allows() -> None:
    wrong = []
    for entry in own_imports():
        room, target = room_of(module_name(entry.path)), room_of(entry.module)
        is_excepted = entry.is_lazy and (module_name(entry.path), target) in LAZY_EXCEPTIONS
        if not may_import(room, target) and not is_excepted:
            wrong.append(entry.where)
    assert wrong == []


def circles(arrows: dict[str, set[str]]) -> set[frozenset[str]]:
    """The groups of names that reach each other, each group as large as it goes."""
    reached: dict[str, set[str]] = {}
    for start in arrows:
        found, waiting = set(), list(arrows[start])
        while waiting:
            if (name := waiting.pop()) not in found:
                found.add(name)
                waiting += arrows.get(name, ())
        reached[start] = found
    loops = {start for start in arrows if start in reached[start]}
    return {frozenset(name for name in loops & reached[start] if start in reached[name]) for start in loops}


def test_circles_are_found() -> None:
    arrows = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"e"}, "e": {"d"}, "f": {"a", "e"}}
    assert circles(arrows) == {frozenset("abc"), frozenset("de")}
    assert circles({"a": {"b", "c"}, "b": {"c"}}) == set()


def test_files_import_each_other_in_no_circle() -> None:
    arrows: dict[str, set[str]] = {name: set() for name in own_modules()}
    for entry in own_imports():
        name = module_name(entry.path).removesuffix(".__init__")
        arrows[name] |= {entry.module} & arrows.keys() - {name}
    assert circles(arrows) - KNOWN_CIRCLES == set()


def test_nobody_inside_imports_from_the_package_root() -> None:
    rooms = set(MAY_IMPORT) - {"__init__"} | {"_C"}
    assert [entry.where for entry in own_imports() if room_of(entry.module) not in rooms] == []


@pytest.mark.parametrize("front", ["cli", "__init__"])
def test_the_front_loads_nothing_before_it_is_used(front: str) -> None:
    eager = [entry for entry in own_imports() if room_of(module_name(entry.path)) == front and not entry.is_lazy]
    heavy = [entry for entry in eager if room_of(entry.module) not in FLOOR | {front} and entry.module not in LIGHT]
    assert [entry.where for entry in heavy] == []


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_runtime_library_is_imported_in_one_file_inside_a_function(runtime: str) -> None:
    inside = ROOT / "acfd_stream"
    uses = [entry for entry in all_imports() if entry.module.split(".")[0] == runtime and inside in entry.path.parents]
    assert len({entry.path for entry in uses}) <= 1
    assert [entry.where for entry in uses if not entry.is_lazy] == []


def test_only_drawing_and_training_import_opencv_and_in_one_file() -> None:
    users = {entry.path for entry in all_imports() if entry.module.split(".")[0] == "cv2"}
    assert users == {ROOT / "model/opencv.py"}


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = ["av", "cv2", "openvino", "scipy", "torch", "grpc"]
    code = f"import sys, acfd_stream, acfd_stream.model; print([name for name in {heavy} if name in sys.modules])"
    assert run_python(code).strip() == "[]"


def test_drawing_and_scoring_need_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import acfd_stream.model.toon, acfd_stream.model.scoring; print(1)"
    assert run_python(code).strip() == "1"


def test_no_top_level_package_but_ours_is_installed() -> None:
    top_level = metadata.distribution("acfd-stream").read_text("top_level.txt")
    assert top_level is not None
    assert top_level.split() == ["acfd_stream"]


def source_files() -> list[Path]:
    native = [path for folder in ("csrc", "protos") for path in (ROOT / folder).rglob("*.*")]
    return python_files("acfd_stream", "model", "tests", "benchmarks") + native


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    parts = {(path, part) for path in source_files() for part in path.relative_to(ROOT).with_suffix("").parts}
    assert [str(path) for path, part in parts if part in VAGUE_NAMES] == []


def test_no_file_is_too_long() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in source_files()}
    assert {str(path): lines for path, lines in lengths.items() if lines > LONGEST_FILE} == {}


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and length of every function of a file; its signature and docstring are not counted."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            yield f"{path.relative_to(ROOT)}:{node.name}", lines


def test_no_function_is_too_long() -> None:
    found = [entry for path in python_files("acfd_stream", "model", "benchmarks") for entry in functions(path)]
    assert [entry for entry in found if entry[1] > LONGEST_FUNCTION] == []


def test_no_test_is_too_long() -> None:
    found = [entry for path in python_files("tests") for entry in functions(path)]
    assert [entry for entry in found if entry[1] > LONGEST_TEST] == []
