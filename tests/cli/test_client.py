"""``client`` against a real service over the hand-made network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from acfd_stream.cli import main
from acfd_stream.service.access.token_file import add_token
from acfd_stream.service.server import Server
from acfd_stream.service.settings import AccessConfig, TlsConfig
from tests.detect.tiny_model import write_tiny_model
from tests.service.certificates import Authority
from tests.service.rig import serving, write_clip
from tests.video.containers import write_film


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Server]:
    with serving(model) as running:
        yield running


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4")


def to(server: Server) -> list[str]:
    return ["--to", f"127.0.0.1:{server.port}"]


def track_here(model: Path, clip: Path, out: Path, *options: str) -> bytes:
    settings = ["--model", str(model), "--size", "128", "--threads", "1", "--quiet"]
    assert main(["track", str(clip), "-o", str(out), *settings, *options]) == 0
    return out.read_bytes()


@pytest.mark.parametrize(
    "options", [[], ["--start", "0.5", "--end", "1.75"], ["--format", "mot"], ["--min-score", "0.99"]]
)
def test_results_are_those_of_track_byte_for_byte(
    server: Server, model: Path, clip: Path, tmp_path: Path, options: list[str]
) -> None:
    here = track_here(model, clip, tmp_path / "here", *options)
    there = tmp_path / "there"
    assert main(["client", "track", str(clip), *to(server), "-o", str(there), "--quiet", *options]) == 0
    assert there.read_bytes() == here
    assert here.count(b"\n") > 20


@pytest.mark.parametrize("name", ["dropped.avi", "shuffled.avi", "repeats.ogv", "delays.gif"])
def test_films_with_pictures_that_last_or_without_times_are_the_same_in_a_stream_and_a_file(
    server: Server, model: Path, name: str, tmp_path: Path
) -> None:
    clip, expected = write_film(tmp_path / name)
    here = track_here(model, clip, tmp_path / "here")
    assert main(["client", "track", str(clip), *to(server), "-o", str(tmp_path / "there"), "--quiet"]) == 0
    assert (tmp_path / "there").read_bytes() == here
    assert json.loads(here.splitlines()[-1])["duration"] == expected
    assert (b'"times": "inferred"' in here.splitlines()[0]) == (name == "shuffled.avi")


def test_an_mp4_whose_index_stands_at_its_end_can_be_sent(
    server: Server, model: Path, clip: Path, tmp_path: Path
) -> None:
    assert clip.read_bytes().index(b"mdat") < clip.read_bytes().index(b"moov")
    assert main(["client", "track", str(clip), *to(server), "-o", str(tmp_path / "a.jsonl")]) == 0


def test_stdin_is_sent_as_it_comes(server: Server, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv")
    command = [sys.executable, "-m", "acfd_stream.cli", "client", "track", "-", *to(server), "-q"]
    with clip.open("rb") as file:
        done = subprocess.run(command, stdin=file, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    header, *_, end = map(json.loads, (tmp_path / "stdin.jsonl").read_text().splitlines())
    assert header["source"] == "<stdin>"
    assert end["complete"] is True


def test_a_live_stream_is_sent_at_its_own_speed(server: Server, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "live.jsonl"
    assert (
        main(
            [
                "client",
                "track",
                str(clip),
                *to(server),
                "-o",
                str(out),
                "--live",
                "--objective",
                "20",
                "--end",
                "0.5",
                "-q",
            ]
        )
        == 0
    )
    header, *frames, end = map(json.loads, out.read_text().splitlines())
    assert header["settings"]["shot"]["lookahead_frames"] == 0
    assert [frame["index"] for frame in frames] == list(range(12))
    assert end["complete"] is True


def test_faces_of_pictures_are_those_of_detect(
    server: Server, model: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with av.open(str(write_clip(tmp_path / "clip.mkv", frames=2))) as container:
        cv2.imwrite(str(tmp_path / "face.png"), next(container.decode(video=0)).to_ndarray(format="bgr24"))
    pictures = [str(tmp_path / "face.png"), str(tmp_path / "missing.png"), str(tmp_path / "clip.mkv")]
    for options, faces in (([], 1), (["--all"], 1), (["--min-score", "0.999"], 0)):
        assert main(["detect", *pictures, *options, "--model", str(model), "--size", "128"]) == 1
        here = capfdbinary.readouterr()
        assert main(["client", "detect", *pictures, *options, *to(server)]) == 1
        there = capfdbinary.readouterr()
        assert there.out == here.out
        assert len(json.loads(here.out)["faces"]) == faces
        assert there.err.count(b"\n") == here.err.count(b"\n") == 2


def test_capacity_is_an_object(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["client", "capacity", *to(server), "--size", "128x96", "--fps", "1"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert set(answer) >= {"fits", "headroom", "reason"}
    for size in ["big", "0x1", "1x" + "9" * 400, "9" * 5000 + "x1"]:
        assert main(["client", "capacity", *to(server), "--size", size]) == 2
        assert "is not a size like 1280x720" in capfd.readouterr().err
    for option in ("--fps", "--objective"):
        for number in ("nan", "inf", "1e400", "-1"):
            assert main(["client", "capacity", *to(server), f"{option}={number}"]) in (1, 2)
            assert "bug" not in capfd.readouterr().err


def test_health_is_0_where_it_serves_and_1_where_not(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with serving(model) as server:
        assert main(["client", "health", *to(server)]) == 0
        server.health.drain()
        assert main(["client", "health", *to(server)]) == 1
        assert capfd.readouterr().out == "SERVING\nNOT_SERVING\n"
        assert main(["client", "health", *to(server), "--service", "other"]) == 2
    assert main(["client", "health", *to(server)]) == 1


def test_watch_prints_each_status_and_ends_with_the_service(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with serving(model) as server:
        command = [sys.executable, "-m", "acfd_stream.cli", "client", "watch", *to(server)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
            assert watching.stdout is not None
            assert watching.stdout.readline() == "SERVING\n"
            server.stop()
            assert watching.stdout.read() == "NOT_SERVING\n"
            assert watching.wait(20) == 0


def complaint(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    capfd.readouterr()
    code = main(["client", *arguments])
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("acfd-stream: ")]
    assert len(lines) == 1
    return code, lines[0]


def test_faults_are_one_line_with_a_code(
    server: Server, clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, broken = ["-o", str(tmp_path / "out.jsonl")], tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video at all")
    nobody = ["--to", "127.0.0.1:1"]
    for code, words, arguments in [
        (1, "cannot be reached", ["track", str(clip), *nobody, *out, "--patience", "0"]),
        (1, "cannot be reached", ["capacity", *nobody]),
        (1, "cannot open", ["track", str(tmp_path / "absent.mp4"), *to(server), *out]),
        (1, "", ["track", str(broken), *to(server), *out]),
        (2, "with --uri the server reads it", ["track", "http://localhost/a.mp4", *to(server), *out]),
        (2, "'xml' is not one of 'jsonl', 'parquet'", ["track", str(clip), *to(server), "--format", "xml", "-o", "x"]),
        (2, "cannot read token file", ["capacity", *to(server), "--token-file", str(tmp_path / "none")]),
        (2, "has no PEM", ["capacity", *to(server), "--ca", str(broken)]),
        (2, "Missing option", ["capacity"]),
    ]:
        found, text = complaint(capfd, *arguments)
        assert (found, words in text) == (code, True), (arguments, found, text)
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("suffix", ["png", "bmp.png"])
def test_a_picture_above_the_message_limit_is_told_its_size_and_the_other_ways(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str
) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (1200, 1300, 3), np.uint8)
    path, small = tmp_path / f"large.{suffix}", tmp_path / "small.png"
    cv2.imwrite(str(path), noise)
    cv2.imwrite(str(small), noise[:96, :96])
    assert path.stat().st_size > 4 * 2**20
    assert main(["client", "detect", str(path), str(small), *to(server)]) == 1
    told = capfd.readouterr()
    assert told.err.count("\n") == 1
    assert f"{path}: the message has 4.5 MiB, above the limit of 4.0 MiB" in told.err
    assert ("JPEG" in told.err, "client track" in told.err, "no room" in told.err) == (True, True, False)
    assert json.loads(told.out)["file"] == str(small)  # the next picture is not held up
    assert main(["client", "track", str(path), *to(server), "-o", str(tmp_path / "out.jsonl"), "--quiet"]) == 0


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_loopback_address_is_reached_without_a_proxy(
    server: Server, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, host: str
) -> None:
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    target = ["--to", f"{host}:{server.port}"]
    assert main(["client", "health", *target]) == 0
    assert main(["client", "track", str(clip), "-o", str(tmp_path / "out.jsonl"), "--quiet", *target]) == 0


def test_another_host_that_is_not_reached_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    code, text = complaint(capfd, "capacity", "--to", "host.invalid:50051")
    assert code == 1
    assert "http_proxy is set: name the host in no_proxy" in text


@pytest.mark.parametrize("command", [["track", "clip.mp4"], ["jobs", "results", "j"]])
def test_a_format_without_its_library_is_refused_before_the_service_is_called(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, text = complaint(capfd, *command, "--to", "127.0.0.1:1", "--format", "parquet", "--patience", "0")
    assert (code, "pyarrow" in text) == (2, True), text


def test_a_path_and_a_url_that_the_operator_does_not_allow_are_refused(
    server: Server, clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for uri in (str(clip), f"file://{clip}", "http://localhost:1/a.mp4", "/etc/passwd"):
        code, text = complaint(capfd, "track", uri, "--uri", *to(server), "-o", str(tmp_path / "o"))
        assert code == 2, text
        assert "refuses" in text


def test_tokens_and_certificates_are_shown(
    model: Path, clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    authority = Authority(tmp_path, "authority")
    pair, known = authority.pair("server"), authority.pair("known")
    (tmp_path / "token").write_text(add_token(tmp_path / "tokens.toml", "studio") + "\n")
    tls = TlsConfig(pair.certificate, pair.key, authority.ca)
    with serving(model, tls=tls, access=AccessConfig(tokens=tmp_path / "tokens.toml")) as server:
        trusts = ["--to", f"localhost:{server.port}", "--ca", str(authority.ca)]
        shows = [*trusts, "--cert", str(known.certificate), "--key", str(known.key)]
        assert main(["client", "capacity", *shows, "--token-file", str(tmp_path / "token")]) == 0
        code, text = complaint(capfd, "capacity", *shows)
        assert (code, "no token" in text) == (2, True)
        code, text = complaint(capfd, "capacity", *trusts, "--token-file", str(tmp_path / "token"))
        assert code == 1
