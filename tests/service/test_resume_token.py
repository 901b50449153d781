"""Resume tokens under a secret: who has it makes and opens them, and it can be exchanged."""

from __future__ import annotations

import base64
import json
import random
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest

from acfd_stream.errors import ConfigError
from acfd_stream.service.access import file_watch
from acfd_stream.service.access import resume_token as tokens
from acfd_stream.service.access.token_signer import KEY_FILE, TokenSigner
from acfd_stream.service.settings import AccessConfig
from acfd_stream.types import Picture
from acfd_stream.v1 import stream_pb2
from acfd_stream.video.held import HeldState, block_means_of
from tests.service.rig import calling, failure, plain_results, sending, serving
from tests.service.test_resume import EAGER, configured, read_until

OLD, NEW = "old secret of 24 bytes..", "new secret of 24 bytes.."


@pytest.fixture(autouse=True)
def looks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_watch, "CHECK_SECONDS", 0.0)


def signed(path: Path, *secrets: str) -> TokenSigner:
    path.write_text("\n".join(secrets))
    return TokenSigner(path)


def test_only_who_has_the_secret_makes_tokens(tmp_path: Path) -> None:
    signer = signed(tmp_path / "key", OLD)
    assert signer.unpack(signer.pack({"a": 1})) == {"a": 1}
    assert signed(tmp_path / "same", "", OLD + "\r").unpack(signer.pack({"a": 1})) == {"a": 1}
    for forged in (tokens.pack({"a": 1}), TokenSigner().pack({"a": 1}), signed(tmp_path / "other", NEW).pack({"a": 1})):
        with pytest.raises(ConfigError, match="from a server with the same key"):
            signer.unpack(forged)
    with pytest.raises(ConfigError, match="same key"):
        TokenSigner().unpack(signer.pack({"a": 1}))


def test_a_secret_is_exchanged_while_the_service_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "key"
    signer = signed(path, OLD)
    before = signer.pack({})
    path.write_text(f"{NEW}\n{OLD}\n\n")
    assert signer.unpack(before) == {}
    after = signer.pack({})
    assert signed(tmp_path / "new", NEW).unpack(after) == {}
    path.write_text("")
    assert signer.unpack(after) == {}
    assert "the previous resume keys stay in use: resume key" in caplog.text
    path.write_text(f"{NEW}\n")
    with pytest.raises(ConfigError, match="same key"):
        signer.unpack(before)


def test_without_a_file_the_key_is_that_of_the_folder(tmp_path: Path) -> None:
    first = TokenSigner(folder=tmp_path / "state")
    path = tmp_path / "state" / KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert [each.name for each in path.parent.iterdir()] == [KEY_FILE]
    token = first.pack({"a": 1})
    assert TokenSigner(folder=tmp_path / "state").unpack(token) == {"a": 1}  # after a restart
    assert TokenSigner(path).unpack(token) == {"a": 1}
    for other in (TokenSigner(folder=tmp_path / "other"), TokenSigner()):
        with pytest.raises(ConfigError, match="same key"):
            other.unpack(token)


def test_without_a_folder_the_key_is_in_the_cache_and_else_random(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACFD_CACHE_DIR", str(tmp_path / "cache"))
    token = TokenSigner.of(None, None, 1000).pack({"a": 1})
    assert TokenSigner.of(None, None, 1000).unpack(token) == {"a": 1}  # after a restart
    assert (tmp_path / "cache" / KEY_FILE).stat().st_mode & 0o777 == 0o600
    (tmp_path / "file").touch()
    monkeypatch.setenv("ACFD_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(ConfigError, match="same key"):
        TokenSigner.of(None, None, 1000).unpack(token)


def test_servers_that_start_at_once_make_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        signers = list(pool.map(lambda _: TokenSigner(folder=tmp_path), range(8)))
    token = signers[0].pack({})
    assert all(signer.unpack(token) == {} for signer in signers)
    assert [each.name for each in tmp_path.iterdir()] == [KEY_FILE]


def test_a_folder_that_cannot_hold_a_key_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"jobs\.state_dir: cannot make .*file"):
        TokenSigner(folder=tmp_path / "file")
    (tmp_path / KEY_FILE).write_text("short")
    with pytest.raises(ConfigError, match="less than 16"):
        TokenSigner(folder=tmp_path)


def test_without_a_folder_each_process_has_a_key_of_its_own() -> None:
    signer = TokenSigner()
    assert signer.unpack(signer.pack({"a": 1})) == {"a": 1}
    for forged in (tokens.pack({"a": 1}), TokenSigner().pack({"a": 1})):
        with pytest.raises(ConfigError, match="same key"):
            signer.unpack(forged)


def test_nothing_is_inflated_before_the_signature_is_right() -> None:
    deflater = zlib.compressobj(9)
    body = b"".join(deflater.compress(bytes(2**20)) for _ in range(64)) + deflater.flush()
    bomb = tokens._MAGIC + tokens._proof(body, b"") + body
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError, match="same key"):
            TokenSigner().unpack(bomb)
        assert tracemalloc.get_traced_memory()[1] < 2**20
        with pytest.raises(ConfigError, match=f"at most {tokens.MOST_BYTES} bytes of state"):
            tokens.unpack(bomb)
        assert tracemalloc.get_traced_memory()[1] < 3 * tokens.MOST_BYTES
    finally:
        tracemalloc.stop()
    with pytest.raises(ConfigError, match="at most 1000 bytes, got 1001"):
        TokenSigner(most_bytes=1000).unpack(bytes(1001))


@pytest.mark.parametrize("size", [(1, 1), (720, 1280), (1280, 1280), (1281, 1281), (2160, 3840), (4096, 4096)])
def test_the_bound_is_above_every_state(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    drawing = HeldState(block_means_of(Picture.from_rgb(noise)), (0.5,) * 24)
    view = base64.b64encode(bytes(36 * 64 * 3)).decode()
    face = [[2**31, [1234.56789012345] * 4, 0.1234567890123456, "detected"]] * 100
    rest = {"views": [view] * 55, "frames": [face] * 64, "ready": [face] * 64}
    assert len(json.dumps({"held": drawing.values(), **rest})) < tokens.most_state_bytes(size[0] * size[1])


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "[]", "1", '{"a": NaN}', '{"a": Infinity}', "9" * 5000, "\0"])
def test_what_is_no_state_is_refused_whoever_signed_it(text: str) -> None:
    body = zlib.compress(text.encode())
    with pytest.raises(ConfigError, match="must hold a state"):
        tokens.unpack(tokens._MAGIC + tokens._proof(body, b"") + body)


def test_damaged_tokens_are_refused() -> None:
    signer, dice = TokenSigner(), random.Random(2)
    token = signer.pack({"a": list(range(100))})
    for _ in range(2000):
        damaged = bytearray(token)
        for _ in range(dice.randrange(1, 4)):
            damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        cut = bytes(damaged[: dice.choice((len(damaged), dice.randrange(len(damaged))))])
        if cut != token:
            with pytest.raises(ConfigError, match="resume_token must be"):
                signer.unpack(cut)


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot read resume key"), ("\n\n", "holds no secret"), ("short", "less than 16")]
)
def test_a_bad_file_is_told_at_the_start(tmp_path: Path, tiny_model: Path, content: str | None, words: str) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_text(content)
    with (
        pytest.raises(ConfigError, match=f"{words}.*") as caught,
        serving(tiny_model, access=AccessConfig(resume_key=path)),
    ):
        pass
    assert str(path) in str(caught.value)


def test_a_token_holds_at_servers_with_the_same_secret_only(tiny_model: Path, clip: Path, tmp_path: Path) -> None:
    for name, secret in (("first", OLD), ("second", OLD), ("third", NEW)):
        (tmp_path / name).write_text(secret)
    first, second, third = (AccessConfig(resume_key=tmp_path / name) for name in ("first", "second", "third"))
    data, mode = clip.read_bytes(), stream_pb2.STREAM_MODE_FILE
    with serving(tiny_model, answers=EAGER, access=first) as server, calling(server) as stub:
        whole = plain_results(stub.Track(sending(data, configured(mode))))
        before, point = read_until(stub.Track(sending(data, configured(mode))), 20)
        forged = tokens.pack(tokens.unpack(point.token, (OLD.encode(),)))
        code, message, _ = failure(lambda: list(stub.Track(sending(data, configured(mode, forged)))))
        assert (code, "same key" in message) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    again = configured(mode, point.token)
    with serving(tiny_model, access=second) as server, calling(server) as stub:
        assert before + plain_results(stub.Track(sending(data, again))) == whole
    for other in (third, AccessConfig()):
        with serving(tiny_model, access=other) as server, calling(server) as stub:
            code, message, _ = failure(lambda stub=stub: list(stub.Track(sending(data, again))))
            assert (code, "same key" in message) == (grpc.StatusCode.INVALID_ARGUMENT, True)
