"""Who may call: programs on this machine that know the token, and never a web page.

A page in a browser on this machine can send requests here. It can't read the token, but it could
read what is open to all if it got this server to answer as its own site: by a name of its own that
resolves to this machine. So the host that a request names must be this machine's, and requests that
say which page they come from are refused. No answer allows another site to read it.

Failed tries with a wrong token are answered 429 after a few. A right one is let in all the same:
it can't be guessed, and nobody may be able to lock out who wants to stop the trading.

Source: OWASP, "DNS rebinding"; RFC 6750 (Bearer); RFC 6454 (Origin).
"""

from __future__ import annotations

import asyncio
import hmac
from collections import deque
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

from vostok_core.errors import SettingsError, VostokError
from vostok_live.service.errors import ServiceError

_TRIES = 10
_WITHIN = 60.0  # seconds


class Turned(Exception):
    """A request is turned away.

    Args:
        status: Of the HTTP response.
        reason: One word for metrics.
        what, hint: As in every error of ours.
        headers: Of the response.
    """

    def __init__(self, status: int, reason: str, what: str, hint: str, **headers: str) -> None:
        super().__init__(what)
        self.status = status
        self.reason = reason
        self.error = ServiceError(what, hint=hint)
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Guard:
    """Turns away who may not call.

    Args:
        token: What a caller must know.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._failed: deque[float] = deque(maxlen=_TRIES)

    def check(self, request: web.Request) -> None:
        """Refuse what may come from a web page.

        Raises:
            Turned: It may.
        """
        if not _is_here(request.headers.get("Host", "")):
            raise Turned(
                421, "host", "this server goes by no such name",
                "call it as 127.0.0.1 or localhost",
            )  # fmt: skip
        if "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") != "none":
            raise Turned(
                403, "origin", "web pages are not answered", "use the command line or the monitor"
            )

    def knows(self, request: web.Request) -> bool:
        """Whether the caller knows the token; False where it brings none.

        Raises:
            Turned: It brings a wrong one.
        """
        given = request.headers.get("Authorization")
        if given is None:
            return False
        scheme, _, token = given.partition(" ")
        # Bytes that are no UTF-8 come as surrogates; they are wrong, and no error of ours.
        said = token.strip().encode("utf-8", "surrogateescape")
        if hmac.compare_digest(said, self._token) and scheme.lower() == "bearer":
            return True
        now = asyncio.get_running_loop().time()
        many = len(self._failed) == _TRIES and now - self._failed[0] < _WITHIN
        if many:
            wait = int(self._failed[0] + _WITHIN - now) + 1
            raise Turned(
                429, "too_many", "too many wrong tokens", "read the token from the state folder",
                Retry_After=str(wait),
            )  # fmt: skip
        self._failed.append(now)
        raise _unknown("token")

    def require(self, request: web.Request) -> None:
        """Refuse who doesn't know the token.

        Raises:
            Turned: The caller brings none, or a wrong one.
        """
        if not self.knows(request):
            raise _unknown("no_token")


def loopback(host: str) -> str:
    """An address to listen at, which only this machine can reach.

    Raises:
        SettingsError: Others could reach it.
    """
    name = "127.0.0.1" if host == "localhost" else host
    try:
        here = ip_address(name).is_loopback
    except ValueError:
        here = False
    if not here:
        raise SettingsError(
            f"the control API does not listen at {host!r}, where other machines could reach it",
            hint="use 127.0.0.1; from elsewhere, come through `ssh -L`",
        )
    return name


def document(error: VostokError) -> dict[str, object]:
    """An error as the API tells it."""
    return {"error": error.to_json()}


def _unknown(reason: str) -> Turned:
    return Turned(
        401, reason, "this takes the daemon's token" if reason == "no_token" else "a wrong token",
        "send `Authorization: Bearer` with what control.token in the state folder holds",
        WWW_Authenticate="Bearer",
    )  # fmt: skip


def _is_here(host: str) -> bool:
    """Whether a Host header names this machine by loopback; the port may be a tunnel's."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
