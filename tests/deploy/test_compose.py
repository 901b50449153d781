"""docker-compose.yml: of the compose specification, pinned, without root, without secrets, over files that exist."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
SAMPLE = ROOT / "deploy" / "compose.env.sample"
SERVICES = ["service", "service-gpu", "prometheus", "grafana"]
PINNED = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+\.\d+(-[a-z0-9-]+)?@sha256:[0-9a-f]{64}")
VARIABLE = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")


def schema() -> dict[str, Any]:
    """The compose specification, as the package check-jsonschema carries it."""
    folder = files("check_jsonschema") / "builtin_schemas" / "vendor"
    return dict(json.loads((folder / "compose-spec.json").read_text()))


def test_the_file_is_of_the_compose_specification(compose: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema()).validate(compose)


def test_its_own_checker_agrees() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "ok -- validation done"), done.stdout


@pytest.mark.parametrize("spoiled", [{"prots": []}, {"user": 10001}, {"healthcheck": {"tests": []}}])
def test_the_specification_would_see_a_mistake(compose: dict[str, Any], spoiled: dict[str, Any]) -> None:
    broken = copy.deepcopy(compose)
    broken["services"]["service"].update(spoiled)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema()).validate(broken)


def test_only_the_service_on_a_gpu_needs_its_profile(compose: dict[str, Any]) -> None:
    assert list(compose["services"]) == SERVICES
    profiles = {name: service.get("profiles") for name, service in compose["services"].items()}
    assert {name for name, wanted in profiles.items() if wanted} == {"service-gpu"}
    assert profiles["service-gpu"] == ["gpu"]


def test_the_gpu_is_reserved_and_nothing_else_is(compose: dict[str, Any]) -> None:
    reserved = compose["services"]["service-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert reserved == [{"driver": "nvidia", "count": "${ACFD_GPUS:-1}", "capabilities": ["gpu"]}]
    assert [name for name, service in compose["services"].items() if "deploy" in service] == ["service-gpu"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_locked_up_and_watched(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) > 0
    assert service["healthcheck"]["test"][0] == "CMD"
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & set(service)


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_built_here_or_pinned_by_version_and_digest(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    if "build" in service:
        version = re.search(r'(?m)^version = "(.+)"', (ROOT / "pyproject.toml").read_text())
        assert version is not None
        assert service["image"] == f"acfd-stream:{version[1]}-{service['build']['target']}"
        assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    else:
        assert PINNED.fullmatch(service["image"])


def test_what_is_mounted_from_here_exists_and_cannot_be_written(compose: dict[str, Any]) -> None:
    mounts = [mount.split(":") for service in compose["services"].values() for mount in service["volumes"]]
    from_here = [mount for mount in mounts if mount[0].startswith(".")]
    assert {mount[2] for mount in from_here if (ROOT / mount[0]).exists()} == {"ro"}
    assert [mount[0] for mount in from_here if not (ROOT / mount[0]).exists()] == []
    assert {mount[0] for mount in mounts if not mount[0].startswith(".")} == set(compose["volumes"])


def test_every_port_stays_on_this_machine_unless_told(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service["ports"]]
    hosts = [VARIABLE.sub(r"\2", port).rsplit(":", 2)[0] for port in ports]
    assert hosts == ["127.0.0.1"] * len(ports)
    assert len({VARIABLE.sub(r"\2", port) for port in ports}) == len(ports)


def test_the_sample_of_env_has_every_variable_with_its_default() -> None:
    used = dict(VARIABLE.findall(FILE.read_text()))
    lines = [line for line in SAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    assert dict(line.split("=", 1) for line in lines) == used
    assert len(re.findall(r"\$\{", FILE.read_text())) == len(VARIABLE.findall(FILE.read_text()))


def test_there_is_no_secret_in_it() -> None:
    text = FILE.read_text() + SAMPLE.read_text()
    assert re.findall(r"(?i)(password|secret|token|key)\w*\s*[:=]\s*[\"']?\S+", text) == []


def test_a_stop_is_waited_for_longer_than_streams_may_take(compose: dict[str, Any]) -> None:
    from acfd_stream.service.settings import read_settings

    drain = read_settings(ROOT / "deploy" / "serve.toml").drain_seconds
    for name in ("service", "service-gpu"):
        assert int(compose["services"][name]["stop_grace_period"].removesuffix("s")) > drain + 5
