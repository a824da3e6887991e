"""Time, chance, connections and the journal's file come through the seams alone."""

from __future__ import annotations

import ast
import asyncio
import sqlite3
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st

from vostok_live.seams import MarketTime, WallClock, real_seams

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "vostok_live").rglob("*.py"))
MODULES = {"time", "random", "uuid", "secrets"}
# What tells the time, draws a number or opens the file, as it is named in source.
NAMES = {
    "os.urandom", "os.getrandom", "os.times", "datetime.now", "datetime.utcnow", "datetime.today",
    "date.today", "sqlite3.connect", "aiohttp.TCPConnector", "socket.socket",
    "socket.create_connection", "asyncio.open_connection", "numpy.random", "np.random",
}  # fmt: skip
READS = {"vostok_live/journal/place.py": {"sqlite3.connect"}}
"""Who only reads the journal decides nothing, and opens its file as it lies there."""


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def forbidden(source: str) -> Iterator[str]:
    """What a module asks of the world by itself."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names):
                yield from (each.name for each in names if each.name in MODULES)
            case ast.ImportFrom(module=str(module), names=names):
                yield from (module for _ in names if module in MODULES)
                full = {f"{module}.{each.name}" for each in names}
                yield from full & NAMES
            case ast.Attribute():
                name = dotted(node)
                yield from (each for each in NAMES if f".{name}".endswith(f".{each}"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_but_the_seams_asks_for_time_chance_or_connections(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    found = set(forbidden(path.read_text(encoding="utf-8"))) - READS.get(name, set())
    if name == "vostok_live/seams.py":
        assert found == {"time", "random", "sqlite3.connect", "aiohttp.TCPConnector"}
    else:
        assert found == set()


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from time import monotonic",
        "import uuid as ids",
        "import os\nos.urandom(4)",
        "from os import urandom",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime\ndatetime.now(UTC)",
        "def f():\n    import random",
    ],
)
def test_the_look_through_the_sources_would_find_it(source: str) -> None:
    assert list(forbidden(source))


def test_the_look_through_the_sources_lets_the_loops_time_pass() -> None:
    ordinary = "import asyncio\nasyncio.get_running_loop().time()\nclock.market_time\ntimes.time"
    assert list(forbidden(ordinary)) == []


# Market time


NOW = 1_772_625_600_123_456_789


@given(
    anchor=st.integers(0, 2 * NOW),
    market=st.integers(0, 2 * NOW // 1_000),
    speed=st.floats(0.001, 10_000),
    wall=st.integers(0, 2 * NOW),
)
@example(anchor=0, market=0, speed=1.0, wall=NOW)
def test_market_time_is_exact_to_the_microsecond(
    anchor: int, market: int, speed: float, wall: int
) -> None:
    exact = market + Fraction(wall - anchor) * Fraction(speed) / 1_000
    assert MarketTime(anchor, market, speed).at(wall) == exact // 1


def test_market_time_is_the_walls_unless_something_else_is_said() -> None:
    clock = real_seams().clock
    before = time.time_ns() // 1_000
    market = clock.market()
    wall_us = clock.wall_ns() // 1_000
    assert before - 1_000 <= market <= wall_us <= time.time_ns() // 1_000 + 1_000
    assert clock.market_time.wall_seconds(2_500_000) == 2.5


def test_clock_follows_the_market_time_it_is_told() -> None:
    clock = real_seams(MarketTime(speed=2.0)).clock
    assert clock.market() > 1.9 * clock.wall_ns() / 1_000
    hours = MarketTime(clock.wall_ns(), 5, speed=3_600.0)
    clock.follow(hours)
    assert clock.market_time == hours
    first = clock.market()
    assert 5 <= first < 5 + 3_600 * (clock.wall_ns() - hours.wall_ns) / 1_000 + 1
    assert clock.market_time.wall_seconds(3_600_000_000) == 1.0


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_market_time_that_does_not_go_forward_is_refused(speed: float) -> None:
    with pytest.raises(AssertionError, match="forward"):
        MarketTime(speed=speed)


# What the real ones do


def test_connector_reaches_a_server_that_listens() -> None:
    async def greet(_: web.Request) -> web.Response:
        return web.Response(text="here")

    async def ask() -> str:
        app = web.Application()
        app.router.add_get("/", greet)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            async with (
                aiohttp.ClientSession(connector=real_seams().connector()) as session,
                session.get(f"http://127.0.0.1:{port}/") as answer,
            ):
                return await answer.text()
        finally:
            await runner.cleanup()

    assert asyncio.run(ask()) == "here"


def test_file_is_opened_to_write_only_where_it_exists_and_without_hidden_transactions(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a ? b # 50% c.sqlite"
    with pytest.raises(sqlite3.OperationalError):
        real_seams().connect(path)
    path.touch()
    connection = real_seams().connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.execute("INSERT INTO t VALUES (1)")
    assert not connection.in_transaction
    connection.close()
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_chance_is_the_systems() -> None:
    first, second = real_seams().random, real_seams().random
    first.seed(1)
    second.seed(1)
    assert first.getrandbits(256) != second.getrandbits(256)


def test_a_wall_that_is_set_moves_neither_time() -> None:
    wall, steady = [1_700_000_000_000_000_000], [5]
    clock = WallClock(MarketTime(), lambda: wall[0], lambda: steady[0])
    before = clock.market()
    wall[0] += 3_600_000_000_000
    steady[0] += 2_000_000
    assert clock.market() - before == 2_000
    assert clock.wall_ns() == 1_700_000_000_002_000_000
    clock.follow(MarketTime(clock.wall_ns(), before + 9_000_000, 2.0))
    steady[0] += 1_000_000_000
    assert clock.market() == before + 11_000_000
