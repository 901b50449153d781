from __future__ import annotations

import os
from pathlib import Path

import pytest

from acfd_stream.client.client import Client
from acfd_stream.client.tls import ClientTls, channel_credentials
from acfd_stream.errors import ConfigError, ServiceError
from acfd_stream.service.access.tls import server_credentials
from acfd_stream.service.settings import TlsConfig
from tests.service.certificates import Authority
from tests.service.small_server import small_server


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


def asks(address: str, tls: ClientTls | None) -> bool:
    with Client(address, tls=tls) as client:
        return client.capacity((1, 1), 1.0).fits


def test_a_client_that_trusts_the_authority_is_answered(authority: Authority) -> None:
    pair = authority.pair("server")
    credentials = server_credentials(TlsConfig(pair.certificate, pair.key))
    with small_server(credentials=credentials) as address:
        assert asks(address, ClientTls(authority.ca))


def test_a_client_that_trusts_another_authority_fails_at_once_and_says_why(
    authority: Authority, tmp_path: Path
) -> None:
    pair = authority.pair("server")
    other = Authority(tmp_path, "other")
    with small_server(credentials=server_credentials(TlsConfig(pair.certificate, pair.key))) as address:
        with pytest.raises(ServiceError, match="no trusted connection to localhost"):
            asks(address, ClientTls(other.ca))
        with Client(address, tls=ClientTls(other.ca)) as client, pytest.raises(ServiceError, match="no trusted"):
            list(client.track([b""]))


def test_a_client_that_does_not_encrypt_fails(authority: Authority) -> None:
    pair = authority.pair("server")
    server = small_server(credentials=server_credentials(TlsConfig(pair.certificate, pair.key)))
    with server as address, pytest.raises(ServiceError):
        asks(address, None)


def test_with_client_authorities_only_their_clients_are_let_in(authority: Authority, tmp_path: Path) -> None:
    server, known = authority.pair("server"), authority.pair("known")
    stranger = Authority(tmp_path, "elsewhere").pair("stranger")
    credentials = server_credentials(TlsConfig(server.certificate, server.key, client_ca=authority.ca))
    with small_server(credentials=credentials) as address:
        assert asks(address, ClientTls(authority.ca, known.certificate, known.key))
        for tls in (ClientTls(authority.ca), ClientTls(authority.ca, stranger.certificate, stranger.key)):
            with pytest.raises(ServiceError):
                asks(address, tls)


def test_a_new_certificate_is_taken_while_the_server_runs(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acfd_stream.service.access.file_watch.CHECK_SECONDS", 0.0)
    pair = authority.pair("server")
    other = Authority(tmp_path, "other")
    with small_server(credentials=server_credentials(TlsConfig(pair.certificate, pair.key))) as address:
        assert asks(address, ClientTls(authority.ca))
        pair.certificate.write_bytes(b"half a file")
        assert asks(address, ClientTls(authority.ca))
        renewed = other.pair("renewed")
        os.replace(renewed.key, pair.key)
        os.replace(renewed.certificate, pair.certificate)
        assert asks(address, ClientTls(other.ca))


def test_key_and_certificate_that_are_no_pair_are_refused(authority: Authority) -> None:
    one, two = authority.pair("one"), authority.pair("two")
    with pytest.raises(ConfigError, match="does not match certificate"):
        server_credentials(TlsConfig(one.certificate, two.key))


def test_a_key_with_a_password_is_refused_without_asking_for_it(authority: Authority) -> None:
    pair = authority.pair("server", password=b"secret")
    with pytest.raises(ConfigError, match="has a password"):
        server_credentials(TlsConfig(pair.certificate, pair.key))


@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nnot base64\n", b"\xff\xfe\x00"])
def test_a_bad_pem_is_one_line_that_names_the_file(authority: Authority, tmp_path: Path, content: bytes) -> None:
    pair, bad = authority.pair("server"), tmp_path / "bad.pem"
    bad.write_bytes(content)
    tries = [
        lambda: server_credentials(TlsConfig(bad, pair.key)),
        lambda: server_credentials(TlsConfig(pair.certificate, bad)),
        lambda: server_credentials(TlsConfig(pair.certificate, pair.key, client_ca=bad)),
        lambda: channel_credentials(ClientTls(bad)),
    ]
    for attempt in tries:
        with pytest.raises(ConfigError, match=r"bad\.pem") as caught:
            attempt()
        assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(authority: Authority, tmp_path: Path) -> None:
    pair = authority.pair("server")
    with pytest.raises(ConfigError, match=r"cannot read .*absent.* No such file"):
        server_credentials(TlsConfig(tmp_path / "absent", pair.key))


def test_settings_that_are_half_are_refused() -> None:
    with pytest.raises(ConfigError, match="both a certificate and a key"):
        TlsConfig(certificate=Path("a"))
    with pytest.raises(ConfigError, match="needs a certificate"):
        TlsConfig(client_ca=Path("a"))
    with pytest.raises(ConfigError, match="needs its key"):
        ClientTls(certificate=Path("a"))
