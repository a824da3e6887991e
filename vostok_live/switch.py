"""The kill switch, thrown whether a daemon runs or not.

A daemon that runs is asked. Where none does, the switch is thrown in the journal that the next one
starts from: it closes what is open before it does anything else, and enters nothing.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from vostok_core.errors import VostokError
from vostok_core.trading.events import Action
from vostok_live.errors import JournalError, JournalTaken
from vostok_live.seams import MarketTime, Seams
from vostok_live.service import client
from vostok_live.service.announce import command
from vostok_live.service.errors import NotRunning

if TYPE_CHECKING:
    from vostok_live.journal.writer import Journal

ASKED_BY = "the command line, while no daemon ran"

_PAUSE = 0.5  # seconds
_PATIENCE = 30.0
"""Seconds that a process which has the journal is waited for: one that opens a large journal, or
ends, does not answer yet. The lock ends with it."""


async def control(state: Path, journal: str, action: Action, seams: Seams) -> str:
    """Ask for something, of the daemon or, for a kill, of its journal; what came of it, in words.

    Args:
        state: State folder of the daemon.
        journal: Name of its journal.
        action: What to do.
        seams: The world.

    Raises:
        NotRunning: No daemon answers, and this needs one; or there is no journal.
        JournalTaken: A process has the journal and does not answer.
        JournalError: The journal can't be written.
        VostokError: The daemon says that it can't be done.
    """
    if action == "kill":
        return await _kill(state, state / journal, seams)
    try:
        return _ask(state, action)
    except NotRunning as error:
        if action != "reset":
            raise
        raise NotRunning(
            f"the kill switch was not reset: {error.what}",
            where=error.where,
            hint=f"start the daemon with {command('run', state)}, which enters nothing while the "
            "switch holds, and reset then: its engine measures losses from there on",
        ) from None


def _ask(state: Path, action: Action) -> str:
    done = client.control(state, action)
    if action == "kill" and done.killed is None:
        return "kill: the switch is thrown; the engine hears of it as soon as it is there"
    halted = f", kill switch: {done.killed}" if done.killed else ""
    paused = ", entries paused" if done.paused else ""
    return f"{action}: {done.state}{paused}{halted}"


async def _kill(state: Path, journal: Path, seams: Seams) -> str:
    loop = asyncio.get_running_loop()
    until = loop.time() + _PATIENCE
    while True:
        try:
            return _ask(state, "kill")
        except NotRunning as error:
            silent = error
        try:
            return throw(journal, seams, silent)
        except JournalTaken as error:
            if loop.time() >= until:
                raise _not_thrown(error, silent) from None
        except JournalError as error:
            raise JournalError(
                f"it is not known that the kill switch was thrown: {error.what}",
                where=error.where,
                hint=error.hint,
            ) from error
        await asyncio.sleep(_PAUSE)


def throw(path: Path, seams: Seams, silent: VostokError) -> str:
    """Throw the kill switch in a journal that nobody writes; synced.

    Args:
        path: The journal.
        seams: The world.
        silent: Why no daemon is asked.

    Raises:
        NotRunning: There is no journal.
        JournalTaken: A process writes it.
        JournalError: It can't be opened or written.
    """
    from vostok_live.journal.writer import Journal  # slow, and a daemon that runs needs it not

    if not path.exists():
        raise NotRunning(
            f"no kill switch was thrown: {silent.what}, and there is no journal to throw it in",
            where=path,
            hint="nothing was ever traded from this folder: see that strategy, instrument and lake "
            "are those of the daemon",
        )
    with Journal.open(path, seams) as journal:
        _tell_time(journal, seams)
        held = journal.latched()
        journal.latch(f"asked for by {ASKED_BY}")
        journal.record_control("kill", ASKED_BY)
    holds = "is thrown in its journal" if held is None else f"holds in its journal ({held})"
    return (
        f"kill: no daemon runs; the kill switch {holds}. Nothing is sold yet: exits rest at the "
        f"exchange, and what is open is closed as soon as {command('run', path.parent)} starts the "
        "daemon"
    )


def _tell_time(journal: Journal, seams: Seams) -> None:
    """Date by the newest market time that the journal knows; the wall may be far from it."""
    newest = journal.events_after(journal.seq - 1)
    run = journal.last_run()
    if newest:
        ts = newest[-1].ts
    elif run is not None:
        ts = run.start.begins.begin_us
    else:
        return
    seams.clock.follow(MarketTime(seams.clock.wall_ns(), ts))


def _not_thrown(taken: JournalTaken, silent: VostokError) -> JournalTaken:
    return JournalTaken(
        f"it is not known that the kill switch was thrown: {taken.what}, and {silent.what}",
        where=taken.where,
        hint="exits rest at the exchange; end that process (`kill -9` if it hangs: nothing is "
        "lost), then ask again, and the switch is thrown in the journal",
    )
