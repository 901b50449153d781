"""Resume tokens under a secret: who has it makes and opens them, and it can be exchanged."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from acfd_stream.errors import ConfigError
from acfd_stream.service.access import file_watch
from acfd_stream.service.access import resume_token as tokens
from acfd_stream.service.access.token_signer import TokenSigner
from acfd_stream.service.settings import AccessConfig
from acfd_stream.v1 import stream_pb2
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
