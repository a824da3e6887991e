"""A project whose instruments are recorded, the exchange that trades them, and what is true there.

The exchange is the real one, over sockets, at accelerated market time; recorders run in this
process or in one of their own. `Truth` hears what the exchange's desk says, and the lake is held
against it.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from tests.live.recorder_project import ABC, XYZ
from vostok_core.lake.store import Lake
from vostok_core.lake.verify import verify
from vostok_core.market.book_days import BOOK_VERSION, RAW, book_day, book_days
from vostok_core.market.books import book_after
from vostok_core.market.days import ticks_day
from vostok_core.market.instrument import Instrument
from vostok_core.market.synthetic import MarketSpec
from vostok_core.project import Project
from vostok_core.times import HOUR, day_start
from vostok_exchange.events import AggTrade, BookTop, DepthChange, Event, Trade
from vostok_exchange.server import Server
from vostok_exchange.settings import Setup
from vostok_exchange.world import Market

ROOT = Path(__file__).resolve().parents[2]
OPENS = day_start(date(2025, 3, 31)) + 22 * HOUR
SPEED = 600.0
SPEC = MarketSpec(
    annual_volatility=0.8, trades_per_minute=6.0, start_price=100.0, mean_qty=5.0,
    quantity_step=0.001,
)  # fmt: skip


Levels = dict[int, int]


@dataclass
class Truth:
    """What the exchange's desk says of one instrument, in the symbol's integers.

    Attributes:
        trades: Time, price and quantity of each trade (or aggregate trade) by its id.
        tops: Best bid and ask after each change that made them so.
        changes: Number, bids and asks of every change of the book, after the book as it stood.
    """

    instrument: Instrument
    trades: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    tops: dict[int, tuple[int | None, int | None]] = field(default_factory=dict)
    changes: list[tuple[int, Levels, Levels]] = field(default_factory=list)

    @classmethod
    def at(cls, instrument: Instrument, server: Server) -> Truth:
        """What is true at an exchange from now on."""
        desk = server.exchange.desk
        book = desk.venue.listing(instrument.id.symbol).book
        bids, asks = book.depth(1_000_000)
        truth = cls(instrument, changes=[(book.update_id, dict(bids), dict(asks))])
        desk.listeners.append(truth.hear)
        return truth

    def hear(self, events: list[Event]) -> None:
        """Events of the desk."""
        symbol = self.instrument.id.symbol
        for event in events:
            if getattr(event, "symbol", None) != symbol:
                continue
            if isinstance(event, AggTrade) and self.instrument.tick == "agg_trade":
                self.trades[event.agg_id] = (event.ts, event.price, event.qty)
            elif isinstance(event, Trade) and self.instrument.tick == "trade":
                self.trades[event.trade_id] = (event.ts, event.price, event.qty)
            elif isinstance(event, BookTop):
                self.tops[event.update_id] = (event.top.bid, event.top.ask)
            elif isinstance(event, DepthChange):
                self.changes.append((event.last, event.bids, event.asks))

    def books(self, wanted: Iterable[int]) -> Iterator[tuple[int, Levels, Levels]]:
        """The book as it stood after some changes, in order of them."""
        asked = set(wanted)
        bids: Levels = {}
        asks: Levels = {}
        for number, more_bids, more_asks in self.changes:
            bids.update(more_bids)
            asks.update(more_asks)
            if number in asked:
                yield number, *({p: q for p, q in side.items() if q} for side in (bids, asks))


@asynccontextmanager
async def exchange(
    project: Project, folder: Path, speed: float = SPEED, **options: Any
) -> AsyncIterator[tuple[Server, dict[str, Truth]]]:
    """The exchange in this process, and what is true there from now on."""
    markets = tuple(Market(project.settings.instrument(name), SPEC) for name in (ABC, XYZ))
    opens = date(2025, 3, 31)
    setup = None
    if not (folder / "setup.json").exists():
        setup = Setup(5, opens, OPENS, markets, (), {"USDT": Decimal(500)})
    async with Server(folder, setup=setup, speed=speed, **options) as server:
        truths = {
            str(market.instrument.id): Truth.at(market.instrument, server) for market in markets
        }
        yield server, truths


async def until(
    true: Callable[[], object], *tasks: asyncio.Future[Any], seconds: float = 60
) -> None:
    """Wait for something; where a task fails, with its error."""
    async with asyncio.timeout(seconds):
        while not true():
            for task in tasks:
                assert not task.done(), task.exception() if not task.cancelled() else "cancelled"
            await asyncio.sleep(0.02)


@asynccontextmanager
async def recording(
    project: Project, url: str, *names: str, bound: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A recorder in a process of its own; it is stopped in order where it still runs. Permissions
    hold for one that is `bound`, though it be root's."""
    with (project.root / "recorder.out").open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "vostok_live", "record", *names, "--exchange", url,
            cwd=project.root,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=out,
            stderr=out,
            start_new_session=True,
            preexec_fn=_bind if bound else None,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


