"""Reads http and https for FFmpeg, which would accept every certificate and follow every redirect.

``gate`` opens each address here, those that a playlist names too. All of them obey the rules of the first one.
"""

from __future__ import annotations

import fnmatch
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, replace
from email.message import Message
from functools import cached_property, partial
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urljoin, urlsplit

from acfd_stream.errors import MediaError

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 8
_PASSING = (408, 425, 429)  # and 5xx: a later try may succeed
_UNQUOTED = "/%:=&?~+!$,;'@()*[]|"
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_CREDENTIALS = ("fd00:ec2::254", "100.100.100.200")  # at which AWS and Alibaba hand them out besides link-local ones
_ENDING_IN_IPV4 = [ipaddress.ip_network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")]
"""NAT64 of the internet (RFC 6052) and of a network of its own (RFC 8215), and IPv4-compatible addresses."""


@dataclass(frozen=True)
class WebRules:
    """Where an address, its redirects and the addresses in its playlist may lead. Behind https, only to https."""

    schemes: tuple[str, ...] = ("http", "https")
    hosts: tuple[str, ...] = ()
    """Names of hosts, ``*.example.org`` for all below one; none: every host."""
    addresses: str = "any"
    """One of ``config.ADDRESSES``."""
    ca_file: Path | None = None
    """PEM file of certificate authorities that are trusted besides those of the machine."""

    def require(self, url: str, before: str | None = None) -> None:
        """Check ``url``, which ``before`` leads to.

        Raises:
            MediaError: it is not allowed, or no address.
        """
        scheme, host = _scheme(url), _host(url)
        behind = None if before is None else _scheme(before)
        if scheme not in self.schemes or (behind == "https" and scheme != "https"):
            raise MediaError(f"leads to an address of {scheme or 'no scheme'}:, which is not read from here")
        if self.hosts and not any(fnmatch.fnmatchcase(host, pattern.lower()) for pattern in self.hosts):
            raise MediaError(f"the host {host} is not one that may be read")
        with suppress(ValueError):
            if not self.allows(host):
                raise MediaError(f"the host {host} is an address that may not be read")

    def allows(self, address: str) -> bool:
        """Whether an IP address may be connected to."""
        ip = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(ip, ipaddress.IPv6Address):
            ends_in_ipv4 = any(ip in network for network in _ENDING_IN_IPV4) and int(ip) > 1  # ::1 is this machine
            ip = ip.ipv4_mapped or ip.sixtofour or (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ends_in_ipv4 else ip)
        if self.addresses == "any":
            return True
        if self.addresses == "public":
            return ip.is_global and not ip.is_multicast
        return not ip.is_link_local and str(ip) not in _CREDENTIALS


class WebUrl(str):
    """A URL that has rules of its own."""

    rules = WebRules()

    @classmethod
    def under(cls, url: str, rules: WebRules) -> WebUrl:
        """``url`` with ``rules``."""
        made = cls(url)
        made.rules = rules
        return made


def rules_of(url: str) -> WebRules:
    """The rules of ``url``; those of a URL that the user of this machine gives, where it has none."""
    return url.rules if isinstance(url, WebUrl) else WebRules()


def with_lower_scheme(url: str) -> str:
    """``url`` with its scheme as FFmpeg knows it: in lower case."""
    scheme, colon, rest = url.partition(":")
    lower = f"{scheme.lower()}{colon}{rest}"
    return WebUrl.under(lower, url.rules) if isinstance(url, WebUrl) else lower


def is_web(target: object) -> bool:
    """Whether ``target`` is an http or https URL."""
    return isinstance(target, str) and target.lower().startswith(("http://", "https://"))


def ca_file_of(rules: WebRules) -> str | None:
    """The PEM file of the authorities that FFmpeg's own TLS is to trust."""
    return str(rules.ca_file) if rules.ca_file is not None else ssl.get_default_verify_paths().cafile


class Web:
    """The requests of one source: they share rules, cookies, and the password in its URL.

    Args:
        url: of the source.
        timeout: how long a server may keep silent, seconds.

    Raises:
        MediaError: it is no URL of http or https.
    """

    def __init__(self, url: str, timeout: float) -> None:
        rules = rules_of(url)
        self.rules = replace(rules, schemes=("https",)) if _scheme(url) == "https" else rules
        self.rules = replace(self.rules, schemes=tuple(set(self.rules.schemes) & {"http", "https"}))
        self.timeout = timeout
        self.failure: Exception | None = None  # of a read, after which a file seemed to end
        self._guard: _Guard | None = None
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        self.url = _plain(url)
        parts = urlsplit(url)
        if parts.username is not None:
            root = self.url[: self.url.index("/", len("https://"))] + "/"
            passwords.add_password(None, root, unquote(parts.username), unquote(parts.password or ""))
        self._opener = urllib.request.OpenerDirector()
        handlers: list[urllib.request.BaseHandler] = [
            # Behind a proxy nobody knows which address is asked.
            urllib.request.ProxyHandler(None if rules.addresses == "any" else {}),
            _Plain(self),
            _Encrypted(self),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            _Basic(passwords),
            _Digest(passwords),
            urllib.request.HTTPCookieProcessor(CookieJar()),
        ]
        for handler in handlers:
            self._opener.add_handler(handler)

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """Verifies certificates; made only where it is needed, because it reads the authorities."""
        context = ssl.create_default_context()
        try:
            if self.rules.ca_file is not None:
                context.load_verify_locations(self.rules.ca_file)
        except (OSError, ValueError) as error:
            raise MediaError(f"{self.rules.ca_file}: is no file of certificate authorities ({error})") from error
        return context

    def ask(self, url: str, headers: dict[str, str], method: str = "GET") -> tuple[http.client.HTTPResponse, str]:
        """The answer of the server, and the URL that redirects have led to.

        Raises:
            MediaError: a rule, the server or its certificate is against it, for good.
            ConnectionError: a later try may succeed.
            TimeoutError: no answer.
        """
        headers = {"User-Agent": "acfd-stream", "Accept-Encoding": "identity", **headers}
        self.rules.require(url)
        url = _plain(url)
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                with _Guard(self.timeout) as self._guard:
                    request = urllib.request.Request(url, headers=headers, method=method)
                    answer = self._opener.open(request, timeout=self.timeout)
            except HTTPError as error:
                error.close()
                location = error.headers.get("Location") if error.code in _REDIRECTS else None
                if location is None:
                    raise _status_error(error) from error
                target = urljoin(url, location)
                self.rules.require(target, url)
                url = _plain(target)
                continue
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise self._translated(error, url) from error
            if (coding := answer.headers.get("Content-Encoding", "identity")) != "identity":
                answer.close()
                raise MediaError(f"the server packs it ({_printable(coding)}); it must send the video as it is")
            return answer, url
        raise MediaError(f"leads through more than {_MOST_REDIRECTS} redirects; give the last address")

    def connect(self, address: tuple[str, int], timeout: float, *_: object) -> socket.socket:
        """A connection to ``address``, (host, port), if the rules allow all that the name stands for."""
        found = [entry[4][0] for entry in socket.getaddrinfo(*address, type=socket.SOCK_STREAM)]
        if not all(self.rules.allows(str(each)) for each in found):
            raise MediaError(f"the host {address[0]} has an address that may not be read")
        failure: OSError = ConnectionError("the host has no address")
        for each in found:
            try:
                connection = socket.create_connection((str(each), address[1]), timeout)
            except OSError as error:
                failure = error
                continue
            if self._guard is not None:
                self._guard.watch(connection)
            return connection
        raise failure

    def _translated(self, error: Exception, url: str) -> Exception:
        cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
        if isinstance(cause, MediaError):
            return cause
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = cause.verify_message.rstrip(".")
            return MediaError(
                f"the certificate of {_host(url)} is not valid here ({why}); "
                "name the file of a private authority in SSL_CERT_FILE, or in sources.ca_file of a service"
            )
        if isinstance(cause, TimeoutError) or (self._guard is not None and self._guard.is_over):
            return no_answer(self.timeout)
        if isinstance(cause, http.client.InvalidURL | ValueError) and not isinstance(cause, OSError):
            return MediaError("is no address of http, or asks for a password in a way that is not known")
        if isinstance(cause, ssl.SSLError):
            return ConnectionError(f"no TLS with {_host(url)}: {(cause.reason or 'it hung up').lower()}")
        said = cause.strerror if isinstance(cause, OSError) else None
        return ConnectionError((said or "the server gives no sound answer").lower())


def no_answer(timeout: float) -> TimeoutError:
    """The error of a server that keeps silent."""
    return TimeoutError(f"no answer within {timeout:g} s")


class StatusError(MediaError):
    """The server has no such file, or does not give it; ``code`` is its status."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def _status_error(error: HTTPError) -> Exception:
    words = f"the server says {error.code} {http.client.responses.get(error.code, '')}".rstrip()
    if error.code in _PASSING or error.code >= 500:
        return ConnectionError(words)
    return StatusError(f"{words}; check the address", error.code)


class _Guard:
    """Ends a connection whose server has not answered in time, however it drips."""

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._connection: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> _Guard:
        self._timer.start()
        return self

    def watch(self, connection: socket.socket) -> None:
        """End ``connection``, with which TLS may begin."""
        with self._lock:
            self._release()
            self._connection = connection.dup()

    def _end(self) -> None:
        with self._lock:
            self.is_over = True
            if self._connection is not None:
                with suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)

    def _release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._release()


class _PlainConnection(http.client.HTTPConnection):
    def __init__(self, host: str, *, web: Web, **given: Any) -> None:
        super().__init__(host, **given)
        self._create_connection = web.connect


class _EncryptedConnection(http.client.HTTPSConnection):
    def __init__(self, host: str, *, web: Web, **given: Any) -> None:
        super().__init__(host, **given)
        self._create_connection = web.connect


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, web: Web) -> None:
        super().__init__()
        self._web = web

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Answers an http request."""
        return self.do_open(partial(_PlainConnection, web=self._web), req)


class _Encrypted(urllib.request.AbstractHTTPHandler):
    def __init__(self, web: Web) -> None:
        super().__init__()
        self._web = web

    https_request = urllib.request.AbstractHTTPHandler.do_request_

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Answers an https request."""
        return self.do_open(partial(_EncryptedConnection, web=self._web, context=self._web.tls), req)


class _Basic(urllib.request.HTTPBasicAuthHandler):
    def http_error_401(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: http.client.HTTPMessage
    ) -> Any:
        """Asks again with the password; hangs up first, which the base class leaves to chance."""
        fp.close()
        return super().http_error_401(req, fp, code, msg, headers)


class _Digest(urllib.request.HTTPDigestAuthHandler):
    def http_error_401(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: http.client.HTTPMessage
    ) -> Any:
        """The same."""
        fp.close()
        return super().http_error_401(req, fp, code, msg, headers)


def range_of(headers: Message) -> tuple[int, int | None] | None:
    """The first offset and the whole size, where known, of an answer that is a range; None: it is all."""
    found = _CONTENT_RANGE.match(headers.get("Content-Range", ""))
    return None if found is None else (int(found[1]), None if found[2] == "*" else int(found[2]))


def _scheme(url: str) -> str:
    return _printable(url.partition(":")[0].lower())


def _host(url: str) -> str:
    try:
        return _printable(urlsplit(url).hostname or "")
    except ValueError:
        return ""


def _printable(text: str) -> str:
    return "".join(each for each in text if each.isprintable())[:255]


def _plain(url: str) -> str:
    """``url`` as it is sent: without password and fragment, in ASCII.

    Raises:
        MediaError: it is no URL.
    """
    try:
        parts = urlsplit(url)
        host = (
            (parts.hostname or "").encode("idna").decode() if not (parts.hostname or "").isascii() else parts.hostname
        )
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError as error:
        raise MediaError("is no address of http") from error
    if not host:
        raise MediaError("is an address without a host")
    place = f"[{host}]" if ":" in host else host
    query = f"?{quote(parts.query, _UNQUOTED)}" if parts.query else ""
    return f"{parts.scheme.lower()}://{place}{port}{quote(parts.path or '/', _UNQUOTED)}{query}"
