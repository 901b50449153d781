"""An interceptor that checks token and rights of every call before its request is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import grpc

from acfd_stream.service.access.permits import Permit, Permits, enter_permit
from acfd_stream.service.access.token_file import Grant, TokenFile, bearer_token, now_utc
from acfd_stream.service.handlers import HEALTH_METHODS, JOB_SERVICE, REFLECTION_METHODS, TRACK_SERVICE, rewrapped
from acfd_stream.service.settings import AccessConfig
from acfd_stream.service.status import StatusError, refusing

RIGHT_OF_METHOD = {
    f"{TRACK_SERVICE}Track": "track",
    f"{TRACK_SERVICE}TrackUri": "uri",
    f"{TRACK_SERVICE}Detect": "detect",
    f"{TRACK_SERVICE}GetStreamStats": "stats",
}


class AccessInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Refuses calls without a valid token.

    UNAUTHENTICATED: no token, an unknown or an expired one. PERMISSION_DENIED: the token lacks the right.
    """

    def __init__(self, config: AccessConfig, on_rejection: Callable[[str], None] = lambda reason: None) -> None:
        """Read the token file.

        Args:
            config: has the path of the token file.
            on_rejection: called with "unauthenticated" or "permission" for each refusal.

        Raises:
            ConfigError: the token file is invalid.
        """
        self._tokens = None if config.tokens is None else TokenFile(config.tokens)
        self._permits = Permits()
        self._on_rejection = on_rejection
        opened = [HEALTH_METHODS] * config.is_health_open + [REFLECTION_METHODS] * config.is_reflection_open
        self._open_prefixes = tuple(opened)

    def reload(self) -> None:
        """Read the token file again now; never raises."""
        if self._tokens is not None:
            self._tokens.reload()

    @property
    def find(self) -> Callable[[str], Grant | None] | None:
        """The grant of a token; None: there are no tokens."""
        return None if self._tokens is None else self._tokens.find

    def grants(self) -> tuple[Grant, ...]:
        """The current grants; the same object until the token file changes."""
        return () if self._tokens is None else self._tokens.entries()

    def withdraw_invalid(self) -> None:
        """End the streams of tokens that were removed, expired or lost the right; called often, never raises.

        Results that are already queued are sent first. A stream whose client does not read is cancelled.
        """
        running = self._permits.running()
        if self._tokens is None or not running:
            return
        grants = self._tokens.grants()
        for permit in running:
            error = _withdrawal(permit, grants)
            if error is not None:
                permit.withdraw(error)
            permit.cancel_if_overdue()

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The handler of the method, or one that refuses the call."""
        method: str = handler_call_details.method
        if self._tokens is None or method.startswith(self._open_prefixes):
            return continuation(handler_call_details)
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        try:
            grant = self._admitted(method, handler_call_details.invocation_metadata)
        except StatusError as refusal:
            return refusing(handler, refusal)
        permit = Permit(grant, method)
        enter_permit(permit)
        return self._tracked(handler, permit) if handler.response_streaming else handler

    def _admitted(self, method: str, metadata: Iterable[tuple[str, str | bytes]] | None) -> Grant:
        values = [value for key, value in metadata or () if key == "authorization"]
        if len(values) != 1 or not isinstance(values[0], str):
            how = "no token" if not values else f"{len(values)} tokens"
            raise self._refusal("TOKEN_MISSING", f"{how}; send one as metadata 'authorization: Bearer TOKEN'")
        token = bearer_token(values[0])
        if not token:
            raise self._refusal("TOKEN_MISSING", "metadata 'authorization' must be 'Bearer TOKEN'")
        grant = self._tokens.find(token) if self._tokens is not None else None
        if grant is None:
            raise self._refusal("TOKEN_UNKNOWN", "the token is not known here")
        error = _refusal_of(grant, method)
        if error is not None:
            self._on_rejection("permission" if error.reason == "RIGHT_MISSING" else "unauthenticated")
            raise error
        return grant

    def _refusal(self, reason: str, message: str) -> StatusError:
        self._on_rejection("unauthenticated")
        return StatusError(grpc.StatusCode.UNAUTHENTICATED, reason, message)

    def _tracked(self, handler: Any, permit: Permit) -> Any:
        """The handler of a stream, which ends with its permit."""

        def wrap(behaviour: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
            def run(request: Any, context: Any) -> Any:
                permit.cancel = context.cancel
                self._permits.add(permit)
                if not context.add_callback(lambda: self._permits.remove(permit)):
                    self._permits.remove(permit)  # the call has already ended
                return behaviour(request, context)

            return run

        return rewrapped(handler, wrap)


def _refusal_of(grant: Grant, method: str, who: str = "") -> StatusError | None:
    """Why ``grant`` does not allow ``method``; None: it does. ``who`` says whose token it is; default: its name."""
    who = who or f"token {grant.name}"
    if grant.expires is not None and grant.is_expired(now_utc()):
        message = f"{who} expired at {grant.expires:%Y-%m-%d %H:%M %Z}; ask for a new one"
        return StatusError(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED", message)
    right = "jobs" if method.startswith(JOB_SERVICE) else RIGHT_OF_METHOD.get(method)
    if right is not None and right not in grant.rights:
        message = f"{who} does not have the right '{right}'"
        return StatusError(grpc.StatusCode.PERMISSION_DENIED, "RIGHT_MISSING", message, metadata={"right": right})
    return None


def _withdrawal(permit: Permit, grants: Mapping[str, Grant]) -> StatusError | None:
    """Why a running call must end; None: it may continue. The status page shows it, so it names nobody."""
    if permit.grant is None:
        return None
    grant = grants.get(permit.grant.sha256)
    if grant is not None:
        return _refusal_of(grant, permit.method, "the token")
    message = "the token was revoked; ask for a new one"
    return StatusError(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED", message)
