"""``/callers.json``: what each caller holds, and its limits, for who may see it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from acfd_stream.service.access.callers import Callers
from acfd_stream.service.access.token_file import ADMIN, Grant, bearer_token, now_utc
from acfd_stream.service.settings.callers import CallerLimits

MOST_CALLERS = 1000
"""Maximum callers in the list."""
Usage = Mapping[str, Mapping[str, int]]
"""Caller → name of a limit → what it holds of it."""


class CallersPage:
    """Answers requests for the list.

    Args:
        callers: what they hold, and their limits.
        job_usage: returns what their jobs hold.
        filled: a caller's limits → the same, with 0 replaced by what all callers together may hold.
        find: the grant of a token; None: there are no tokens.
    """

    def __init__(
        self,
        callers: Callers,
        job_usage: Callable[[], Usage],
        filled: Callable[[CallerLimits], CallerLimits],
        find: Callable[[str], Grant | None] | None,
    ) -> None:
        self._callers, self._job_usage, self._filled, self._find = callers, job_usage, filled, find

    def answer(self, authorization: str, is_local: bool) -> tuple[HTTPStatus, str, bytes]:
        """Status, Content-Type and body.

        Args:
            authorization: the header of that name.
            is_local: whether the port listens to this machine only; without tokens, nobody else sees the list.
        """
        refusal = self._refusal(authorization, is_local)
        if refusal is not None:
            return refusal[0], "text/plain; charset=utf-8", f"{refusal[1]}\n".encode()
        return HTTPStatus.OK, "application/json", json.dumps({"callers": self._rows()}).encode()

    def _refusal(self, authorization: str, is_local: bool) -> tuple[HTTPStatus, str] | None:
        if self._find is None:
            return None if is_local else (HTTPStatus.FORBIDDEN, "without tokens, only a loopback address shows callers")
        token = bearer_token(authorization)
        grant = self._find(token) if token else None
        if grant is None or grant.is_expired(now_utc()):
            return HTTPStatus.UNAUTHORIZED, "send a valid token as header 'Authorization: Bearer TOKEN'"
        if ADMIN not in grant.rights:
            return HTTPStatus.FORBIDDEN, f"the token does not have the right '{ADMIN}'"
        return None

    def _rows(self) -> list[dict[str, Any]]:
        held: dict[str, dict[str, int]] = {}
        for usage in (self._callers.held(), self._job_usage()):
            for caller, counts in usage.items():
                held.setdefault(caller, {}).update(counts)
        return [
            {
                "caller": caller or "unknown",
                "holds": held[caller],
                "limits": asdict(self._filled(self._callers.limits_of(caller))),
            }
            for caller in sorted(held)[:MOST_CALLERS]
        ]
