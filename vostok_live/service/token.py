"""The secret that a caller must know: made by chance, kept in the state folder for its owner."""

from __future__ import annotations

import base64
import os
import re
import stat
from pathlib import Path

from vostok_core.errors import SettingsError
from vostok_live.seams import Random

NAME = "control.token"
_BYTES = 32
_FORM = re.compile(r"[A-Za-z0-9_-]{43}")


def ensure_token(state: Path, random: Random) -> tuple[str, bool]:
    """The token of a state folder; a new one where there is none that is secret.

    One that others could read is no secret any more, for instance in a folder that was copied
    without its permissions, and one that is cut short is easy to guess. Both are replaced.

    Args:
        state: The state folder, which exists.
        random: Chance; the system's, but in a simulation.

    Returns:
        The token, and whether it is new.
    """
    path = state / NAME
    found = _read(path)
    if found is not None:
        return found, False
    token = base64.urlsafe_b64encode(random.randbytes(_BYTES)).rstrip(b"=").decode()
    write_private(path, f"{token}\n".encode())
    return token, True


def read_token(state: Path) -> str:
    """The token of a state folder, for a caller.

    Raises:
        SettingsError: There is none that this user can read.
    """
    path = state / NAME
    try:
        token = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise SettingsError(
            "there is no token to speak to the daemon with",
            where=path,
            hint="it is made when a daemon starts; check that this is its state folder",
        ) from None
    except PermissionError:
        raise SettingsError(
            "the token to speak to the daemon with can't be read",
            where=path,
            hint="run this as the user that the daemon runs as",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the token to speak to the daemon with can't be read: {error}",
            where=path,
            hint="remove it and start the daemon again; it makes a new one",
        ) from None
    if _FORM.fullmatch(token) is None:
        raise SettingsError(
            "the token to speak to the daemon with is damaged",
            where=path,
            hint="remove it and start the daemon again; it makes a new one",
        )
    return token


def write_private(path: Path, content: bytes) -> None:
    """Write a file that its owner alone can read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> str | None:
    """A token that is still good; a link in its place is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o077:
            return None
        content = file.read(_BYTES * 4).decode("ascii", "replace").strip()
    return content if _FORM.fullmatch(content) else None
