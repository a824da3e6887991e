"""`vostok-live kill` where no daemon answers: thrown in the journal, or said that it was not."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from tests.live.daemon_world import (
    FAR_OFF,
    NAME,
    ROOT,
    STRATEGY,
    WEEK,
    daemon_process,
    exchange,
    exchange_process,
    make_world,
    seen,
    until,
    wait_for,
)
from vostok_core.models.registry import pointer_path
from vostok_live import switch
from vostok_live.audit import audit
from vostok_live.daemon.plan import JOURNAL
from vostok_live.daemon.supervisor import Daemon
from vostok_live.errors import JournalError, JournalTaken
from vostok_live.journal.lease import Lease
from vostok_live.journal.reader import Reader
from vostok_live.journal.writer import Journal
from vostok_live.seams import real_seams
from vostok_live.service.errors import NotRunning


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder whose daemon was stopped before it ever traded."""
    Journal.open(tmp_path / JOURNAL, real_seams()).close()
    return tmp_path


def kill(state: Path) -> str:
    return asyncio.run(switch.control(state, JOURNAL, "kill", real_seams()))


def test_a_kill_while_no_daemon_runs_closes_the_position_at_the_next_start(tmp_path: Path) -> None:
    # 12 s of the wall, in which one daemon is killed and the next one hears of the kill.
    world = make_world(tmp_path / "project", FAR_OFF.replace('horizon = "30m"', 'horizon = "4h"'))
    with exchange_process(world) as url, daemon_process(world, url) as process:
        wait_for(lambda: (status := seen(world)) and status.position)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with pytest.raises(NotRunning, match="was not reset"):
        asyncio.run(switch.control(world.state, JOURNAL, "reset", real_seams()))
    done = subprocess.run(
        [sys.executable, "-m", "vostok_live", "kill", STRATEGY, "--instrument", NAME],
        cwd=world.root, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the kill switch is thrown in its journal" in done.stdout
    assert f"closed as soon as `vostok-live run {STRATEGY} --instrument {NAME}`" in done.stdout
    with Reader.open(world.state / JOURNAL) as reader:
        before = reader.seq
        assert reader.latched() == "asked for by the command line, while no daemon ran"
        day = reader.days()[-1]
        assert day < WEEK + timedelta(days=7), "it is dated by the market"
        assert reader.read_controls(day)["action"] == ["kill"]
    pointer = pointer_path(world.lake, STRATEGY, NAME)
    content = pointer.read_bytes()
    pointer.unlink()

    async def main() -> None:
        async with exchange(world) as server:
            for model in (False, True):
                daemon = Daemon(world.plan(server.url), real_seams())
                task = asyncio.ensure_future(daemon.run())
                await until(lambda d=daemon: d.session and d.session.readiness, task)
                codes = [reason.code for reason in daemon.status().reasons]
                assert codes[0] == "killed"
                assert ("model" in codes) is not model
                trader = daemon.session.trader
                await until(lambda t=trader: t.engine.state == "flat", task)
                assert trader.trades[-1].reason == "kill"
                if model:
                    bars = trader.bars
                    await until(lambda t=trader, b=bars: t.bars > b + 20, task)
                daemon.stop()
                await asyncio.wait_for(task, 30)
                pointer.write_bytes(content)
            found = await audit(world.plan(server.url), real_seams())
            assert found.clean, found
            assert (found.position, found.open_orders) == (0, 0)

    asyncio.run(main())
    with Reader.open(world.state / JOURNAL) as reader:
        later = [text for heard in reader.events_after(before) for text in heard.commands]
    assert later
    assert not [text for text in later if '"PlaceList"' in text or '"entry"' in text]


def test_a_kill_is_heard_while_the_model_is_still_loaded(tmp_path: Path) -> None:
    world = make_world(tmp_path / "project")
    pointer = pointer_path(world.lake, STRATEGY, NAME)
    whole = pointer.with_name("whole")
    pointer.rename(whole)
    os.mkfifo(pointer)

    async def main() -> None:
        async with exchange(world) as server:
            daemon = Daemon(world.plan(server.url), real_seams())
            task = asyncio.ensure_future(daemon.run())
            # Whoever opens a pipe to write waits until the daemon reads.
            pipe = await asyncio.to_thread(pointer.open, "wb")
            said = await asyncio.to_thread(kill, world.state)
            assert "the engine hears of it as soon as it is there" in said
            assert daemon.session is None
            content = whole.read_bytes()
            whole.rename(pointer)
            with pipe:
                pipe.write(content)
            await until(lambda: daemon.session and daemon.session.readiness, task)
            assert daemon.status().killed
            daemon.stop()
            await asyncio.wait_for(task, 30)

    asyncio.run(main())


def test_a_kill_without_a_journal_says_that_nothing_was_thrown_and_makes_none(
    tmp_path: Path,
) -> None:
    with pytest.raises(NotRunning, match="no kill switch was thrown"):
        kill(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_kill_in_a_journal_that_is_damaged_does_not_claim_to_be_thrown(state: Path) -> None:
    (state / JOURNAL).write_bytes(b"nothing that SQLite ever wrote" * 40)
    with pytest.raises(JournalError, match="not known that the kill switch was thrown"):
        kill(state)


def test_a_kill_while_a_silent_process_has_the_journal_says_that_it_may_not_be_thrown(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch, "_PATIENCE", 1.0)
    lease = Lease.take(state / JOURNAL)
    with pytest.raises(JournalTaken, match="not known that the kill switch was thrown") as caught:
        kill(state)
    assert str(os.getpid()) in str(caught.value)
    lease.give_back()
    with Reader.open(state / JOURNAL) as reader:
        assert reader.latched() is None


def test_a_kill_while_a_daemon_ends_waits_until_it_has_let_go_of_the_journal(state: Path) -> None:
    lease = Lease.take(state / JOURNAL)
    ending = threading.Timer(7.0, lease.give_back)
    began = time.monotonic()
    ending.start()
    said = kill(state)
    assert time.monotonic() - began > 7.0
    assert "is thrown in its journal" in said
    ending.join()
    assert "holds in its journal (asked for by" in kill(state)
    with Reader.open(state / JOURNAL) as reader:
        assert reader.latched() is not None