def _bind() -> None:
    """Give up what lets root read and write everything, in the program that comes."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def ticks_of(lake: Lake, instrument: Instrument) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All ticks and findings of what was recorded, made day by day as the pipeline does."""
    name = str(instrument.id)
    found = []
    for day in lake.days("raw_trades", instrument=name):
        ticks, quality, inputs = ticks_day(lake, instrument, day)
        keys = {"instrument": name, "date": day}
        lake.write("ticks", ticks, code_version="t", inputs=inputs, **keys)
        lake.write("quality", quality, code_version="t", inputs=inputs, **keys)
        found.append((ticks, quality))
    return pl.concat([t for t, _ in found]), pl.concat([q for _, q in found])


def books_of(lake: Lake, name: str) -> dict[str, pl.DataFrame]:
    """All quotes, depth and findings of what was recorded, made day by day."""
    made: dict[str, list[pl.DataFrame]] = {}
    for day in book_days(lake, name):
        frames, inputs = book_day(lake, name, day)
        for table, frame in frames.items():
            lake.write(
                table, frame, code_version=BOOK_VERSION, inputs=inputs, instrument=name, date=day
            )
            made.setdefault(table, []).append(frame)
    return {table: pl.concat(frames) for table, frames in made.items()}


def check_parts(lake: Lake) -> None:
    """Every file of the recorded tables is whole, to the bit."""
    looked = [each for name in ("raw_trades", *RAW) for each in verify(lake, name)]
    assert looked
    assert not [each for each in looked if each.damage]


def check_trades(lake: Lake, truth: Truth) -> pl.DataFrame:
    """Every trade once, from the first that was recorded to the last; the findings of quality."""
    instrument = truth.instrument
    ticks, quality = ticks_of(lake, instrument)
    ids = ticks["trade_id"].to_list()
    assert ids == list(range(ids[0], ids[-1] + 1)), "a trade is missing, or there twice"
    step, lot = float(instrument.price_tick), float(instrument.quantity_step)
    known = ticks.filter(pl.col("trade_id").is_in(list(truth.trades)))
    assert known.height > 10
    for row in known.iter_rows(named=True):
        ts, price, qty = truth.trades[row["trade_id"]]
        assert abs(row["price"] - price * step) < step / 2
        assert abs(row["qty"] - qty * lot) < lot / 2
        assert int(row["ts"].timestamp() * 1e6 + 0.5) == ts
    assert quality.filter((pl.col("kind") == "gap") & pl.col("invalidates")).is_empty()
    return quality


