"""What landing files of months takes: memory against the length of the file, time against days.

The same trades, so many a day, are landed from files of days and from the files of 1, 10 and 31 of
these days together, each in a process of its own with an empty lake. Prints the peak of its memory
over that of a process that has only imported everything, and the processor time.

    .venv/bin/python bench/landing_months.py [--trades 300000] [--json out.json]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from vostok_core.times import DAY, day_start

FIRST = date(2025, 1, 1)
SYMBOL = "BTCUSDT"
LENGTHS = (1, 10, 31)

CHILD = """
import resource, sys, time
from decimal import Decimal
from pathlib import Path
from vostok_core.lake.schemas import validate
from vostok_core.lake.store import Lake
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_pipelines.landing import land
from vostok_pipelines.sources import by_day

lake, block, *paths = sys.argv[1:]
if block == "whole":
    by_day.LARGE = 1 << 60
elif block == "blocks":
    by_day.LARGE = 0
instrument = Instrument(
    InstrumentId.parse("binance.spot.BTC-USDT"), "agg_trade", Decimal("0.01"), Decimal("0.00001"),
    Decimal(5), 10**9,
)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.process_time()
rows = 0
for path in paths:
    rows += land(Lake.open(lake), Path(path), instrument, "binance-aggtrades").rows
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(rows, (peak - before) / 1024, time.process_time() - began)
"""


def day_text(number: int, trades: int) -> bytes:
    """The lines of a day: prices that walk, times in order."""
    chance = np.random.default_rng(number)
    ids = np.arange(number * trades, (number + 1) * trades) + 1
    start = day_start(FIRST + timedelta(days=number))
    frame = pl.DataFrame(
        {
            "id": ids,
            "price": (90_000 + np.cumsum(chance.integers(-3, 4, trades)) * 0.01).round(2),
            "qty": (chance.integers(1, 200_000, trades) * 0.00001).round(5),
            "first": ids * 2,
            "last": ids * 2 + 1,
            "ts": start + np.sort(chance.integers(0, DAY, trades)),
            "maker": np.where(chance.random(trades) < 0.5, "True", "False"),
            "best": np.full(trades, "True"),
        }
    )
    return frame.write_csv(include_header=False).encode()


def pack(path: Path, days: range, trades: int) -> Path:
    """A zip of the CSV of some days."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(f"{path.stem}.csv", "w", force_zip64=True) as text,
    ):
        for number in days:
            text.write(day_text(number, trades))
    return path


def measure(folder: Path, paths: list[Path], how: str) -> dict[str, float]:
    """Land files in a process of its own, on an empty lake."""
    with tempfile.TemporaryDirectory(dir=folder) as lake:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, lake, how, *map(str, paths)],
            capture_output=True,
            text=True,
            check=True,
        )
    rows, peak, seconds = map(float, done.stdout.split())
    return {"rows": rows, "peak_mb": peak, "seconds": seconds, "rows_per_s": rows / seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trades", type=int, default=300_000, help="trades a day")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        days = [
            pack(folder / f"day-{n}.zip", range(n, n + 1), options.trades)
            for n in range(LENGTHS[1])
        ]
        found["10 files of a day"] = measure(folder, days, "as it is")
        for length in LENGTHS:
            path = pack(folder / f"{length}.zip", range(length), options.trades)
            with zipfile.ZipFile(path) as archive:
                size = archive.infolist()[0].file_size / 1e6
            label = f"a file of {length} day{'s' if length > 1 else ''} ({size:.0f} MB of text)"
            found[f"{label}, in blocks"] = measure(folder, [path], "blocks")
            if length > 1:
                found[f"{label}, whole"] = measure(folder, [path], "whole")
            path.unlink()
    print(f"{options.trades:,} trades a day; processor time, memory over that of the imports")
    print("| landed from | peak memory | trades/s |\n|---|---|---|")
    for label, each in found.items():
        print(f"| {label} | {each['peak_mb']:.0f} MB | {each['rows_per_s'] / 1e6:.2f} M |")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
