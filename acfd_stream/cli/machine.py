"""What ``doctor`` finds out about this machine. Nothing here loads torch."""

from __future__ import annotations

import base64
import io
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from acfd_stream.config import DetectConfig, VideoConfig, available_cores, cache_dir
from acfd_stream.errors import AcfdError

if TYPE_CHECKING:
    from acfd_stream.detect.detector import ModelFile

_DISTRIBUTION = "acfd-stream"
_MODEL = "acfd-n"
_DEVELOPMENT = ("test", "dev")
_FEATURES = (
    ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16")  # x86
    + ("asimddp", "i8mm", "bf16", "sve")  # ARM
)
"""CPU features that change the speed of a network, by their Linux names."""
_REQUIREMENT = re.compile(r"""([\w.-]+).*;.*\bextra == ["']([\w-]+)["']""")
T = TypeVar("T")


def gather() -> dict[str, Any]:
    """Everything that ``doctor`` prints; "problems" are the reasons why the default run does not work."""
    problems: list[str] = []
    facts = {
        "version": _version(),
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": platform.platform(),
        "cpu": _cpu(),
        "memory": _memory(),
        "gpu": _attempt(problems, _gpu) or {"count": 0, "obstacle": "unknown"},
        "network": _attempt(problems, _network),
        "decoder": _attempt(problems, _decoder),
        "models": _attempt(problems, lambda: _models(problems)) or [],
        "extras": _extras(),
        "cache": _cache(),
        "run_seconds": _attempt(problems, _run),
    }
    return facts | {"problems": list(dict.fromkeys(problems))}


def _attempt(problems: list[str], action: Callable[[], T]) -> T | None:
    """What ``action`` returns; None if it fails, and then its error is a problem."""
    try:
        return action()
    except Exception as error:  # of a library that is broken on this machine, which is what this command is for
        problems.append(str(error) if isinstance(error, AcfdError) else f"{type(error).__name__}: {error}")
        return None


def _version() -> str:
    try:
        return metadata.version(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "not installed"


def _cpu() -> dict[str, Any]:
    from acfd_stream.networks.precision import cpu_features, cpu_model

    features = [feature for feature in _FEATURES if feature in cpu_features()]
    return {"model": cpu_model() or platform.processor(), "cores": available_cores(), "features": features}


def _memory() -> dict[str, int]:
    from acfd_stream.memory import memory_size

    size = memory_size()
    return {"total_bytes": size.total, "available_bytes": size.available, "limit_bytes": size.limit}


def _gpu() -> dict[str, Any]:
    from acfd_stream.detect.device_choice import driver_gpus, gpu_status

    return {"count": driver_gpus()[0], "obstacle": gpu_status().obstacle}


def _network() -> dict[str, Any]:
    """The runner that ``track`` takes without options, and why it computes in this precision."""
    from acfd_stream.detect.detector import Detector

    with Detector.open(_MODEL) as detector:
        facts = detector.facts
    return {
        "model": f"{_MODEL} {detector.spec.version}",
        "runner": f"{facts.backend} {facts.version}",
        "device": facts.device,
        "precision": facts.precision,
        "reason": _reason(facts.precision),
        "description": facts.description,
    }


def _reason(precision: str) -> str:
    from acfd_stream.networks.precision import BYTE_FEATURES, cpu_features

    has = sorted(BYTE_FEATURES & cpu_features())
    reasons = {
        "int8": f"the fastest on a CPU with {', '.join(has)}",
        "bf16": "this CPU multiplies bf16",
        "f32": f"this CPU has none of {', '.join(sorted(BYTE_FEATURES))}, and does not multiply bf16",
    }
    return reasons.get(precision, "the fastest on this GPU")


def _decoder() -> dict[str, str]:
    import av

    from acfd_stream.detect.device_choice import device_for
    from acfd_stream.video.nvdec import choose_decoder

    choice = choose_decoder(device=device_for("auto"))
    return {"name": choice.name, "reason": choice.reason, "av": av.__version__, "ffmpeg": av.ffmpeg_version_info}


def _models(problems: list[str]) -> list[dict[str, Any]]:
    """Every shipped model file with its state; a file that is not as it was made is a problem."""
    from acfd_stream.detect.detector import models
    from acfd_stream.networks.precision import digest, int8_path_of

    recorded, found = _recorded(), []
    for model in models():
        for path in (model.path, int8_path_of(model.path)):
            if path.is_file():
                sha256 = digest(path)
                wrong = _fault(model, path, sha256, recorded)
                found.append({"file": os.fspath(path), "sha256": sha256, "state": wrong or "OK"})
                if wrong:
                    problems.append(f"model file {path} {wrong}; install acfd-stream again")
    return found


def _fault(model: ModelFile, path: Path, sha256: str, recorded: Mapping[Path, str]) -> str:
    """What is wrong with a model file; "": nothing."""
    from acfd_stream.networks.model_file import read_metadata
    from acfd_stream.networks.precision import MADE_FROM, digest

    if recorded.get(path.resolve(), sha256) != sha256:
        return "is not the one that was installed"
    if path != model.path and read_metadata(path).get(MADE_FROM) != digest(model.path):
        return f"was made from another {model.path.name}"
    return ""


def _recorded() -> dict[Path, str]:
    """SHA-256 of the installed model files as the installer noted them; none for an editable installation."""
    try:
        files = metadata.files(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return {}
    return {
        Path(os.fspath(file.locate())).resolve(): base64.urlsafe_b64decode(file.hash.value + "=").hex()
        for file in files
        if file.suffix == ".onnx" and file.hash is not None and file.hash.mode == "sha256"
    }


def _extras() -> dict[str, dict[str, Any]]:
    """Each extra, the packages of it that are missing, and the line that installs them."""
    try:
        requirements = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for requirement in requirements:
        parts = _REQUIREMENT.match(requirement)
        if parts is None or parts[2] in _DEVELOPMENT:
            continue
        install = f"pip install '{_DISTRIBUTION}[{parts[2]}]'"
        extra = found.setdefault(parts[2], {"missing": [], "install": install})
        if not _is_installed(parts[1]):
            extra["missing"].append(parts[1])
    return found


def _is_installed(package: str) -> bool:
    if package.startswith("opencv-"):  # any of OpenCV's packages will do, and a second one would overwrite it
        return find_spec("cv2") is not None
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _cache() -> dict[str, Any]:
    folder = cache_dir()
    if folder is None:
        return {"folder": None, "bytes": 0, "free_bytes": 0, "is_writable": False}
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    values = {"folder": os.fspath(folder), "bytes": used, "free_bytes": shutil.disk_usage(there).free}
    try:
        with tempfile.TemporaryFile(dir=there):
            return values | {"is_writable": True}
    except OSError:
        return values | {"is_writable": False}


def _run() -> float:
    """Seconds that ``track`` needs for a clip of two frames; raises what the command would report."""
    from acfd_stream.recording.record import Recorder
    from acfd_stream.recording.sinks import FormatSink
    from acfd_stream.recording.task import RecordingSettings
    from acfd_stream.video.nvdec import trial_clip

    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="acfd-doctor-") as folder:
        clip = Path(folder) / "clip.mkv"
        clip.write_bytes(trial_clip())
        settings = RecordingSettings(model=_MODEL, device="auto", detect=DetectConfig(), video=VideoConfig())
        recorder = Recorder(source=str(clip), settings=settings, sinks=[FormatSink(io.BytesIO(), "jsonl")], name="clip")
        recorder.record()
    return round(time.monotonic() - started, 2)
