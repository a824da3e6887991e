"""An exchange that answers some questions and not others: what is open is seen to all the same."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from tests.live.daemon_world import FAR_OFF, NAME, SPEED, STRATEGY, WEEK, World, make_world, until
from vostok_core.models.registry import pointer_path
from vostok_exchange.server import Server
from vostok_live.daemon import grounds
from vostok_live.daemon.plan import JOURNAL
from vostok_live.daemon.supervisor import Daemon
from vostok_live.gateway.port import GatewayError
from vostok_live.journal.reader import Reader
from vostok_live.seams import real_seams

SLOW = 200.0
PERMISSIONS = "/sapi/v1/account/apiRestrictions"
ACCOUNT = ("/api/v3/openOrders", "/api/v3/account", "/api/v3/myTrades")
TRADES = "/api/v3/aggTrades"
MOVES = {"enableWithdrawals": True, "enableSpotAndMarginTrading": True, "ipRestrict": True}

Answers = dict[str, Callable[[], web.Response]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def failed() -> web.Response:
    return web.json_response({"code": -1000, "msg": "not now"}, status=503)


@asynccontextmanager
async def exchange(world: World, speed: float = SLOW) -> AsyncIterator[tuple[Server, Answers]]:
    """The world's exchange, and what it says to whoever asks for a path instead of the truth."""
    answers: Answers = {}

    @web.middleware
    async def instead(request: web.Request, handler: Handler) -> web.StreamResponse:
        made = answers.get(request.path)
        return await handler(request) if made is None else made()

    server = Server(world.exchange, setup=world.setup(), speed=speed)
    server.app.middlewares.append(instead)
    async with server:
        yield server, answers


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("held") / "project", FAR_OFF)


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    return made.copy(tmp_path / "project")


def run(world: World, url: str) -> tuple[Daemon, asyncio.Task[None]]:
    daemon = Daemon(world.plan(url), real_seams())
    return daemon, asyncio.ensure_future(daemon.run())


async def end(daemon: Daemon, task: asyncio.Task[None]) -> None:
    daemon.stop()
    await asyncio.wait_for(task, 30)


async def leave_a_position(world: World) -> None:
    async with exchange(world, SPEED) as (server, _):
        daemon, task = run(world, server.url)
        await until(lambda: daemon.session and daemon.session.trader, task)
        engine = daemon.session.trader.engine
        await until(lambda: engine.state == "holding", task)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def codes(daemon: Daemon) -> list[str]:
    return [reason.code for reason in daemon.status().reasons]


def test_what_is_open_does_not_wait_for_the_keys_permissions(world: World) -> None:
    async def main() -> None:
        await leave_a_position(world)
        async with exchange(world) as (server, answers):
            answers[PERMISSIONS] = failed
            daemon, task = run(world, server.url)
            await until(lambda: daemon.session and daemon.session.readiness, task, 20)
            trader = daemon.session.trader
            await until(lambda: trader.closed, task, 20)
            assert trader.trades[-1].reason == "time"
            await until(lambda: codes(daemon) == ["key"], task)
            del answers[PERMISSIONS]
            await until(lambda: daemon.status().ready, task)
            await end(daemon, task)

    asyncio.run(main())


def test_a_key_that_may_move_money_sees_to_exits_alone_and_then_ends_the_daemon(
    world: World,
) -> None:
    async def main() -> None:
        await leave_a_position(world)
        async with exchange(world) as (server, answers):
            answers[PERMISSIONS] = lambda: web.json_response(MOVES)
            daemon, task = run(world, server.url)
            await until(lambda: daemon.session and daemon.session.readiness, task, 20)
            trader = daemon.session.trader
            await until(lambda: "may move money" in daemon.status().reasons[0].what, task)
            await until(lambda: trader.closed, task, 20)
            assert trader.trades[-1].reason == "time"
            await until(lambda: codes(daemon) == ["key"], task)
            assert ("critical", "key") in [(each.level, each.code) for each in trader.alerts]
            await end(daemon, task)
            _, task = run(world, server.url)
            with pytest.raises(GatewayError, match="may move money"):
                await asyncio.wait_for(task, 30)

    asyncio.run(main())


