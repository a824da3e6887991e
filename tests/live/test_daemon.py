"""The whole daemon against the embedded exchange: it trades, is told things, dies and goes on."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.live.daemon_world import (
    NAME,
    ROOT,
    SETTINGS,
    STRATEGY,
    WEEK,
    World,
    audited,
    daemon_process,
    exchange,
    exchange_process,
    make_world,
    seen,
    trading,
    until,
    wait_for,
)
from vostok_core.errors import BundleError, Refused, VostokError
from vostok_core.live.parity import prove
from vostok_core.models.registry import pointer_path
from vostok_core.times import WEEK as WEEK_US
from vostok_live.audit import audit
from vostok_live.daemon.plan import JOURNAL
from vostok_live.daemon.supervisor import Daemon
from vostok_live.errors import JournalError
from vostok_live.gateway.access import ApiKey
from vostok_live.journal.reader import Reader
from vostok_live.seams import real_seams
from vostok_live.service import client
from vostok_live.shipping import ship


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("daemon") / "project")


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    return made.copy(tmp_path / "project")


def proofs(world: World) -> list[str]:
    """The verdicts of every day that was shipped."""
    ship(world.state / JOURNAL, world.lake, STRATEGY, NAME)
    days = world.lake.days("live_steps", strategy=STRATEGY, instrument=NAME)
    return [proof.verdict for proof in prove(world.lake, STRATEGY, world.instrument, days)]


def test_it_trades_and_a_batch_says_the_same_bit_for_bit(world: World) -> None:
    async def main() -> None:
        async with trading(world) as (server, daemon, task):
            await until(lambda: daemon.session and daemon.session.trader, task)
            trader = daemon.session.trader
            await until(lambda: trader.closed >= 3, task)
            await flatten(daemon, task)
            daemon.stop()
            await asyncio.wait_for(asyncio.shield(task), 30)
            found = await audit(world.plan(server.url), real_seams())
            assert found.clean, found
            assert found.fills >= 6
            timed, sent = daemon.measures.bar_to_order, trader.outcomes["entries"]
            assert 0 < timed.count <= sent, "what a timer or a fill sends was not sent by a trade"

    asyncio.run(main())
    assert proofs(world) == ["holds"]


def test_it_is_killed_and_goes_on_and_nothing_is_lost_or_doubled(world: World) -> None:
    rng = random.Random(7)
    with exchange_process(world) as url:
        for kill in range(3):
            with daemon_process(world, url) as process:
                wait_for(lambda n=kill: (status := seen(world)) and status.run > n)
                wait_for(lambda: (status := seen(world)) and status.ready)
                if kill == 0:
                    wait_for(lambda: (status := seen(world)) and status.position)
                time.sleep(rng.uniform(0.0, 2.0))
                process.send_signal(signal.SIGKILL)
                process.wait()
        with daemon_process(world, url) as process:
            wait_for(lambda: (s := seen(world)) and s.ready and s.run == 4 and s.money.closed >= 4)
            client.control(world.state, "flatten")
            wait_for(lambda: (status := seen(world)) and status.state == "flat")
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        found = audited(world, url)
    assert found.clean, found
    assert found.open_orders == 0
    assert found.position == 0
    with Reader.open(world.state / JOURNAL) as reader:
        assert len(reader.runs()) == 4
    assert set(proofs(world)) == {"holds"}


def test_a_person_is_heard_and_the_kill_switch_holds_over_a_restart(world: World) -> None:
    async def main() -> None:
        async with exchange(world) as server:
            daemon = Daemon(world.plan(server.url), real_seams())
            task = asyncio.ensure_future(daemon.run())
            await until(lambda: daemon.session and daemon.session.readiness, task)
            session = daemon.session
            assert session is not None
            trader = session.trader
            assert trader is not None
            loop = asyncio.get_running_loop()

            def say(action: str) -> object:
                return loop.run_in_executor(None, client.control, world.state, action)

            await until(lambda: trader.engine.account.position > 0, task)
            told = await say("flatten")
            assert (told.done, told.paused) == (True, True)
            await until(lambda: trader.engine.state == "flat", task)
            before = trader.outcomes.get("paused", 0)
            await until(lambda: trader.outcomes.get("paused", 0) > before, task)
            assert not daemon.status().ready
            assert not (await say("resume")).paused
            await until(lambda: trader.engine.account.position > 0, task)
            assert (await say("kill")).killed
            await until(lambda: trader.engine.state == "flat", task)
            daemon.stop()
            await asyncio.wait_for(task, 30)
            again = Daemon(world.plan(server.url), real_seams())
            task = asyncio.ensure_future(again.run())
            await until(lambda: again.session and again.session.readiness, task)
            assert again.status().killed
            assert [reason.code for reason in again.status().reasons][:1] == ["killed"]
            assert (await say("reset")).killed is None
            await say("resume")
            trader = again.session.trader
            await until(lambda: trader.engine.account.position > 0, task)
            again.stop()
            await asyncio.wait_for(task, 30)
            assert (await audit(world.plan(server.url), real_seams())).clean

    asyncio.run(main())
    with Reader.open(world.state / JOURNAL) as reader:
        asked = reader.read_controls(WEEK)["action"]
    assert asked == ["flatten", "resume", "kill", "reset", "resume"]
    assert set(proofs(world)) == {"holds"}


def test_a_newly_promoted_model_decides_from_the_next_bar_on(world: World) -> None:
    pointer_path(world.lake, STRATEGY, NAME).unlink()
    first = world.promote(WEEK - timedelta(days=7))

    async def main() -> str:
        async with trading(world) as (_, daemon, task):
            await until(lambda: daemon.session and daemon.session.readiness, task)
            trader = daemon.session.trader
            bars = trader.bars
            await until(lambda: trader.bars > bars + 20, task)
            second = await asyncio.to_thread(world.promote, WEEK)
            await until(lambda: trader.model.sha256 == second, task)
            bars = trader.bars
            await until(lambda: trader.bars > bars + 20, task)
            assert "model_swapped" in [alert.code for alert in trader.alerts]
            return second

    second = asyncio.run(main())
    assert set(proofs(world)) == {"holds"}
    days = world.lake.days("live_steps", strategy=STRATEGY, instrument=NAME)
    keys = {"strategy": STRATEGY, "instrument": NAME}
    spoke = [
        sha for day in days for sha in world.lake.read("live_steps", **keys, date=day)["bundle"]
    ]
    assert first != second
    assert list(dict.fromkeys(spoke)) == [first, second]


def test_it_waits_for_an_exchange_that_is_away_and_for_one_that_comes_back(world: World) -> None:
    async def main() -> None:
        async with exchange(world) as server:
            url = server.url
            port = int(url.rpartition(":")[2])
        daemon = Daemon(world.plan(url), real_seams())
        task = asyncio.ensure_future(daemon.run())
        await until(lambda: daemon.session, task)
        await asyncio.sleep(1.0)
        assert daemon.session.doing == "waiting for the exchange"
        for _ in range(2):
            async with exchange(world, port=port):
                await until(lambda: daemon.status().ready, task)
                wanted = daemon.session.trader.bars + 30
                await until(lambda n=wanted: daemon.session.trader.bars > n, task)
            await until(lambda: not daemon.status().ready, task)
        async with exchange(world, port=port) as server:
            await until(lambda: daemon.status().ready, task)
            await flatten(daemon, task)
            daemon.stop()
            await asyncio.wait_for(task, 60)
            assert (await audit(world.plan(url), real_seams())).clean

    asyncio.run(main())
    assert set(proofs(world)) == {"holds"}


async def flatten(daemon: Daemon, task: asyncio.Task[None]) -> None:
    """Close what is open: an exit that rests may be filled once nobody hears of it any more."""
    await daemon.control("flatten", "test")
    await until(lambda: daemon.session.trader.engine.state == "flat", task)


def refusal(world: World, url: str = "http://127.0.0.1:9") -> BaseException:
    """What a daemon says that ends at once."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        asyncio.run(asyncio.wait_for(Daemon(world.plan(url), real_seams()).run(), 30))
    return caught.value


