"""Speaks to a daemon, found by its state folder. Nothing slow is imported, nothing waits for long.

A question may be asked again; a control never is, since an answer that was lost says nothing of
what was done. No proxy is used.
"""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from vostok_core.errors import VostokError
from vostok_core.trading.events import Action
from vostok_live.service.announce import find
from vostok_live.service.controls import Asked, Controlled
from vostok_live.service.errors import NotRunning, ServiceError
from vostok_live.service.status import Status, decode
from vostok_live.service.token import read_token

_LARGEST = 4_000_000  # bytes of an answer
_OTHER = "the daemon may be of another version; start it again with this one"


def status(state: Path, *, timeout: float = 5.0) -> Status:
    """How the daemon of a state folder stands.

    Args:
        state: The folder.
        timeout: Seconds that an answer is waited for.

    Raises:
        NotRunning: No daemon answers.
        ServiceError: It refuses, or its answer can't be read.
        SettingsError: The token can't be read.
    """
    content = _ask(state, "GET", "/status", None, timeout)
    try:
        return decode(content)
    except msgspec.MsgspecError as error:
        raise ServiceError(f"its status can't be read: {error}", where=state, hint=_OTHER) from None


def control(
    state: Path, action: Action, *, asked_by: str = "the command line", timeout: float = 15.0
) -> Controlled:
    """Ask the daemon of a state folder to do something.

    Args:
        state: The folder.
        action: What to do.
        asked_by: Who asks, for the record.
        timeout: Seconds that an answer is waited for.

    Raises:
        NotRunning: No daemon answers. Where it did not answer in time, it may have heard all the
            same: look at its status.
        VostokError: It says that it can't be done.
        ServiceError: It refuses, or its answer can't be read.
        SettingsError: The token can't be read.
    """
    body = msgspec.json.encode(Asked(asked_by))
    content = _ask(state, "POST", f"/control/{action}", body, timeout)
    try:
        return msgspec.json.decode(content, type=Controlled)
    except msgspec.MsgspecError as error:
        raise ServiceError(
            f"its answer to {action} can't be read: {error}", where=state, hint=_OTHER
        ) from None


def _ask(state: Path, method: str, path: str, body: bytes | None, timeout: float) -> bytes:
    """The body of an answer that is no refusal."""
    address = find(state)
    token = read_token(state)
    parts = urlsplit(address.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read(_LARGEST)
    except TimeoutError:
        raise NotRunning(
            f"the daemon, process {address.pid}, gave no answer within {timeout:g} s",
            where=address.url,
            hint="look at daemon.log in its state folder; if it hangs, end the process and start "
            "it again, nothing is lost",
        ) from None
    except (OSError, HTTPException) as error:
        raise NotRunning(
            f"the daemon, process {address.pid}, can't be reached: {error or type(error).__name__}",
            where=address.url,
            hint="it may be starting or stopping; try again, and look at daemon.log",
        ) from None
    finally:
        connection.close()
    if response.status < 300:
        return content
    raise _refusal(content, response.status).within(address.url)


def _refusal(content: bytes, status: int) -> VostokError:
    """The error that the daemon tells; of a kind that isn't known here, as what it says."""
    try:
        told: dict[str, Any] = msgspec.json.decode(content, type=dict[str, dict[str, Any]])["error"]
    except (msgspec.MsgspecError, KeyError):
        return ServiceError(f"the daemon failed to answer (HTTP {status})", hint="see daemon.log")
    try:
        return VostokError.from_json(told)
    except KeyError:
        return ServiceError(str(told.get("what")), hint=told.get("hint"))
