"""The exchange's folder: how it was set up, where it stood, and what was asked of it since.

    setup.json          how it was set up
    snapshot.json       where it stood: written when a day is over and when the exchange stops
    asked-N.jsonl       what was asked since snapshot N, a line each: market time and command
    lock                held by the exchange that runs on the folder

A venue is a function of its past, so the snapshot and the lines after it give back what was there
when the process ended, however it ended. A line without a command says how far market time may have
come before the next line: time that was shown to somebody is never shown again.
"""

from __future__ import annotations

import fcntl
import json
import os
from io import BufferedWriter
from pathlib import Path
from typing import Any

import msgspec

from vostok_core.errors import CorruptPartition, LakeVersionError, UsageError
from vostok_core.lake.atomic import replacing
from vostok_core.lake.exchanges import SETUP_FILE
from vostok_exchange.commands import AnyCommand, Command
from vostok_exchange.desk import Desk
from vostok_exchange.settings import FORMAT, Setup

_Line = tuple[int, AnyCommand | None]
_lines = msgspec.json.Decoder(_Line)


class State:
    """An exchange's folder, for as long as it is open; nobody else can open it meanwhile.

    Args:
        folder: The folder; made where it is missing.
        archive: The archive's folder.
        setup: How a new exchange is set up; None where there must be one already.

    Attributes:
        setup: How it was set up.
        resumes: Market time at which it goes on.

    Raises:
        UsageError: Another exchange runs on it, it holds none, or one that was set up otherwise.
        CorruptPartition: What it holds doesn't read.
        LakeVersionError: It was written by another version.
    """

    def __init__(self, folder: Path, archive: Path, setup: Setup | None = None) -> None:
        self._folder = folder
        self._archive = archive
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(folder / "lock")
        try:
            self.setup = self._agreed(setup)
            self._number = 0
            self.desk = self._load()
        except BaseException:
            os.close(self._lock)
            raise
        self._asked = self._appending()

    def record(self, ts: int, command: Command[Any] | None = None) -> None:
        """Note what was asked, or how far time may come, so that it survives the process."""
        self._asked.write(msgspec.json.encode((ts, command)) + b"\n")
        self._asked.flush()

    def save(self) -> None:
        """Write down where everything stands, and begin to note anew what is asked."""
        self._number += 1
        content = {"format": FORMAT, "number": self._number, **self.desk.snapshot()}
        with replacing(self._folder / "snapshot.json") as temporary:
            temporary.write_text(json.dumps(content, separators=(",", ":")))
        self._asked.close()
        self._asked = self._appending()
        self._file(self._number - 1).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the folder."""
        self._asked.close()
        os.close(self._lock)

    def _agreed(self, setup: Setup | None) -> Setup:
        path = self._folder / SETUP_FILE
        if setup is None or path.exists():
            there = Setup.read(path)
            if setup is not None and there != setup:
                raise UsageError(
                    "an exchange that was set up otherwise is here",
                    where=self._folder,
                    hint="start it without saying how to set it up, or name another --state",
                )
            return there
        setup.write(path)
        return setup

    def _load(self) -> Desk:
        path = self._folder / "snapshot.json"
        if path.exists():
            try:
                content = json.loads(path.read_text())
                if content["format"] != FORMAT:
                    raise LakeVersionError(
                        f"the snapshot has format {content['format']}, this Vostok knows {FORMAT}",
                        where=path,
                        hint="update Vostok, or name another folder with --state",
                    )
                self._number = content["number"]
                desk = Desk.restored(self.setup, self._archive, content)
            except (ValueError, KeyError, TypeError) as error:
                raise CorruptPartition(
                    f"the exchange's snapshot doesn't read ({error!r})",
                    where=path,
                    hint="name another folder with --state to begin anew",
                ) from None
        else:
            desk = Desk.fresh(self.setup, self._archive)
        self.resumes = self._replay(desk)
        return desk

    def _replay(self, desk: Desk) -> int:
        """Ask again what was asked since the snapshot; returns how far time may have come."""
        until = desk.now
        path = self._file(self._number)
        if not path.exists():
            return until
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1  # a process that was killed may leave a part of a line
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                ts, command = _lines.decode(line)
            except msgspec.DecodeError as error:
                raise CorruptPartition(
                    f"what was asked of the exchange doesn't read ({error})",
                    where=f"{path}:{number}",
                    hint="name another folder with --state to begin anew",
                ) from None
            until = max(until, ts)
            if command is not None:
                asked: Command[Any] = command
                desk.do(asked, ts)
        if whole < len(content):
            os.truncate(path, whole)
        return until

    def _file(self, number: int) -> Path:
        return self._folder / f"asked-{number}.jsonl"

    def _appending(self) -> BufferedWriter:
        return self._file(self._number).open("ab")


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(descriptor, 20).decode() or "unknown"
        os.close(descriptor)
        raise UsageError(
            f"an exchange runs here already (process {owner})",
            where=path.parent,
            hint="stop it first, or name another folder with --state",
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor
