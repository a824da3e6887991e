"""What anybody may ask: tape, klines, books, tickers, archive, news; and whose time they tell."""

from __future__ import annotations

import hashlib
import io
import time
import zipfile
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import feedparser
import polars as pl

from vostok_core.market.synthetic import advance
from vostok_core.times import DAY, HOUR, MINUTE, SECOND, day_start
from vostok_exchange.archive import archive_path, write_day
from vostok_exchange.desk import Desk

FIRST = date(2025, 3, 29)
OPENS = day_start(date(2025, 3, 31)) + 22 * HOUR


async def ok(awaitable: Any) -> Any:
    reply = await awaitable
    assert reply.status == 200, reply.body
    return reply.body


def slow_klines(rows: list[dict[str, Any]], length: int) -> dict[int, list[Any]]:
    """Klines of aggregate trades (times in microseconds) by opening, the obvious way."""
    found: dict[int, list[Any]] = {}
    for row in rows:
        price, qty = Decimal(row["p"]), Decimal(row["q"])
        bar = found.setdefault(
            row["T"] // length * length,
            [price, price, price, price, Decimal(0), Decimal(0), 0, Decimal(0), Decimal(0)],
        )
        bar[1], bar[2], bar[3] = max(bar[1], price), min(bar[2], price), price
        bar[4] += qty
        bar[5] += price * qty
        bar[6] += row["l"] - row["f"] + 1
        if not row["m"]:
            bar[7] += qty
            bar[8] += price * qty
    return found


async def all_aggregates(visitor: Any) -> list[dict[str, Any]]:
    """Every aggregate trade there is, page by page."""
    rows: list[dict[str, Any]] = []
    first = 1
    while True:
        page = await ok(
            visitor.ask(
                "GET", "/api/v3/aggTrades", f"symbol=ABCUSDT&fromId={first}&limit=1000",
                X_MBX_TIME_UNIT="microsecond",
            )
        )  # fmt: skip
        rows += page
        if len(page) < 1000:
            return rows
        first = page[-1]["a"] + 1


def test_the_tape_goes_from_the_archive_to_now_without_a_seam(play: Any, setup_of: Any) -> None:
    setup = setup_of(FIRST, OPENS, rate=1.0)

    async def scenario(visitor: Any) -> None:
        visitor.step(3 * HOUR)  # past midnight: a day more goes to the archive
        rows = await all_aggregates(visitor)
        market = setup.markets[0]
        span, _ = advance(market.spec, market.beginning(FIRST, setup.seed), 3 * 1440 + 60)
        ticks = span.ticks
        assert [row["a"] for row in rows] == ticks["trade_id"].to_list()
        assert [float(row["p"]) for row in rows] == ticks["price"].to_list()
        assert [float(row["q"]) for row in rows] == ticks["qty"].to_list()
        assert [row["T"] for row in rows] == ticks["ts"].to_physical().to_list()
        assert [row["m"] for row in rows] == ticks["buyer_maker"].to_list()

        def of(**params: Any) -> Any:
            query = "&".join(f"{name}={value}" for name, value in params.items())
            return ok(
                visitor.ask(
                    "GET", "/api/v3/aggTrades", f"symbol=ABCUSDT&{query}",
                    X_MBX_TIME_UNIT="MICROSECOND",
                )
            )  # fmt: skip

        assert await of(limit=3) == rows[-3:]
        assert await of() == rows[-500:]
        some = rows[len(rows) // 2]
        index = some["a"] - 1
        assert await of(fromId=some["a"], limit=2) == rows[index : index + 2]
        assert await of(fromId=rows[-1]["a"] + 1) == []
        assert await of(startTime=some["T"], limit=2) == rows[index : index + 2]
        assert (await of(startTime=some["T"] // 1_000, limit=1))[0]["T"] // 1_000 == (
            some["T"] // 1_000
        )
        assert await of(endTime=some["T"], limit=2) == rows[index - 1 : index + 1]
        midnight = day_start(date(2025, 4, 1))
        around = [row for row in rows if abs(row["T"] - midnight) <= 5 * MINUTE]
        assert await of(startTime=midnight - 5 * MINUTE, endTime=midnight + 5 * MINUTE) == around
        assert around

        old = await ok(visitor.get("/api/v3/historicalTrades", symbol="ABCUSDT", fromId=7, limit=2))
        assert [row["id"] for row in old] == [7, 8]
        new = await ok(visitor.get("/api/v3/trades", symbol="ABCUSDT", limit=2))
        assert [row["id"] for row in new] == [row["l"] for row in rows[-2:]]

    play(scenario, setup=setup)


def test_what_the_archive_has_of_another_world_is_not_told(
    play: Any, setup_of: Any, tmp_path: Path
) -> None:
    older, setup = setup_of(FIRST - timedelta(days=2), day_start(FIRST), seed=9), setup_of()
    Desk.fresh(older, tmp_path)
    (archive_path(tmp_path, "ABCUSDT", FIRST).parent / "ABCUSDT-aggTrades (1).zip").touch()

    async def scenario(visitor: Any) -> None:
        rows = await ok(visitor.get("/api/v3/aggTrades", symbol="ABCUSDT", startTime=0, limit=2))
        by_id = await ok(visitor.get("/api/v3/aggTrades", symbol="ABCUSDT", fromId=0, limit=2))
        assert rows == by_id
        assert [row["a"] for row in rows] == [1, 2]
        assert rows[0]["T"] * 1_000 >= day_start(setup.first_day)

    play(scenario, setup=setup, archive=tmp_path)


INTERVALS = {"1s": SECOND, "1m": MINUTE, "15m": 15 * MINUTE, "1h": HOUR, "12h": 12 * HOUR}


def test_klines_are_those_of_the_trades(play: Any, setup_of: Any) -> None:
    async def check(visitor: Any, rows: list[dict[str, Any]], interval: str, length: int) -> None:
        expected = slow_klines(rows, length)
        bars = await ok(
            visitor.get("/api/v3/klines", symbol="ABCUSDT", interval=interval, limit=1000)
        )
        assert len(bars) == min(1000, visitor.now // length - rows[0]["T"] // length + 1)
        assert bars[-1][0] * 1_000 == visitor.now // length * length
        assert {b[0] - a[0] for a, b in pairwise(bars)} == {length // 1_000}
        last = None
        for bar in bars:
            opening, close = bar[0] * 1_000, (bar[6] + 1) * 1_000
            assert close - opening == length
            found = expected.get(opening)
            if found is None:
                assert last in {None, bar[1]}
                assert bar[1] == bar[2] == bar[3] == bar[4]
                assert (Decimal(bar[5]), bar[8]) == (0, 0)
            else:
                told = [*map(Decimal, bar[1:6]), Decimal(bar[7]), bar[8], *map(Decimal, bar[9:11])]
                assert told == found
            last = bar[4]
        middle = bars[len(bars) // 2][0]
        span = {"startTime": middle, "endTime": middle + length // 500}
        chosen = visitor.get("/api/v3/uiKlines", symbol="ABCUSDT", interval=interval, **span)
        assert await ok(chosen) == [b for b in bars if middle <= b[0] <= span["endTime"]]

    async def scenario(visitor: Any) -> None:
        visitor.step(3 * HOUR)
        rows = await all_aggregates(visitor)
        for interval, length in INTERVALS.items():
            await check(visitor, rows, interval, length)

    play(scenario, setup=setup_of(FIRST, OPENS, rate=1.0))


def test_times_may_be_as_early_and_as_late_as_can_be_written(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        async def rows(path: str, **params: Any) -> Any:
            return await ok(visitor.get(f"/api/v3/{path}", symbol="ABCUSDT", **params))

        (first, second, *_) = await rows("aggTrades", startTime=0)
        assert (first["a"], second["a"]) == (1, 2)
        opening = first["T"] // 60_000 * 60_000
        for zero in ({"startTime": 0}, {"startTime": 0, "endTime": 2**63 - 1}):
            bars = await rows("klines", interval="1m", limit=2, **zero)
            assert [bar[0] for bar in bars] == [opening, opening + 60_000]
            assert bars[0][1] == first["p"]
        late = await rows("klines", interval="1m", limit=1, startTime=opening + 60_000)
        assert [bar[0] for bar in late] == [opening + 60_000]
        for interval in ("1s", "1m", "1w", "1M"):
            for span in ({"startTime": 2**63 - 1}, {"endTime": 0}, {"startTime": 0, "endTime": 0}):
                assert await rows("klines", interval=interval, timeZone="14", **span) == []
        assert await rows("aggTrades", startTime=2**63 - 1) == []

    play(scenario)


def test_days_weeks_and_months_begin_when_the_calendar_says(play: Any, setup_of: Any) -> None:
    async def scenario(visitor: Any) -> None:
        async def openings(interval: str, zone: str = "0") -> list[int]:
            bars = await ok(
                visitor.get("/api/v3/klines", symbol="ABCUSDT", interval=interval, timeZone=zone)
            )
            return [bar[0] * 1_000 for bar in bars]

        visitor.step(3 * HOUR)
        days = [day_start(FIRST + timedelta(days=n)) for n in range(4)]
        assert await openings("1d") == days
        assert await openings("1d", "8") == [day - 8 * HOUR for day in days]
        assert await openings("1w") == [day_start(date(2025, 3, 24)), day_start(date(2025, 3, 31))]
        assert await openings("1M") == [day_start(date(2025, 3, 1)), day_start(date(2025, 4, 1))]
        whole = await ok(visitor.get("/api/v3/klines", symbol="ABCUSDT", interval="1M"))
        parts = await ok(visitor.get("/api/v3/klines", symbol="ABCUSDT", interval="1d"))
        assert Decimal(whole[0][5]) == sum(Decimal(bar[5]) for bar in parts[:3])
        assert (whole[0][1], whole[0][4]) == (parts[0][1], parts[2][4])

    play(scenario, setup=setup_of(FIRST, OPENS, rate=1.0))


def test_a_ticker_is_of_the_last_24_hours(play: Any, setup_of: Any) -> None:
    async def scenario(visitor: Any) -> None:
        rows = await all_aggregates(visitor)
        within = [row for row in rows if row["T"] > visitor.now - DAY]
        before = rows[len(rows) - len(within) - 1]
        got = await ok(visitor.get("/api/v3/ticker/24hr", symbol="ABCUSDT"))
        prices = [Decimal(row["p"]) for row in within]
        volume = sum(Decimal(row["q"]) for row in within)
        worth = sum(Decimal(row["p"]) * Decimal(row["q"]) for row in within)
        assert [Decimal(got[name]) for name in ("openPrice", "highPrice", "lowPrice")] == [
            prices[0], max(prices), min(prices),
        ]  # fmt: skip
        assert (Decimal(got["lastPrice"]), Decimal(got["volume"])) == (prices[-1], volume)
        assert Decimal(got["quoteVolume"]) == worth
        assert got["prevClosePrice"] == before["p"]
        assert Decimal(got["priceChange"]) == prices[-1] - prices[0]
        assert abs(Decimal(got["weightedAvgPrice"]) - worth / volume) < Decimal("1e-8")
        assert (got["firstId"], got["lastId"], got["count"]) == (
            within[0]["f"], within[-1]["l"], len(within),
        )  # fmt: skip
        assert (got["openTime"], got["closeTime"]) == (
            (visitor.now - DAY) // 1_000, visitor.now // 1_000,
        )  # fmt: skip
        mini = await ok(visitor.get("/api/v3/ticker/24hr", symbol="ABCUSDT", type="MINI"))
        assert mini == {name: got[name] for name in mini}
        assert len(mini) == 12
        both = await ok(visitor.get("/api/v3/ticker/24hr", symbols='["XYZUSDT","ABCUSDT"]'))
        assert [row["symbol"] for row in both] == ["XYZUSDT", "ABCUSDT"]
        prices_now = await ok(visitor.get("/api/v3/ticker/price"))
        assert prices_now[0] == {"symbol": "ABCUSDT", "price": got["lastPrice"]}
        bnb = await ok(visitor.get("/api/v3/ticker/price", symbol="BNBUSDT"))
        assert bnb == {"symbol": "BNBUSDT", "price": "600.00000000"}
        book = await ok(visitor.get("/api/v3/ticker/bookTicker", symbol="ABCUSDT"))
        depth = await ok(visitor.get("/api/v3/depth", symbol="ABCUSDT", limit=1))
        assert [book["bidPrice"], book["bidQty"]] == depth["bids"][0]
        assert [book["askPrice"], book["askQty"]] == depth["asks"][0]
        assert Decimal(book["bidPrice"]) < Decimal(book["askPrice"])
        mean = await ok(visitor.get("/api/v3/avgPrice", symbol="ABCUSDT"))
        assert mean["mins"] == 5

    play(scenario, setup=setup_of(FIRST, OPENS, rate=1.0))


def test_the_clock_is_the_walls_and_the_market_keeps_its_own(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        before = time.time_ns()
        told = (await ok(visitor.get("/api/v3/time")))["serverTime"]
        assert before // 1_000_000 <= told <= time.time_ns() // 1_000_000
        micro = await ok(visitor.ask("GET", "/api/v3/time", X_MBX_TIME_UNIT="MICROSECOND"))
        assert before // 1_000 <= micro["serverTime"] <= time.time_ns() // 1_000
        done = await ok(visitor.order("BUY", "MARKET", quantity="1"))
        assert done["transactTime"] == visitor.now // 1_000
        clock = await ok(visitor.get("/vostok/clock"))
        assert clock.keys() == {"wallNs", "marketUs", "speed"}
        assert clock["marketUs"] == visitor.now
        assert before <= clock["wallNs"] <= time.time_ns()

    play(scenario)


def test_a_day_is_in_the_archive_once_it_is_over(play: Any, setup_of: Any, tmp_path: Any) -> None:
    setup = setup_of(FIRST, OPENS, rate=1.0)
    path = "/data/spot/daily/aggTrades/ABCUSDT/ABCUSDT-aggTrades-2025-03-31.zip"

    async def scenario(visitor: Any) -> None:
        async def there(where: str) -> int:
            return int((await visitor.ask("GET", where)).status)

        assert await there(path.replace("31.zip", "30.zip")) == 200
        assert await there(path) == 404
        visitor.step(2 * HOUR)
        content = (await visitor.ask("GET", path)).body
        checksum = await visitor.ask("GET", f"{path}.CHECKSUM")
        digest, name = checksum.body.split()
        assert (digest, name) == (hashlib.sha256(content).hexdigest(), path.rsplit("/", 1)[1])
        market = setup.markets[0]
        span, _ = advance(market.spec, market.beginning(FIRST, setup.seed), 3 * 1440)
        today = pl.col("ts").dt.date() == date(2025, 3, 31)
        own = write_day(tmp_path / "own", "ABCUSDT", date(2025, 3, 31), span.ticks.filter(today))
        assert content == own.read_bytes(), "as if the kernel's ticks had been written"

        single = path.replace("aggTrades", "trades")
        with zipfile.ZipFile(io.BytesIO((await visitor.ask("GET", single)).body)) as packed:
            line = packed.read(packed.namelist()[0]).decode().splitlines()[0]
        _number, price, qty, worth, ts, maker, best = line.split(",")
        assert Decimal(worth) == Decimal(price) * Decimal(qty)
        assert (len(ts), maker in {"True", "False"}, best) == (16, True, "True")
        for wrong in (
            path.replace("03-31", "04-01"), path.replace("ABC", "NOPE"),
            "/data/spot/daily/aggTrades/ABCUSDT/../../../../../setup.json",
            "/data/spot/daily/aggTrades/ABCUSDT/ABCUSDT-aggTrades-2025-13-31.zip",
        ):  # fmt: skip
            assert await there(wrong) == 404, wrong

    play(scenario, setup=setup)


def test_news_appear_when_market_time_reaches_them(play: Any, setup_of: Any) -> None:
    setup = setup_of(FIRST, OPENS, rate=0.1)

    async def scenario(visitor: Any) -> None:
        async def feed() -> list[tuple[str, int, str]]:
            reply = await visitor.ask("GET", "/feed.xml")
            document = feedparser.parse(reply.body.encode())
            assert not document.bozo
            return [
                (entry.id, int(entry.id.split("-")[1]), entry.title) for entry in document.entries
            ]

        first = await feed()
        assert all(ts <= visitor.now for _, ts, _ in first)
        visitor.step(HOUR)
        second = await feed()
        assert second[: len(first)] == first, "items keep their ids and their places"
        new = second[len(first) :]
        assert new
        assert all(OPENS < ts <= visitor.now for _, ts, _ in new)
        truth = []
        for market in setup.markets:
            span, _ = advance(market.spec, market.beginning(FIRST, setup.seed), 2 * 1440 + 23 * 60)
            truth += span.news["ts"].to_physical().to_list()
        assert [ts for _, ts, _ in second] == sorted(truth)
        visitor.step(8 * DAY)
        late = await feed()
        assert all(visitor.now - 7 * DAY < ts for _, ts, _ in late)
        assert not {key for key, _, _ in late} & {key for key, _, _ in second}

    play(scenario, setup=setup)


def test_symbols_are_listed_with_their_rules(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        info = await ok(visitor.get("/api/v3/exchangeInfo"))
        assert [row["symbol"] for row in info["symbols"]] == ["ABCUSDT", "XYZUSDT"]
        one = await ok(visitor.get("/api/v3/exchangeInfo", symbol="XYZUSDT"))
        assert one["symbols"] == info["symbols"][1:]
        assert one["symbols"][0]["permissionSets"] == [["SPOT"]]
        named = await ok(visitor.get("/api/v3/exchangeInfo", symbols='["XYZUSDT"]'))
        assert named["symbols"] == one["symbols"]
        none = await ok(visitor.get("/api/v3/exchangeInfo", symbolStatus="HALT"))
        assert none["symbols"] == []
        bare = await ok(visitor.get("/api/v3/exchangeInfo", showPermissionSets="false"))
        assert bare["symbols"][0]["permissionSets"] == []

    play(scenario)
