"""Where a daemon listens: a file in its state folder for as long as it does."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from vostok_live.service.errors import NotRunning
from vostok_live.service.token import write_private

NAME = "control.json"


class Address(Struct, frozen=True):
    """Where a daemon listens.

    Attributes:
        url: Of its control API, such as `http://127.0.0.1:41873`.
        pid: Its process.
        born: When that process began, as the system counts it; tells it from a later one that got
            the same number. None where the system doesn't say.
    """

    url: str
    pid: int
    born: int | None


def announce(state: Path, url: str) -> Address:
    """Write down that this process listens at `url`."""
    address = Address(url, os.getpid(), _born(os.getpid()))
    write_private(state / NAME, msgspec.json.encode(address) + b"\n")
    return address


def withdraw(state: Path, address: Address) -> None:
    """Remove what `announce` wrote, unless another daemon has written its own since."""
    path = state / NAME
    if _read(path) == address:
        path.unlink(missing_ok=True)


def find(state: Path) -> Address:
    """Where the daemon of a state folder listens.

    A file that a daemon left behind when it died is told from one that is in force: its port may be
    anyone's by now, and whoever has it must not be sent the token.

    Raises:
        NotRunning: No daemon runs there.
    """
    path = state / NAME
    if not path.exists():
        raise NotRunning("no daemon runs for this state folder", where=state, hint=_hint(state))
    address = _read(path)
    if address is None:
        raise NotRunning(
            "where the daemon listens can't be read", where=path, hint="start the daemon again"
        )
    if not _alive(address):
        raise NotRunning(
            f"the daemon, process {address.pid}, ended without saying so",
            where=state,
            hint=_hint(state),
        )
    return address


def command(verb: str, state: Path) -> str:
    """What a person types to tell something to, or to start, the daemon of a state folder."""
    return f"`vostok-live {verb} {state.parent.name} --instrument {state.name}`"


def _hint(state: Path) -> str:
    return f"start it with {command('run', state)}, or check that this is its state folder"


def _read(path: Path) -> Address | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Address)
    except (OSError, msgspec.MsgspecError):
        return None


def _alive(address: Address) -> bool:
    try:
        os.kill(address.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return address.born is None or _born(address.pid) == address.born


def _born(pid: int) -> int | None:
    """Ticks of the system from its start to a process's; None where it doesn't say."""
    try:
        content = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(content.rpartition(")")[2].split()[19])