def test_without_a_promoted_model_or_with_one_that_was_tampered_with_it_does_not_start(
    world: World,
) -> None:
    pointer = pointer_path(world.lake, STRATEGY, NAME)
    arrays = world.lake.root / json.loads(pointer.read_text())["bundle"] / "arrays.npz"
    content = arrays.read_bytes()
    arrays.unlink()
    arrays.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert isinstance(refusal(world), BundleError)
    pointer.unlink()
    error = refusal(world)
    assert isinstance(error, Refused)
    assert "walk-forward" in str(error)
    assert [path.name for path in world.state.glob("journal*")] == ["journal.sqlite.lock"]


def test_a_second_daemon_on_the_same_folder_is_refused(world: World) -> None:
    async def main() -> None:
        async with trading(world) as (server, daemon, task):
            await until(lambda: daemon.session, task)
            with pytest.raises(JournalError, match="is being written by process"):
                await Daemon(world.plan(server.url), real_seams()).run()

    asyncio.run(main())


def test_a_journal_is_of_one_account_and_an_account_of_one_daemon(world: World) -> None:
    async def main() -> None:
        async with trading(world) as (server, daemon, task):
            await until(lambda: daemon.session and daemon.session.run_number, task)
            plan = world.plan(server.url)
            file = world.root / "vostok.toml"
            file.unlink()
            elsewhere = SETTINGS.replace("[live]", '[live]\nstate = "beside"')
            file.write_text(elsewhere)
            with pytest.raises(JournalError, match="is traded by another daemon"):
                await Daemon(world.plan(server.url), real_seams()).run()
            daemon.stop()
            await asyncio.wait_for(asyncio.shield(task), 30)
            other = replace(plan, key=ApiKey("o" * 64, "secret"))
            with pytest.raises(JournalError, match="is of the account"):
                await Daemon(other, real_seams()).run()

    asyncio.run(main())


