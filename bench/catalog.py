"""What it costs to ask a lake: scan a month of trades, open years of days and ask for one.

* A month of ticks is scanned (price, quantity, side and time of every trade) by `Lake.scan`, by
  `vostok_core.lake.connect`, and by bare Polars on the same files. In turns, files in the page
  cache.
* Two years of five instruments are opened by `connect` and one day is asked for, in a process that
  has done so before.
* NautilusTrader's catalog ingests, scans and bars the same archive files beside Vostok, where
  `--nautilus` names the python of an environment that has it (`pip install nautilus_trader`).

    .venv/bin/python bench/catalog.py [--trades 500000] [--repeats 7] [--nautilus PYTHON]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from statistics import median

import polars as pl

sys.path.insert(0, str(Path(__file__).parent))

from ingest import FIRST, INSTRUMENT, make_archive

from vostok_core.lake import connect
from vostok_core.lake.store import Lake
from vostok_core.market.bars import day_bars
from vostok_core.market.merging import merge_day
from vostok_core.market.synthetic import MarketSpec, MarketState, advance
from vostok_core.times import day_start
from vostok_pipelines.landing import land_days
from vostok_pipelines.sources.mirror import Mirror

NAME = str(INSTRUMENT.id)
COLUMNS = ["price", "qty", "buyer_maker", "ts"]
YEARS, INSTRUMENTS = 2, 5


def timed(do: Callable[[], object]) -> float:
    before = time.perf_counter()
    do()
    return time.perf_counter() - before


def in_turns(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each way, taken in turns after one that does not count."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repeats + 1):
        for name, do in ways.items():
            seconds = timed(do)
            if number:
                found[name].append(seconds)
    return found


def write_month(lake: Lake, trades: int) -> None:
    spec = MarketSpec(trades_per_minute=trades / 1440, annual_volatility=0.6, mean_qty=0.01)
    state = MarketState.start(spec, 1, day_start(FIRST), first_trade_id=3_000_000_000)
    for number in range(30):
        span, state = advance(spec, state, 1440)
        day = FIRST + timedelta(days=number)
        lake.write("ticks", span.ticks, code_version="bench", instrument=NAME, date=day)


def scan(root: Path, trades: int, repeats: int) -> None:
    lake = Lake.open(root / "month")
    write_month(lake, trades)
    files = sorted((root / "month" / "ticks").rglob("*.parquet"))
    rows = pl.scan_parquet(files).select(pl.len()).collect().item()
    size = sum(path.stat().st_size for path in files)
    connection = connect(lake)
    question = f"SELECT {', '.join(COLUMNS)} FROM ticks WHERE instrument = '{NAME}'"
    raw = f"SELECT {', '.join(COLUMNS)} FROM read_parquet({[str(path) for path in files]})"
    ways = {
        "bare Polars": lambda: pl.scan_parquet(files, glob=False).select(COLUMNS).collect(),
        "Lake.scan": lambda: lake.scan("ticks", instrument=NAME).select(COLUMNS).collect(),
        "bare DuckDB": lambda: connection.sql(raw).pl(),
        "connect, in SQL": lambda: connection.sql(question).pl(),
    }
    found = in_turns(ways, repeats)
    print(
        f"a month of ticks: {rows:,} rows, {size / rows:.1f} bytes a trade; median of {repeats}\n"
    )
    print(f"{'':20}{'s':>8}{'million rows/s':>16}{'of its bare kind':>18}")
    for name, bare in (
        ("bare Polars", "bare Polars"),
        ("Lake.scan", "bare Polars"),
        ("bare DuckDB", "bare DuckDB"),
        ("connect, in SQL", "bare DuckDB"),
    ):
        each = median(found[name])
        # Turn by turn: what disturbs the machine disturbs both.
        share = median(b / a for a, b in zip(found[name], found[bare], strict=True))
        print(f"{name:20}{each:8.3f}{rows / each / 1e6:16.1f}{share:18.0%}")


def open_years(root: Path, repeats: int) -> None:
    lake = Lake.open(root / "years")
    days = [date(2023, 1, 1) + timedelta(days=k) for k in range(365 * YEARS)]
    names = [f"binance.spot.C{k}-USDT" for k in range(INSTRUMENTS)]
    spec = MarketSpec(trades_per_minute=1.0)
    state = MarketState.start(spec, 1, day_start(days[0]), first_trade_id=1)
    for day in days:
        span, state = advance(spec, state, 1440)
        for name in names:
            lake.write("ticks", span.ticks, code_version="bench", instrument=name, date=day)
    asked = days[len(days) // 2]
    question = f"SELECT * FROM ticks WHERE instrument = '{names[2]}' AND date = DATE '{asked}'"

    def ask() -> None:
        with connect(root / "years") as connection:
            assert connection.sql(question).pl().height

    with connect(root / "years") as connection:
        again = in_turns({"": lambda: connection.sql(question).pl()}, repeats)[""]
    file = lake.partition("ticks", instrument=names[2], date=asked) / "part-0.parquet"
    ways = {
        "connect and ask for a day": ask,
        "Lake.open and read the day": lambda: Lake.open(root / "years", create=False).read(
            "ticks", instrument=names[2], date=asked
        ),
        "bare Polars, the file's name known": lambda: pl.read_parquet(file),
    }
    found = in_turns(ways, repeats)
    files = len(days) * len(names)
    print(
        f"\n{YEARS} years of {INSTRUMENTS} instruments, {files:,} files; median of {repeats}, ms\n"
    )
    for name, seconds in found.items():
        print(f"{name:40}{median(seconds) * 1e3:8.1f}{max(seconds) * 1e3:10.1f} at most")
    print(f"{'ask again on the same connection':40}{median(again) * 1e3:8.1f}")


def by_vostok(paths: list[Path]) -> dict[str, float]:
    """What `peers/nautilus_catalog.py` does, with the lake."""
    spent = {"ingest": 0.0, "scan": 0.0, "bars": 0.0}
    stored = trades = 0
    for number, path in enumerate(paths):
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            lake, day = Lake.open(folder), date.fromisoformat(path.stem[-10:])
            marks = [time.perf_counter()]
            list(land_days(lake, Mirror(path.parents[5]), INSTRUMENT, [day]))
            merge_day(lake, INSTRUMENT, day)
            marks.append(time.perf_counter())
            lake.scan("ticks", instrument=NAME).select(COLUMNS).collect()
            marks.append(time.perf_counter())
            ticks = lake.read("ticks", instrument=NAME, date=day)
            quality = lake.read("quality", instrument=NAME, date=day)
            day_bars(ticks, day, "1m", INSTRUMENT, None, quality)
            marks.append(time.perf_counter())
            if number:
                for name, before, after in zip(spent, marks, marks[1:], strict=False):
                    spent[name] += after - before
                stored += sum(file.stat().st_size for file in Path(folder).rglob("*.parquet"))
                trades += ticks.height
    days = len(paths) - 1
    return {name: seconds / days for name, seconds in spent.items()} | {"bytes": stored / trades}


def peers(root: Path, trades: int, python: str) -> None:
    paths = make_archive(root / "peers", 3, trades)
    peer = Path(__file__).parent / "peers" / "nautilus_catalog.py"
    done = subprocess.run(
        [python, str(peer), *map(str, paths)], check=True, stdout=subprocess.PIPE, text=True
    )
    theirs = json.loads(done.stdout.splitlines()[-1])
    ours = by_vostok(paths)
    print(f"\na day of some {trades:,} aggregate trades, from its zip; seconds\n")
    print(f"{'':44}{'Vostok':>10}{'Nautilus':>10}{'ratio':>8}")
    for told, mine, other in (
        ("ingest", "ingest", "ingest"),
        ("scan, as columns", "scan", "scan arrow"),
        ("scan, as the objects that its engine takes", "scan", "scan objects"),
        ("minute bars", "bars", "bars"),
        ("bytes a trade", "bytes", "bytes"),
    ):
        a, b = ours[mine], theirs[other]
        print(f"{told:44}{a:10.3f}{b:10.3f}{b / a:8.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trades", type=int, default=500_000, help="a day")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--nautilus", metavar="PYTHON", help="of an environment that has it")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vostok-catalog-") as folder:
        scan(Path(folder), asked.trades, asked.repeats)
        open_years(Path(folder), asked.repeats)
        if asked.nautilus:
            peers(Path(folder), asked.trades, asked.nautilus)


if __name__ == "__main__":
    main()
