"""A real Prometheus that scrapes a service of a test; with the rules and the job of deploy/, where it is to."""

from __future__ import annotations

import contextlib
import json
import math
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
STEP = "500ms"
_LISTENS = re.compile(r'msg="Listening on".*\baddress=(\S+)')


def write_config(folder: Path, target: str) -> Path:
    """deploy/prometheus.yml for a test: quick, and with ``target`` in place of what discovery finds."""
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": STEP, "scrape_timeout": STEP, "evaluation_interval": STEP}
    (job,) = (job for job in config["scrape_configs"] if job["job_name"] == "acfd-stream")
    del job["dns_sd_configs"], job["relabel_configs"]
    job["static_configs"] = [{"targets": [target], "labels": {"accelerator": "cpu"}}]
    config["scrape_configs"] = [job]
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())
    for group in rules["groups"]:
        group.pop("interval", None)
    (folder / "alerts.yml").write_text(yaml.safe_dump(rules))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    return folder / "prometheus.yml"


class Api:
    """What a running Prometheus answers."""

    def __init__(self, address: str) -> None:
        self._base = f"http://{address}/api/v1"

    def get(self, path: str, **query: str) -> Any:
        """The data of an endpoint."""
        url = f"{self._base}/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)["data"]

    def samples(self, expression: str) -> list[dict[str, Any]]:
        """Series of an instant query whose value is a number."""
        result = self.get("query", query=expression)["result"]
        return [series for series in result if not math.isnan(float(series["value"][1]))]


@contextlib.contextmanager
def running(program: str, config: Path) -> Iterator[Api]:
    """A Prometheus on a free port that does what ``config`` says until the block ends; its data lie beside that."""
    command = [program, f"--config.file={config}", f"--storage.tsdb.path={config.with_name('data')}"]
    command += ["--web.listen-address=127.0.0.1:0"]
    log = config.with_name("prometheus.log")
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        try:
            while not (found := _LISTENS.search(text := log.read_text())) or "Server is ready" not in text:
                assert process.poll() is None, f"Prometheus ended: {text}"
                time.sleep(0.05)
            yield Api(found[1])
        finally:
            process.kill()
