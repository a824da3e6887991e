"""The journal's file: how it is made, checked and opened, and what SQLite's complaints mean."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from vostok_core.lake.atomic import fsync_directory
from vostok_live.errors import JournalError
from vostok_live.journal.schema import APPLICATION_ID, INTENT, SCHEMA, VERSION
from vostok_live.seams import Seams

CHECKED_WHOLE = 256 << 20
"""Size in bytes up to which a file is checked whole; of a larger one, what recovery stands on."""

_LOG_KEPT = 64 << 20


@contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """Turn what SQLite and the system say of the file into words.

    Raises:
        JournalError: Whatever was tried did not succeed.
    """
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise JournalError(
            f"{doing} failed ({error}, {name})", where=path, hint=_mend(name, path)
        ) from error
    except OSError as error:
        raise JournalError(
            f"{doing} failed ({error.strerror})",
            where=error.filename or path,
            hint="see that the folder exists, is on a disk of this machine and can be written",
        ) from error


def _mend(name: str, path: Path) -> str:
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return aside(path)
    if name == "SQLITE_FULL":
        return f"make room on the disk of {path.parent}, then start the daemon again"
    if name.startswith("SQLITE_BUSY"):
        return "close the other program that writes to the file, then start the daemon again"
    return "see what the system's log says of the disk, then start the daemon again"


def aside(path: Path) -> str:
    """How to go on without a file that can't be used."""
    return f"keep it with `mv {path} {path}.broken` (and its -wal and -shm), then start again"


def open_to_write(path: Path, seams: Seams) -> sqlite3.Connection:
    """Open the journal at `path`, which is made if there is none; the caller holds the lease.

    Raises:
        JournalError: It is not a journal, is damaged, is of another schema, or doesn't open.
    """
    with explained(path, "opening the journal"):
        if not path.exists():
            _make(path, seams)
        connection = seams.connect(path)
        try:
            _check_kind(connection, path)
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            assert mode == "wal", f"SQLite keeps a {mode} journal"
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")
            # A checkpoint of SQLite's own says nothing of a sync that failed; the writer makes
            # them by itself (`Store.fold_if_long`), and hears.
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute(f"PRAGMA journal_size_limit = {_LOG_KEPT}")
            _check_content(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open the journal at `path` to read it, whoever writes it meanwhile.

    The connection can't write, so it can't make a checkpoint either: that is the writer's alone.

    Raises:
        JournalError: There is none, or it is one that can't be read.
    """
    with explained(path, "opening the journal to read"):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
        )
        try:
            _check_kind(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def remove(path: Path) -> None:
    """Remove the journal at `path`, which nobody has open to write; the caller holds the lease.

    The file goes last: a log without it would count as a journal that was lost.
    """
    for beside in ("-wal", "-shm", ""):
        path.with_name(f"{path.name}{beside}").unlink(missing_ok=True)


def _make(path: Path, seams: Seams) -> None:
    """Make an empty journal beside its place and rename it in: one that is there is whole."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists():
        raise JournalError(
            "the journal is missing, and its newest entries lie beside it",
            where=log,
            hint=f"put {path.name} back, or keep the rest with `mv {log} {log}.broken`",
        )
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(seams.connect(new)) as connection:
        connection.executescript(f"BEGIN; {SCHEMA}")
        created = str(seams.clock.wall_ns() // 1_000)
        connection.execute("INSERT INTO meta VALUES ('created_us', ?)", (created,))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    new.replace(path)
    fsync_directory(path.parent)


def _check_kind(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        empty = connection.execute("PRAGMA page_count").fetchone()[0] == 0
        raise JournalError(
            "the file is empty, and a journal never is" if empty else "not a journal of Vostok",
            where=path,
            hint=aside(path),
        )
    if version > VERSION:
        raise JournalError(
            f"the journal has schema {version}, and this Vostok knows {VERSION}",
            where=path,
            hint="run the newer Vostok that wrote it",
        )
    if version < VERSION:
        raise JournalError(
            f"the journal has schema {version}, and this Vostok writes {VERSION}",
            where=path,
            hint="flatten and stop with the Vostok that wrote it, then start with a state folder "
            "of its own",
        )


def _check_content(connection: sqlite3.Connection, path: Path) -> None:
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    size = pages * connection.execute("PRAGMA page_size").fetchone()[0]
    checks = ["1"] if size <= CHECKED_WHOLE else INTENT
    for check in checks:
        (found,) = connection.execute(f"PRAGMA quick_check({check})").fetchone()
        if found != "ok":
            raise JournalError(f"the journal is damaged ({found})", where=path, hint=aside(path))
