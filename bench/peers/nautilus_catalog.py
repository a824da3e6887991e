"""NautilusTrader's catalog doing what `bench/catalog.py` does: run by it, in its own environment.

Takes daily files of aggregate trades, the first to warm up. Prints JSON: seconds a day for ingest
(zip to catalog), scan (price, size, side and time of every trade, as Arrow and as objects) and
minute bars (its backtest engine aggregates the catalog's trades), and the bytes stored.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow.dataset as ds
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common.actor import Actor
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.objects import Money
from nautilus_trader.persistence.catalog import ParquetDataCatalog
from nautilus_trader.persistence.wranglers import TradeTickDataWrangler
from nautilus_trader.test_kit.providers import TestInstrumentProvider

NAMES = ["trade_id", "price", "quantity", "first_id", "last_id", "ts", "buyer_maker", "best_match"]
INSTRUMENT = TestInstrumentProvider.btcusdt_binance()


def read(path: Path) -> pd.DataFrame:
    """A day as the wrangler wants it."""
    with zipfile.ZipFile(path) as packed, packed.open(packed.namelist()[0]) as text:
        rows = pd.read_csv(text, header=None, names=NAMES)
    rows.index = pd.to_datetime(rows.pop("ts"), unit="us", utc=True)
    return rows[["trade_id", "price", "quantity", "buyer_maker"]]


class Counter(Actor):
    """Counts minute bars."""

    def __init__(self) -> None:
        super().__init__()
        self.bars = 0

    def on_start(self) -> None:
        self.subscribe_bars(BarType.from_str(f"{INSTRUMENT.id}-1-MINUTE-LAST-INTERNAL"))

    def on_bar(self, bar: Bar) -> None:  # noqa: ARG002
        self.bars += 1


def bars(ticks: list[object]) -> int:
    """Aggregate a day's trades into minute bars."""
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(Venue("BINANCE"), OmsType.NETTING, AccountType.CASH, [Money(1_000_000, USDT)])
    engine.add_instrument(INSTRUMENT)
    engine.add_data(ticks)
    counter = Counter()
    engine.add_actor(counter)
    engine.run()
    engine.dispose()
    return counter.bars


def main(paths: list[Path]) -> None:
    wrangler = TradeTickDataWrangler(INSTRUMENT)
    spent = {"ingest": 0.0, "scan arrow": 0.0, "scan objects": 0.0, "bars": 0.0}
    stored = trades = 0
    for number, path in enumerate(paths):
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            catalog = ParquetDataCatalog(folder)
            catalog.write_data([INSTRUMENT])
            marks = [time.perf_counter()]
            catalog.write_data(wrangler.process(read(path)))
            marks.append(time.perf_counter())
            files = [str(file) for file in Path(folder).rglob("*.parquet") if "trade" in str(file)]
            table = ds.dataset(files).to_table(
                columns=["price", "size", "aggressor_side", "ts_event"]
            )
            marks.append(time.perf_counter())
            ticks = catalog.trade_ticks()
            marks.append(time.perf_counter())
            bars(ticks)
            marks.append(time.perf_counter())
            if number:
                for name, before, after in zip(spent, marks, marks[1:], strict=False):
                    spent[name] += after - before
                stored += sum(Path(file).stat().st_size for file in files)
                trades += table.num_rows
    days = len(paths) - 1
    each = {name: seconds / days for name, seconds in spent.items()}
    print(json.dumps({**each, "bytes": stored / trades}))


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
