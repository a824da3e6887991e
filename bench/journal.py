"""How fast the journal writes, and how long it takes to open and to recover.

    .venv/bin/python bench/journal.py [--folder .] [--events 2000] [--ticks 200000]

An append that is synced waits for the disk, so it says more of the disk than of the journal: use a
folder on the disk that is meant.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vostok_core.trading.account import Account
from vostok_core.trading.commands import OrderRequest, Place, SetTimer
from vostok_core.trading.config import EngineConfig
from vostok_core.trading.engine import Engine
from vostok_core.trading.events import BarClosed, Decision
from vostok_core.trading.rules import Rules
from vostok_live.journal.rows import RunStart
from vostok_live.journal.writer import Journal
from vostok_live.seams import real_seams

RULES = Rules(Decimal("0.01"), Decimal("0.00001"), min_notional=50_000_000)
CONFIG = EngineConfig(run="bench", horizon_us=3_600_000_000, take_profit=2.0, stop_loss=1.0)
START = RunStart("0", "bench", "binance.spot.BTC-USDT", "0" * 64, "0" * 64, CONFIG, RULES)
BATCH = 100


class Seen(NamedTuple):
    trade_id: int
    ts: int
    price: float
    qty: float
    buyer_maker: bool
    first_id: int
    last_id: int
    seen: int


def spread(what: str, times: list[float]) -> None:
    p50, p99 = np.percentile(np.array(times) * 1e6, [50, 99])
    print(f"{what:<34}{p50:>10,.0f} us p50{p99:>10,.0f} us p99{1 / np.mean(times):>10,.0f} /s")


def timed(times: int, act: Callable[[int], object]) -> list[float]:
    found = []
    for n in range(times):
        began = time.perf_counter()
        act(n)
        found.append(time.perf_counter() - began)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", default=None)
    parser.add_argument("--events", type=int, default=2_000)
    parser.add_argument("--ticks", type=int, default=200_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "journal.sqlite"
        journal = Journal.open(path, real_seams())
        engine = Engine(CONFIG, RULES, Account.opening(10**15))
        journal.begin_run(START, engine.snapshot())
        decision = Decision(0.2, 0.5, 0.01, 60_000.0)

        def order(n: int) -> OrderRequest:
            return OrderRequest(f"vlb-{n}-e", "entry", "buy", "limit", "IOC", 1_000, 6_000_000)

        def bar() -> BarClosed:
            return BarClosed(journal.seq * 60_000_000, 6_000_000, decision=decision)

        def ticks(n: int) -> None:
            first = n * BATCH
            journal.record_ticks(
                Seen(i, i * 1_000, 60_000.01, 0.00123, bool(i & 1), 2 * i, 2 * i + 1, i)
                for i in range(first, first + BATCH)
            )

        def ask(n: int) -> None:
            journal.append(bar(), [Place(order(n))], 0)

        def wait(n: int) -> None:
            journal.append(bar(), [SetTimer(n)], 0)

        spread("append with an order (synced)", timed(options.events // 4, ask))
        spread("append with a timer", timed(options.events, wait))
        seen = timed(options.ticks // BATCH, ticks)
        spread(f"batch of {BATCH} ticks", seen)
        print(f"{'ticks':<34}{options.ticks / sum(seen):>10,.0f} /s")
        spread("snapshot", timed(200, lambda _: journal.snapshot(journal.seq, engine.snapshot())))
        journal.close()
        print(f"{'file':<34}{path.stat().st_size / 2**20:>10,.1f} MiB")

        began = time.perf_counter()
        journal = Journal.open(path, real_seams())
        print(f"{'open, with its check':<34}{1e3 * (time.perf_counter() - began):>10,.1f} ms")
        journal.begin_run(START, engine.snapshot())
        for _ in range(options.events):
            event = bar()
            journal.append(event, engine.handle(event), 0)
        began = time.perf_counter()
        journal.recover(CONFIG, RULES)
        took = time.perf_counter() - began
        print(f"{'recovery of so many events':<34}{1e3 * took:>10,.1f} ms")
        journal.close()


if __name__ == "__main__":
    main()
