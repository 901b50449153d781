"""deploy/Dockerfile, read and not built: there is no engine in a test. Its steps are run by hand, see the docs."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from acfd_stream.service.settings import read_settings

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


@dataclass
class Stage:
    """FROM … AS name, and what follows."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [text for kind, text in self.steps if kind == instruction]


@pytest.fixture(scope="module")
def stages() -> dict[str, Stage]:
    """Stages by name, in order; a line that goes on is one."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    found: dict[str, Stage] = {}
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "FROM":
            base, _, name = rest.split()
            found[name] = Stage(base, name)
        elif line.strip() and not line.startswith(("#", "ARG PYTHON_IMAGE")):
            list(found.values())[-1].steps.append((kind, rest))
    return found


def copied(stage: Stage) -> list[str]:
    """Sources from the build context."""
    copies = [shlex.split(text) for text in stage.all("COPY")]
    return [source for words in copies if not words[0].startswith("--from") for source in words[:-1]]


def is_sent(path: str) -> bool:
    """Whether .dockerignore lets ``path`` through: the last line that fits decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        below = path == pattern or path.startswith(pattern + "/")
        if line and not line.startswith("#") and (below or fnmatch.fnmatch(Path(path).name, pattern)):
            sent = line.startswith("!")
    return sent


def test_cpu_and_gpu_are_targets_and_cpu_is_what_one_gets(stages: dict[str, Stage]) -> None:
    assert list(stages) == ["build", "runtime", "build-gpu", "gpu", "cpu"]
    assert stages["cpu"].base == stages["gpu"].base == "runtime"
    assert stages["cpu"].steps == []


def test_the_base_is_pinned_by_version_and_digest(stages: dict[str, Stage]) -> None:
    argument = re.search(r"(?m)^ARG PYTHON_IMAGE=(.*)$", DOCKERFILE.read_text())
    assert argument is not None
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", argument[1])
    assert {stages["build"].base, stages["runtime"].base} == {"${PYTHON_IMAGE}"}
    assert stages["build-gpu"].base == "build"


def test_what_is_copied_is_there_and_is_sent(stages: dict[str, Stage]) -> None:
    for stage in stages.values():
        for source in copied(stage):
            assert (ROOT / source).exists(), source
            assert is_sent(source), source


def test_what_must_stay_behind_is_not_sent() -> None:
    for path in (
        ".git",
        ".env",
        "tests",
        "runs",
        "acfd_stream/_C.cpython-311-x86_64-linux-gnu.so",
        "deploy/alerts.yml",
    ):
        assert not is_sent(path), path
    assert is_sent("acfd_stream/service/settings.py")


def test_the_wheel_gets_all_that_it_is_built_from(stages: dict[str, Stage]) -> None:
    needed = {"pyproject.toml", "setup.py", "README.md", "LICENSE", "protos", "csrc", "model", "acfd_stream"}
    assert needed <= set(copied(stages["build"]))


def test_it_runs_as_the_user_that_compose_names(stages: dict[str, Stage], compose: dict[str, Any]) -> None:
    assert stages["runtime"].all("USER") == ["10001:10001"]
    assert {stage.name for stage in stages.values() if stage.all("USER")} == {"runtime"}
    for name in ("service", "service-gpu"):
        assert compose["services"][name]["user"] == "10001:10001"
    kinds = [kind for kind, _ in stages["runtime"].steps]
    assert "RUN" not in kinds[kinds.index("USER") :]


def test_the_compiler_stays_in_its_stage(stages: dict[str, Stage]) -> None:
    assert any("g++" in step for step in stages["build"].all("RUN"))
    later = [step for name in ("runtime", "gpu", "cpu") for step in stages[name].all("RUN")]
    assert not any(word in step for step in later for word in ("apt-get", "pip"))


def test_health_is_asked_the_same_way_here_and_in_compose(stages: dict[str, Stage], compose: dict[str, Any]) -> None:
    (check,) = stages["runtime"].all("HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])
    assert compose["services"]["service"]["healthcheck"]["test"] == ["CMD", *command]
    port = read_settings(ROOT / "deploy" / "serve.toml").listen.rpartition(":")[2]
    assert command[-1] == f"127.0.0.1:{port}"


def test_it_serves_what_its_config_says(stages: dict[str, Stage], compose: dict[str, Any]) -> None:
    (entry,), (arguments,) = stages["runtime"].all("ENTRYPOINT"), stages["runtime"].all("CMD")
    assert json.loads(entry) + json.loads(arguments) == ["acfd-stream", "serve", "--config", "/etc/acfd/serve.toml"]
    assert "deploy/serve.toml /etc/acfd/serve.toml" in stages["runtime"].all("COPY")
    settings = read_settings(ROOT / "deploy" / "serve.toml")
    ports = [address.rpartition(":")[2] for address in (settings.listen, settings.metrics)]
    assert stages["runtime"].all("EXPOSE") == [" ".join(ports)]
    inside = [port.rpartition(":")[2] for port in compose["services"]["service"]["ports"]]
    assert inside == ports


def test_the_gpu_image_asks_for_the_driver_and_its_decoder(stages: dict[str, Stage]) -> None:
    (text,) = stages["gpu"].all("ENV")
    assert "NVIDIA_VISIBLE_DEVICES=all" in text
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video " in text
    assert stages["runtime"].all("ENV")[0].rpartition("ACFD_CACHE_DIR=")[2] in text.rpartition("CUPY_CACHE_DIR=")[2]


def test_the_gpu_image_has_what_the_extra_of_that_name_brings(stages: dict[str, Stage]) -> None:
    (step,) = stages["build-gpu"].all("RUN")
    assert "[gpu]" in step
    assert stages["gpu"].all("COPY") == ["--from=build-gpu /added /"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {re.split(r"[<>=\[]", entry)[0] for entry in extras["gpu"]}
    assert {"cupy-cuda13x", "nvidia-cuda-nvrtc", "nvidia-cuda-runtime", "onnx", "tensorrt"} <= named
