"""How many trades a second of one core does the daemon's market data path take?

    .venv/bin/python bench/feed.py [--trades 200000]

Frames of aggregate trades are decoded, put in order, and made into 1-minute bars, in batches of
several sizes: as many as have come since the daemon last looked. What is counted is CPU time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TypeVar

import numpy as np

from vostok_core.live.cuts import ClosedBar, LiveBars
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.times import HOUR, MINUTE
from vostok_live.feed.continuity import Continuity
from vostok_live.feed.events import Tick
from vostok_live.feed.parse import decode
from vostok_live.market import Market
from vostok_live.seams import MarketTime, WallClock

Item = TypeVar("Item")
START = 1_709_596_800_000_000  # 2024-03-05 00:00 UTC
BTC = Instrument(
    InstrumentId.parse("binance.spot.BTC-USDT"), "agg_trade", Decimal("0.01"), Decimal("0.00001"),
    Decimal(5), HOUR,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trades", type=int, default=200_000)
    count = parser.parse_args().trades
    sent = list(frames(count))
    began = time.process_time()
    ticks = [event for frame in sent if isinstance(event := decode(frame), Tick)]
    report("decoded", count, began)
    for size in (1, 10, 100, 1_000):
        began = time.process_time()
        order = Continuity(0)
        for batch in batches(ticks, size):
            order.take(batch, 0.0)
        report(f"put in order, {size} at a time", count, began)
    for size in (1, 10, 100, 1_000):
        began = time.process_time()
        bars = run(batches(ticks, size))
        report(f"made into {bars} bars, {size} at a time", count, began)
    for size in (1, 10, 100, 1_000):
        began = time.process_time()
        all_of_it(sent, size)
        report(f"all of it, {size} at a time", count, began)


def rate(size: int, count: int = 100_000) -> float:
    """Trades a second of CPU time: frames decoded, put in order and made into bars.

    Args:
        size: How many come at a time.
        count: How many come in all.
    """
    sent = list(frames(count))
    all_of_it(sent[:1_000], size)  # what is compiled at first
    began = time.process_time()
    all_of_it(sent, size)
    return count / (time.process_time() - began)


def all_of_it(sent: Sequence[bytes], size: int) -> None:
    """Take frames through the whole path, so many at a time."""
    order = Continuity(0)
    run(order.take([tick(frame) for frame in part], 0.0) for part in batches(sent, size))


def frames(count: int) -> Iterator[bytes]:
    """Trades of a random walk, twenty a second."""
    rng = np.random.default_rng(1)
    price = (6_000_000 + np.cumsum(rng.integers(-50, 51, count))).tolist()
    qty = rng.integers(1, 1_000_000, count).tolist()
    for k in range(count):
        ts = START + 50_000 * k
        yield (
            f'{{"stream":"btcusdt@aggTrade","data":{{"e":"aggTrade","E":{ts + 900},"s":"BTCUSDT",'
            f'"a":{k},"p":"{price[k] / 100:.8f}","q":"{qty[k] / 100_000:.8f}","f":{k},"l":{k},'
            f'"T":{ts},"m":{"true" if qty[k] % 2 else "false"},"M":true}}}}'
        ).encode()


def tick(frame: bytes) -> Tick:
    event = decode(frame)
    assert isinstance(event, Tick)
    return event


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[k : k + size] for k in range(0, len(items), size))


def run(coming: Iterator[Sequence[Tick]]) -> int:
    """Make bars of batches of trades; returns how many."""
    closed: list[ClosedBar] = []
    market = Market(
        LiveBars(BTC, ["1m"], START // MINUTE * MINUTE, None),
        WallClock(MarketTime()),
        grace=0,
        ahead=0,
        on_ticks=lambda _: None,
        on_cut=lambda _: None,
        on_bar=closed.append,
        on_refused=lambda tick: print(f"refused {tick}"),
    )
    for batch in coming:
        market.push(batch)
    return len(closed)


def report(what: str, count: int, began: float) -> None:
    took = time.process_time() - began
    print(f"{what}: {count / took:,.0f} trades/s, {took / count * 1e6:.2f} us each")


if __name__ == "__main__":
    main()