def test_what_is_open_does_not_wait_for_the_trades_of_the_market(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grounds, "_PATIENCE", 1.0)

    async def main() -> None:
        await leave_a_position(world)
        # Bars that end a day earlier: the journal does not know which trade comes after them.
        yesterday = WEEK - timedelta(days=1)
        shutil.rmtree(world.lake.partition("bars", instrument=NAME, interval="1m", date=yesterday))
        async with exchange(world) as (server, answers):
            answers[TRADES] = failed
            daemon, task = run(world, server.url)
            await until(lambda: daemon.session and daemon.session.readiness, task, 20)
            trader = daemon.session.trader
            assert "market_data" in codes(daemon)
            await until(lambda: trader.closed, task, 20)
            assert trader.trades[-1].reason == "time"
            await end(daemon, task)
            daemon, task = run(world, server.url)
            await asyncio.sleep(3)
            assert daemon.session.doing == "recovering the engine", "nothing is open: it waits"
            answers.clear()
            await until(lambda: daemon.status().ready, task)
            await end(daemon, task)
        with Reader.open(world.state / JOURNAL) as reader:
            assert len(reader.runs()) == 3

    asyncio.run(main())


def test_nothing_is_entered_while_the_account_can_not_be_compared(world: World) -> None:
    async def main() -> None:
        async with exchange(world) as (server, answers):
            daemon, task = run(world, server.url)
            await until(lambda: daemon.status().ready, task)
            for path in ACCOUNT:
                answers[path] = failed
            await until(lambda: "not_compared" in codes(daemon), task, 20)
            reason = next(r for r in daemon.status().reasons if r.code == "not_compared")
            assert reason.what.startswith("nothing was compared with the exchange for ")
            assert daemon.session.account.stream.synced
            answers.clear()
            await until(lambda: daemon.status().ready, task)
            await end(daemon, task)

    asyncio.run(main())


def test_a_pointer_that_moved_while_it_started_is_seen_before_the_first_bar(world: World) -> None:
    async def main() -> None:
        async with exchange(world) as (server, _):
            url, port = server.url, int(server.url.rpartition(":")[2])
        daemon, task = run(world, url)
        await until(lambda: daemon.session, task)  # its model is loaded, and it waits
        pointer_path(world.lake, STRATEGY, NAME).unlink()
        again = Server(world.exchange, setup=world.setup(), speed=SLOW, port=port)
        async with again:
            await until(lambda: daemon.session.doing == "trading", task)
            assert "model" in codes(daemon)
            await end(daemon, task)

    asyncio.run(main())


def test_a_promoted_model_that_can_not_be_read_stops_entries_and_not_the_daemon(
    world: World,
) -> None:
    pointer = pointer_path(world.lake, STRATEGY, NAME)
    second = pointer.read_bytes()
    pointer.unlink()
    world.promote(WEEK - timedelta(days=7))
    first = pointer.read_bytes()
    gate = world.lake.root / json.loads(second)["bundle"] / "gate.json"
    gate.unlink()
    gate.mkdir()

    async def main() -> None:
        async with exchange(world) as (server, _):
            daemon, task = run(world, server.url)
            await until(lambda: daemon.status().ready, task)
            pointer.write_bytes(second)
            await until(lambda: "model" in codes(daemon), task)
            assert "gate.json" in daemon.status().reasons[0].what
            await asyncio.sleep(5)
            told = [alert.code for alert in daemon.session.trader.alerts]
            assert told.count("model") == 1
            pointer.write_bytes(first)
            await until(lambda: daemon.status().ready, task)
            await end(daemon, task)

    asyncio.run(main())


def test_the_journals_log_is_folded_though_the_engine_hears_little(world: World) -> None:
    async def main() -> None:
        async with exchange(world) as (server, _):
            daemon, task = run(world, server.url)
            await until(lambda: daemon.status().ready, task)
            journal = world.state / JOURNAL
            before = journal.stat().st_size
            await until(lambda: journal.stat().st_size > before, task)
            assert daemon.session.journal.seq < 512
            await end(daemon, task)

    asyncio.run(main())