def check_book(lake: Lake, truth: Truth) -> pl.DataFrame:
    """Every change once and true, breaks where findings say so, and the books told right."""
    name = str(truth.instrument.id)
    step, lot = float(truth.instrument.price_tick), float(truth.instrument.quantity_step)
    made = books_of(lake, name)
    for row in made["quotes"].iter_rows(named=True):
        if (top := truth.tops.get(row["update_id"])) is not None:
            assert (round(row["bid"] / step), round(row["ask"] / step)) == top
    assert made["quotes"]["ts"].is_sorted()
    depth, quality = made["depth"], made["book_quality"]
    unknown = quality.filter((pl.col("stream") == "depth") & pl.col("unknown"))
    changes = depth.filter(~pl.col("snapshot"))
    broken = changes.filter(pl.col("first_id") != pl.col("last_id").shift(1) + 1)
    assert set(broken["ts"]) <= set(unknown["end_ts"]) | set(unknown["ts"])
    # At the end of each unbroken run the book is the exchange's.
    ends = changes.filter(
        (pl.col("last_id") + 1 != pl.col("first_id").shift(-1)).fill_null(value=True)
    )
    known = {
        row["last_id"]
        for row in ends.iter_rows(named=True)
        if unknown.filter((pl.col("ts") <= row["ts"]) & (pl.col("end_ts") >= row["ts"])).is_empty()
    }
    told = 0
    for number, *sides in truth.books(known):
        book = book_after(depth, number)
        for ours, theirs in zip((book.bids, book.asks), sides, strict=True):
            assert {round(p / step): round(q / lot) for p, q in ours.items()} == theirs
        told += 1
    assert told, "no book could be told"
    return quality


# Lines

SECOND_NS = 10**9
BEGIN_NS = day_start(date(2025, 3, 31)) * 1_000 + 82_800 * SECOND_NS  # 23:00


def trade_line(
    trade_id: int, seconds: float, *, symbol: str = "ABCUSDT", ahead: float = 0.0
) -> str:
    """An aggregate trade that was made and came after some seconds; the exchange's clock is ahead
    of ours by `ahead`."""
    ns = BEGIN_NS + int(seconds * SECOND_NS)
    ts = (ns + int(ahead * SECOND_NS)) // 1_000_000
    data = {
        "e": "aggTrade", "E": ts, "s": symbol, "a": trade_id, "p": "100.00", "q": "1.000",
        "f": trade_id, "l": trade_id, "T": ts, "m": trade_id % 2 == 0, "M": True,
    }  # fmt: skip
    return f"{ns} {framed(symbol, 'aggTrade', data)}"


def quote_line(update_id: int, seconds: float, *, symbol: str = "ABCUSDT") -> str:
    """The best prices after a change."""
    data = {"u": update_id, "s": symbol, "b": "99.99", "B": "1.000", "a": "100.01", "A": "2.000"}
    return f"{BEGIN_NS + int(seconds * SECOND_NS)} {framed(symbol, 'bookTicker', data)}"


def depth_line(first: int, last: int, seconds: float, *, symbol: str = "ABCUSDT") -> str:
    """Changes of the book."""
    ns = BEGIN_NS + int(seconds * SECOND_NS)
    data = {
        "e": "depthUpdate", "E": ns // 1_000_000, "s": symbol, "U": first, "u": last,
        "b": [["99.00", f"{last}.000"]], "a": [],
    }  # fmt: skip
    return f"{ns} {framed(symbol, 'depth@100ms', data)}"


def own_line(seconds: float, **content: Any) -> str:
    """A line of the recorder's own."""
    return f"{BEGIN_NS + int(seconds * SECOND_NS)} {json.dumps(content, separators=(',', ':'))}"


def framed(symbol: str, kind: str, data: dict[str, Any]) -> str:
    """A combined frame."""
    whole = {"stream": f"{symbol.lower()}@{kind}", "data": data}
    return json.dumps(whole, separators=(",", ":"))


def write_lines(path: Path, lines: Iterable[str], *, cut: int = 0) -> Path:
    """A segment or capture; the last `cut` bytes are left out, as a kill would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(content[: len(content) - cut])
    return path
