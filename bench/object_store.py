"""What does a lake in an object store cost, in requests and in time?

    .venv/bin/python bench/object_store.py [--rounds 7] [--delay 20] [--write]

The store is SeaweedFS on this machine. The same is done in a folder, and through a process that
holds every request up, as a store some way off would. Requests are counted where they pass, in a
round of its own. Medians of rounds.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.store.proxy import Proxy, between  # noqa: E402
from tests.store.server import BUCKET, running  # noqa: E402
from vostok_core.lake.address import S3Options  # noqa: E402
from vostok_core.lake.catalog import query  # noqa: E402
from vostok_core.lake.remembering import RememberingLake, _footers  # noqa: E402
from vostok_core.lake.store import Lake  # noqa: E402
from vostok_core.lake.tables import table  # noqa: E402

NAME = "demo.spot.ABC-USDT"
FIRST = date(2022, 1, 1)
YEARS = [FIRST + timedelta(days=number) for number in range(1_000)]
PAGE = ROOT / "docs" / "lake.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--delay", type=float, default=20.0, help="milliseconds")
    parser.add_argument("--write", action="store_true", help="put the table into docs/lake.md")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running(folder / "weed"))
        os.environ.update(server.environment)
        address = f"s3://{BUCKET}/bench"
        here = fill(Lake.open(folder / "lake"))
        fill(Lake.open(address, home=folder / "filling"))

        def at(url: str, home: str) -> Lake:
            return Lake.open(address, home=folder / home, options=S3Options(url))

        proxy = stack.enter_context(between(server.port))
        far = stack.enter_context(held_up(server.port, given.delay))
        counted = {name: count for name, (count, _) in
                   measure(at(proxy.url, "counted"), 1, proxy).items()}  # fmt: skip
        columns = [
            measure(lake, given.rounds) for lake in (here, at(server.url, "near"), at(far, "far"))
        ]
    lines = [
        f"| operation | requests | folder | object store | {given.delay:g} ms away |",
        "|---|---|---|---|---|",
    ]
    for name, requests in counted.items():
        times = " | ".join(shown(column[name][1]) for column in columns)
        lines.append(f"| {name} | {requests} | {times} |")
    print("\n".join(lines))
    if given.write:
        said = re.sub(
            r"(<!-- object store: .*? -->\n).*?(<!-- end of object store -->)",
            lambda found: found[1] + "\n" + "\n".join(lines) + "\n\n" + found[2],
            PAGE.read_text(encoding="utf-8"),
            flags=re.DOTALL,
        )
        PAGE.write_text(said, encoding="utf-8")


@contextmanager
def held_up(port: int, milliseconds: float) -> Iterator[str]:
    """The address of a process that holds up what it lets through to a port."""
    code = (
        "import sys, time; from tests.store.proxy import between\n"
        "with between(int(sys.argv[1])) as proxy:\n"
        "    proxy.fault = lambda _: time.sleep(float(sys.argv[2]) / 1000)\n"
        "    print(proxy.url, flush=True); sys.stdin.readline()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(port), str(milliseconds)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        yield process.stdout.readline().strip()


def fill(lake: Lake) -> Lake:
    """A thousand days of bars, all of one content."""
    info = lake.write("bars", BARS, code_version="1", instrument=NAME, interval="1m", date=FIRST)
    content, _ = lake.objects.read(lake.name_of(info))
    keys = [lake.folder("bars", instrument=NAME, interval="1m", date=day) for day in YEARS]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: lake.objects.put(f"{key}/part-0.parquet", content), keys))
    lake.write("ticks", TICKS, code_version="1", instrument=NAME, date=FIRST)
    return lake


def measure(lake: Lake, rounds: int, proxy: Proxy | None = None) -> dict[str, tuple[int, float]]:
    """Requests and seconds of each operation."""
    keys = {"instrument": NAME, "interval": "1m"}
    year = YEARS[:365]
    day = iter(range(10**6))

    def write_bars() -> None:
        frame = BARS.with_columns(volume=pl.col("volume") + next(day))
        seen = lake.seen("bars", **keys, date=FIRST)
        lake.write("bars", frame, code_version="1", over=seen, **keys, date=FIRST)

    def write_ticks() -> None:
        seen = lake.seen("ticks", instrument=NAME, date=FIRST)
        frame = TICKS.with_columns(qty=pl.col("qty") + next(day))
        lake.write("ticks", frame, code_version="1", over=seen, instrument=NAME, date=FIRST)

    def footers() -> None:
        looking = RememberingLake.anew(lake)
        for each in year:
            looking.info("bars", **keys, date=each)

    def footers_anew() -> None:
        _footers.clear()
        footers()

    def take_a_turn() -> None:
        with lake.sole_writer("news"):
            pass

    asked: dict[str, Callable[[], object]] = {
        "write a day of minute bars over what was seen": write_bars,
        f"write a day of {TICKS.height:,} trades over what was seen": write_ticks,
        "read a day of minute bars": lambda: lake.read("bars", **keys, date=FIRST),
        f"read a day of {TICKS.height:,} trades": lambda: lake.read(
            "ticks", instrument=NAME, date=FIRST
        ),
        "read the footer of a day": lambda: lake.info("bars", **keys, date=FIRST),
        "see whether a day is there": lambda: lake.exists("bars", **keys, date=FIRST),
        "which of 1,000 days are there": lambda: lake.days("bars", **keys),
        "footers of a year, first look": footers_anew,
        "footers of a year, next look": footers,
        "take a turn, and free it": take_a_turn,
        "SQL over one day of 1,000": lambda: query(
            lake, "SELECT sum(volume) FROM bars WHERE date = '2022-03-01'"
        ),
        "SQL over a year of minute bars": lambda: query(
            lake, "SELECT sum(volume) FROM bars WHERE date BETWEEN '2022-01-01' AND '2022-12-31'"
        ),
    }
    found = {}
    for name, ask in asked.items():
        ask()
        seconds = []
        for _ in range(rounds):
            if proxy is not None:
                proxy.seen.clear()
            began = time.perf_counter()
            ask()
            seconds.append(time.perf_counter() - began)
        found[name] = len(proxy.seen) if proxy else 0, statistics.median(seconds)
        print(f"{name}: {found[name]}", file=sys.stderr)
    return found


def shown(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _bars() -> pl.DataFrame:
    rng = np.random.default_rng(1)
    start = int(datetime(2022, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    columns = {}
    for name, kind in table("bars").schema.items():
        if name == "ts":
            values: object = start + 60_000_000 * np.arange(1, 1441)
        elif kind == pl.Float64:
            values = rng.uniform(1, 100, 1440)
        elif kind == pl.String:
            values = [{"kind": "time", "source": "ticks"}[name]] * 1440
        else:
            values = np.arange(1440) > -1 if kind == pl.Boolean else np.arange(1440)
        columns[name] = pl.Series(values).cast(kind)
    return pl.DataFrame(columns)


def _ticks(count: int = 300_000) -> pl.DataFrame:
    rng = np.random.default_rng(2)
    start = int(datetime(2022, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    trades = {
        "trade_id": np.arange(count),
        "ts": start + np.sort(rng.integers(0, 86_400_000_000, count)),
        "price": np.round(30_000 + np.cumsum(rng.normal(0, 0.5, count)), 2),
        "qty": np.round(rng.lognormal(-4, 1.5, count), 5) + 1e-5,
        "buyer_maker": rng.random(count) < 0.5,
        "first_id": 3 * np.arange(count),
        "last_id": 3 * np.arange(count) + 2,
    }
    return pl.DataFrame(
        {name: pl.Series(trades[name]).cast(kind) for name, kind in table("ticks").schema.items()
         if name in trades}
    )  # fmt: skip


BARS, TICKS = _bars(), _ticks()

if __name__ == "__main__":
    main()
