"""A position is open and nothing may be entered: the daemon starts and sees to the exits alone."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from tests.live.daemon_world import (
    FAR_OFF,
    NAME,
    SETTINGS,
    SPEED,
    STRATEGY,
    World,
    exchange,
    make_world,
    until,
)
from vostok_core.errors import BundleError, MissingPartition, Refused
from vostok_core.live.chain import DecisionChain
from vostok_core.live.parity import prove
from vostok_core.models.registry import pointer_path
from vostok_live.audit import audit
from vostok_live.daemon import walk
from vostok_live.daemon.plan import JOURNAL
from vostok_live.daemon.supervisor import Daemon
from vostok_live.monitor.once import render
from vostok_live.seams import real_seams
from vostok_live.service import client
from vostok_live.shipping import ship

SLOW = 200.0
"""Speed at which half an hour, for which positions are held, takes nine seconds."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("exits") / "project", FAR_OFF)


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    return made.copy(tmp_path / "project")


def withdraw(world: World) -> Callable[[], None]:
    pointer = pointer_path(world.lake, STRATEGY, NAME)
    content = pointer.read_bytes()
    pointer.unlink()
    return lambda: pointer.write_bytes(content) and None


def damage(world: World) -> Callable[[], None]:
    pointer = json.loads(pointer_path(world.lake, STRATEGY, NAME).read_text())
    arrays = world.lake.root / pointer["bundle"] / "arrays.npz"
    content = arrays.read_bytes()
    arrays.unlink()
    arrays.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return lambda: arrays.write_bytes(content) and None


def block(world: World) -> Callable[[], None]:
    """The folder of the bars is one that no program can read."""
    bars = world.lake.root / "bars" / f"instrument={NAME}" / "interval=1m"
    aside = bars.rename(bars.with_name("aside"))
    bars.symlink_to(bars)
    return lambda: bars.unlink() or (aside.rename(bars) and None)


def outlast(world: World) -> Callable[[], None]:
    file = world.root / "vostok.toml"
    file.unlink()
    file.write_text(SETTINGS + 'max_gap = "1m"\n')
    return lambda: file.write_text(SETTINGS) and None


async def start(world: World, url: str) -> tuple[Daemon, asyncio.Task[None]]:
    daemon = Daemon(world.plan(url), real_seams())
    task = asyncio.ensure_future(daemon.run())
    await until(lambda: daemon.session and daemon.session.readiness, task)
    return daemon, task


async def left_with_a_position(world: World) -> None:
    """A daemon enters, and is cancelled as it stands."""
    async with exchange(world, SPEED) as server:
        daemon, task = await start(world, server.url)
        engine = daemon.session.trader.engine
        await until(lambda: engine.state == "holding", task)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("breaks", "code", "kind", "said"),
    [
        (withdraw, "model", Refused, "no model of quick is in service"),
        (damage, "model", BundleError, "arrays.npz"),
        (block, "fault", OSError, "nothing can be decided (OSError: "),
        (outlast, "lake", MissingPartition, "the newest bars of"),
    ],
)
def test_what_is_open_is_closed_at_its_deadline_where_nothing_may_be_entered(
    world: World, breaks: Callable[[World], Callable[[], None]], code: str,
    kind: type[Exception], said: str,
) -> None:  # fmt: skip
    async def main() -> None:
        await left_with_a_position(world)
        mend = breaks(world)
        async with exchange(world, SLOW) as server:
            daemon, task = await start(world, server.url)
            status = await asyncio.to_thread(client.status, world.state)
            assert not status.ready
            reason = next(each for each in status.reasons if each.code == code)
            assert said in reason.what
            assert "start the daemon again" in reason.hint
            assert status.position is not None
            shown = io.StringIO()
            render(status, Console(file=shown, width=100))
            assert f"{code}: {reason.what}" in shown.getvalue()
            deadline = status.position.deadline_ts
            trader = daemon.session.trader
            await until(lambda: trader.engine.state == "flat", task, 20)
            closed = trader.trades[-1]
            assert closed.reason == "time"
            assert deadline <= closed.exit_ts < deadline + 5 * SLOW * 1e6
            (alert,) = [alert for alert in trader.alerts if alert.code == code]
            assert alert.level == ("critical" if code == "fault" else "warning")
            told = await asyncio.to_thread(client.control, world.state, "pause")
            assert told.paused
            assert (await audit(world.plan(server.url), real_seams())).clean
            daemon.stop()
            await asyncio.wait_for(task, 30)
            with pytest.raises(kind):  # nothing is open any more
                await asyncio.wait_for(Daemon(world.plan(server.url), real_seams()).run(), 30)
            mend()
            again, task = await start(world, server.url)
            assert again.session.market is not None
            await asyncio.to_thread(client.control, world.state, "resume")
            await until(lambda: again.status().ready, task)
            again.stop()
            await asyncio.wait_for(task, 30)

    asyncio.run(main())
    ship(world.state / JOURNAL, world.lake, STRATEGY, NAME)
    days = world.lake.days("live_steps", strategy=STRATEGY, instrument=NAME)
    proofs = prove(world.lake, STRATEGY, world.instrument, days)
    assert {proof.verdict for proof in proofs} == {"holds"}


def test_a_mistake_in_what_decides_does_not_keep_the_exits_from_being_seen_to(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Mistaken(DecisionChain):
        def catch_up(self, *_: object) -> None:
            raise ZeroDivisionError("in a pack")

    async def main() -> None:
        await left_with_a_position(world)
        monkeypatch.setattr(walk, "DecisionChain", Mistaken)
        async with exchange(world, SLOW) as server:
            daemon, task = await start(world, server.url)
            trader = daemon.session.trader
            assert trader.engine.state != "flat"
            reason = next(r for r in daemon.status().reasons if r.code == "fault")
            assert reason.what == "nothing can be decided (ZeroDivisionError: in a pack)"
            await until(lambda: trader.engine.state == "flat", task, 20)
            assert ("critical", "fault") in [(a.level, a.code) for a in trader.alerts]
            daemon.stop()
            await asyncio.wait_for(task, 30)
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(Daemon(world.plan(server.url), real_seams()).run(), 30)

    asyncio.run(main())
    (said,) = [each for each in caplog.records if "in a pack" in each.message and each.exc_info]
    assert said.exc_info[0] is ZeroDivisionError
