"""deploy/kubernetes: of the schemas of Kubernetes, locked up, and in step with what the service listens on."""

from __future__ import annotations

import copy
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from acfd_stream.service.settings import ServiceSettings, read_settings

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
BASE = FOLDER / "base"
OVERLAYS = {"service": FOLDER, "service-gpu": FOLDER / "gpu"}  # by the compose service that runs the same image
FILES = sorted(path.name for path in BASE.glob("*.yaml") if path.name != "kustomization.yaml")
KUBERNETES = "1.37"


def load(name: str, folder: Path = BASE) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / name).read_text()))


def roots(folder: Path) -> list[Path]:
    """Folders that the kustomization in ``folder`` takes as resources, resolved."""
    resources = [folder / entry for entry in load("kustomization.yaml", folder)["resources"]]
    return [path.resolve() for path in resources if path.is_dir()]


@pytest.fixture
def pod() -> dict[str, Any]:
    return dict(load("deployment.yaml")["spec"]["template"]["spec"])


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["containers"]
    return dict(found)


@pytest.fixture
def settings() -> ServiceSettings:
    return read_settings(BASE / "serve.toml")


def port(address: str) -> int:
    return int(address.rpartition(":")[2])


@pytest.mark.parametrize("name", FILES)
def test_every_manifest_is_of_its_schema(name: str) -> None:
    assert kubernetes_validate.validate(load(name), KUBERNETES, strict=True)


def test_the_schema_would_see_a_mistake() -> None:
    broken = copy.deepcopy(load("deployment.yaml"))
    broken["spec"]["template"]["spec"]["containers"][0]["readinessProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_kustomize_takes_every_manifest_and_the_config() -> None:
    kustomization = load("kustomization.yaml")
    assert sorted(kustomization["resources"]) == FILES
    (config,) = kustomization["configMapGenerator"]
    assert config["files"] == ["serve.toml"]
    volumes = load("deployment.yaml")["spec"]["template"]["spec"]["volumes"]
    assert config["name"] in [volume.get("configMap", {}).get("name") for volume in volumes]
    assert kustomization["namespace"] == load("namespace.yaml")["metadata"]["name"]


def test_the_images_are_those_that_compose_builds(compose: dict[str, Any]) -> None:
    for name, folder in OVERLAYS.items():
        (image,) = load("kustomization.yaml", folder)["images"]
        assert f"{image['newName']}:{image['newTag']}" == compose["services"][name]["image"]
        assert image["name"] == "acfd-stream"


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_the_kubelet_asks_grpc_health_where_the_service_listens(
    container: dict[str, Any], settings: ServiceSettings, probe: str
) -> None:
    assert container[probe]["grpc"]["port"] == port(settings.listen)
    assert settings.access.is_health_open  # the kubelet has no token


def test_ports_agree_everywhere(container: dict[str, Any], settings: ServiceSettings) -> None:
    inside = {entry["name"]: entry["containerPort"] for entry in container["ports"]}
    assert inside == {"grpc": port(settings.listen), "metrics": port(settings.metrics)}
    assert {entry["targetPort"] for entry in load("service.yaml")["spec"]["ports"]} == set(inside)
    assert {entry["port"] for entry in load("service.yaml")["spec"]["ports"]} == set(inside.values())
    allowed = [rule["ports"][0]["port"] for rule in load("network.yaml")["spec"]["ingress"]]
    assert allowed == list(inside.values())
    notes = load("deployment.yaml")["spec"]["template"]["metadata"]["annotations"]
    assert notes["prometheus.io/port"] == str(inside["metrics"])


def test_the_pod_listens_beyond_itself(settings: ServiceSettings) -> None:
    assert {settings.listen.split(":")[0], settings.metrics.split(":")[0]} == {"0.0.0.0"}


def test_everything_selects_the_same_pods() -> None:
    labels = load("deployment.yaml")["spec"]["template"]["metadata"]["labels"]
    assert load("deployment.yaml")["spec"]["selector"]["matchLabels"] == labels
    assert load("service.yaml")["spec"]["selector"] == labels
    assert load("disruption.yaml")["spec"]["selector"]["matchLabels"] == labels
    assert load("network.yaml")["spec"]["podSelector"]["matchLabels"] == labels


def test_the_pod_is_locked_up(pod: dict[str, Any], container: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    locked = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert container["securityContext"] == locked


def test_volumes_are_mounted_where_the_service_writes(pod: dict[str, Any], container: dict[str, Any]) -> None:
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
    state = tomllib.loads((BASE / "serve.toml").read_text())["jobs"]["state_dir"]
    assert state.startswith(mounts["state"] + "/")
    assert f"ACFD_CACHE_DIR={mounts['cache']}" in (FOLDER.parent / "Dockerfile").read_text()


def test_a_pod_is_given_longer_than_its_drain(pod: dict[str, Any], settings: ServiceSettings) -> None:
    assert pod["terminationGracePeriodSeconds"] > settings.drain_seconds + 5


def test_the_service_counts_the_cores_that_the_pod_may_use(
    container: dict[str, Any], settings: ServiceSettings
) -> None:
    assert container["resources"]["limits"]["cpu"] == container["resources"]["requests"]["cpu"]
    assert settings.detect.threads == settings.capacity.cores == int(container["resources"]["limits"]["cpu"])


def test_the_autoscaler_goes_by_what_the_adapter_makes_of_headroom() -> None:
    (metric,) = load("autoscaler.yaml")["spec"]["metrics"]
    (rule,) = load("prometheus-adapter.yaml", FOLDER)["rules"]["custom"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    assert rule["seriesQuery"].startswith("acfd_capacity_headroom_ratio{")
    assert "1 - avg by" in rule["metricsQuery"]
    assert "replicas" not in load("deployment.yaml")["spec"]  # it would fight with the autoscaler
    assert load("autoscaler.yaml")["spec"]["scaleTargetRef"]["name"] == load("deployment.yaml")["metadata"]["name"]


def test_the_gpu_overlay_asks_for_one() -> None:
    (patch,) = load("kustomization.yaml", FOLDER / "gpu")["patches"]
    steps = {step["path"]: step["value"] for step in yaml.safe_load(patch["patch"])}
    assert steps["/spec/template/spec/containers/0/resources/limits/nvidia.com~1gpu"] == 1


@pytest.mark.parametrize("folder", OVERLAYS.values(), ids=OVERLAYS)
def test_an_overlay_takes_the_base_and_no_folder_that_contains_it(folder: Path) -> None:
    """Kustomize reports a cycle where a resource is the overlay's own folder or one above it."""
    assert roots(folder) == [BASE]
    assert not {folder, *folder.parents} & set(roots(folder))
    assert roots(BASE) == []


@pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not installed; no Debian package is recent enough"
)
@pytest.mark.parametrize(("name", "folder"), OVERLAYS.items(), ids=OVERLAYS)
def test_kubectl_builds_every_overlay(compose: dict[str, Any], name: str, folder: Path) -> None:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    built = {manifest["kind"]: manifest for manifest in yaml.safe_load_all(done.stdout)}
    assert built.keys() == {load(file)["kind"] for file in FILES} | {"ConfigMap"}
    (container,) = built["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == compose["services"][name]["image"]
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) is (folder != FOLDER)