def test_a_kill_that_is_asked_for_while_the_exchange_is_away_holds_when_it_is_back(
    world: World,
) -> None:
    async def main() -> None:
        async with exchange(world) as server:
            url, port = server.url, int(server.url.rpartition(":")[2])
        daemon = Daemon(world.plan(url), real_seams())
        task = asyncio.ensure_future(daemon.run())
        await until(lambda: daemon.session, task)
        with pytest.raises(VostokError, match="can't hear yet"):
            await daemon.control("flatten", "test")
        await daemon.control("kill", "test")
        async with exchange(world, port=port):
            await until(lambda: daemon.session.readiness, task)
            assert daemon.status().killed
            daemon.stop()
            await asyncio.wait_for(task, 30)

    asyncio.run(main())


def test_a_model_past_its_week_enters_nothing(world: World) -> None:
    async def main() -> None:
        async with trading(world) as (_, daemon, task):
            await until(lambda: daemon.status().ready, task)
            daemon.session.readiness.model_grace = -WEEK_US  # its week is over
            trader = daemon.session.trader
            before = trader.outcomes.get("withheld", 0)
            await until(lambda: trader.outcomes.get("withheld", 0) > before, task)
            assert "stale_model" in [reason.code for reason in daemon.status().reasons]

    asyncio.run(main())


def test_the_process_holds_no_orchestration_and_no_training_library(world: World) -> None:
    script = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from vostok_core.project import find_project
from vostok_live.daemon.plan import make_plan
from vostok_live.daemon.supervisor import Daemon
from vostok_live.daemon.venue import embedded
from vostok_live.gateway.access import ApiKey
from vostok_live.seams import real_seams
import vostok_live.cli

async def main():
    project = find_project(Path({str(world.root)!r}), {{}})
    key = ApiKey("k" * 64, "secret")
    plan = make_plan("t", project, {STRATEGY!r}, {NAME!r}, embedded(sys.argv[1]), key)
    daemon = Daemon(plan, real_seams())
    task = asyncio.ensure_future(daemon.run())
    while not (daemon.session and daemon.session.trader and daemon.session.trader.closed):
        assert not task.done(), task.exception()
        await asyncio.sleep(0.05)
    daemon.stop()
    await task

asyncio.run(main())
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
    with exchange_process(world) as url:
        done = subprocess.run(
            [sys.executable, "-c", script, url], capture_output=True, text=True, check=True,
            cwd=world.root, env={**os.environ}, timeout=200,
        )  # fmt: skip
    loaded = set(done.stdout.split())
    assert {"ccxt", "aiohttp", "polars", "vostok_core", "vostok_live"} <= loaded
    unwanted = {"dagster", "pandas", "sklearn", "lightgbm", "optuna", "textual", "matplotlib"}
    unwanted |= {"vostok_pipelines", "vostok_exchange", "plotly", "xgboost"}
    assert loaded & unwanted == set()
