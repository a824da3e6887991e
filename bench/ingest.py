"""How fast an archive's zip becomes a day of ticks and its quality, and in how much memory.

Days of aggregate trades are made by the synthetic market and written as Binance writes them. They
go through Vostok's own path (land, merge, inspect, write), and through the plainest good script in
Polars and in DuckDB that does the same: parse, check, order, find gaps, silences, reversals and
outliers, write one Parquet file of ticks and one of findings. All run on one core, in turns,
each in a process of its own that has warmed up on another day. Unzipping alone is the floor.

    .venv/bin/python bench/ingest.py [--trades 2000000] [--repeats 5] [--only speed|memory|bytes]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from datetime import date, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from statistics import median

import polars as pl

from vostok_core.lake.store import Lake
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.merging import merge_day
from vostok_core.market.synthetic import MarketSpec, MarketState, advance
from vostok_core.times import MINUTE, day_start
from vostok_pipelines.landing import land_days
from vostok_pipelines.sources.mirror import Mirror

FIRST = date(2025, 3, 3)
INSTRUMENT = Instrument(
    InstrumentId.parse("binance.spot.BTC-USDT"),
    "agg_trade",
    Decimal("0.01"),
    Decimal("0.00001"),
    Decimal(5),
    10 * MINUTE,
)
WAYS = ("unzip", "vostok", "polars", "duckdb")

OUTLIER = 0.2
NAMES = ("trade_id", "price", "qty", "first_id", "last_id", "ts", "buyer_maker", "best_match")


def make_archive(root: Path, days: int, trades: int) -> list[Path]:
    """Write days of a synthetic market as Binance's archive has them; deflated as it deflates."""
    spec = MarketSpec(trades_per_minute=trades / 1440, annual_volatility=0.6, mean_qty=0.01)
    state = MarketState.start(spec, 1, day_start(FIRST), first_trade_id=3_000_000_000)
    folder = root / "data" / "spot" / "daily" / "aggTrades" / "BTCUSDT"
    folder.mkdir(parents=True)
    paths = []
    for number in range(days):
        span, state = advance(spec, state, 1440)
        name = f"BTCUSDT-aggTrades-{FIRST + timedelta(days=number)}"
        said = pl.when("buyer_maker").then(pl.lit("True")).otherwise(pl.lit("False"))
        text = (
            span.ticks.with_columns(
                pl.col("ts").to_physical(), buyer_maker=said, best_match=pl.lit("True")
            )
            .select(NAMES)
            .write_csv(include_header=False, float_precision=8)
        )
        paths.append(folder / f"{name}.zip")
        with zipfile.ZipFile(paths[-1], "w", zipfile.ZIP_DEFLATED, compresslevel=6) as packed:
            packed.writestr(f"{name}.csv", text)
    return paths


def by_unzip(path: Path, _out: Path) -> None:
    """The floor: nothing but the bytes of the text."""
    with zipfile.ZipFile(path) as packed:
        packed.read(packed.namelist()[0])


def by_vostok(path: Path, out: Path) -> None:
    """What a run of the assets `landed`, `ticks` and `quality` does with a day."""
    lake = Lake.open(out / "lake")
    day = date.fromisoformat(path.stem[-10:])
    assert list(land_days(lake, Mirror(path.parents[5]), INSTRUMENT, [day])) == [(day, True)]
    merge_day(lake, INSTRUMENT, day)


def by_polars(path: Path, out: Path) -> None:
    """A plain good script."""
    sha256(path.read_bytes()).hexdigest()
    with zipfile.ZipFile(path) as packed:
        text = packed.read(packed.namelist()[0])
    schema = {
        "trade_id": pl.Int64,
        "price": pl.Float64,
        "qty": pl.Float64,
        "first_id": pl.Int64,
        "last_id": pl.Int64,
        "ts": pl.Int64,
        "buyer_maker": pl.Boolean,
        "best_match": pl.Boolean,
    }
    rows = pl.read_csv(io.BytesIO(text), has_header=False, schema=schema)
    assert rows.null_count().sum_horizontal()[0] == 0
    assert rows.select(
        (
            (pl.col("price") > 0) & (pl.col("qty") > 0) & (pl.col("last_id") >= pl.col("first_id"))
        ).all()
    ).item()
    ordered = bool((rows["trade_id"].diff().drop_nulls() > 0).all())
    if not ordered:
        rows = rows.sort("trade_id").unique("trade_id", keep="first", maintain_order=True)
    rows = rows.with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
    newest = pl.col("ts").cum_max()
    gap = (pl.col("trade_id").diff() != 1) | (pl.col("first_id") - pl.col("last_id").shift(1) != 1)
    silent = newest.diff() > pl.duration(minutes=10)
    findings = [
        rows.filter(gap).select("ts", kind=pl.lit("gap")),
        rows.filter(silent).select("ts", kind=pl.lit("silence")),
        rows.filter(pl.col("ts") < newest).select("ts", kind=pl.lit("time_reversal")),
    ]
    low, high = rows.select(low=pl.col("price").min(), high=pl.col("price").max()).row(0)
    if high > low * (1 + OUTLIER):
        level = pl.col("price").rolling_median(23, center=True)
        far = (pl.col("price") / level - 1).abs() > OUTLIER
        findings.append(rows.filter(far).select("ts", kind=pl.lit("outlier")))
    rows.write_parquet(out / f"{path.stem}.parquet", compression="zstd", compression_level=3)
    pl.concat(findings).write_parquet(out / f"{path.stem}-quality.parquet")


def by_duckdb(path: Path, out: Path) -> None:
    """The same in SQL."""
    import duckdb

    sha256(path.read_bytes()).hexdigest()
    text = out / "rows.csv"
    with zipfile.ZipFile(path) as packed:
        text.write_bytes(packed.read(packed.namelist()[0]))
    ticks, quality = out / f"{path.stem}.parquet", out / f"{path.stem}-quality.parquet"
    with duckdb.connect() as db:
        db.execute("SET threads = 1; SET preserve_insertion_order = true")
        db.execute(
            "CREATE TABLE ticks AS SELECT trade_id, make_timestamp(ts) AS ts, price, qty, "
            "buyer_maker, first_id, last_id, best_match FROM read_csv($1, header = false, "
            "columns = {trade_id: 'BIGINT', price: 'DOUBLE', qty: 'DOUBLE', first_id: 'BIGINT', "
            "last_id: 'BIGINT', ts: 'BIGINT', buyer_maker: 'BOOLEAN', best_match: 'BOOLEAN'})",
            [str(text)],
        )
        good = db.execute(
            "SELECT bool_and(price > 0 AND qty > 0 AND last_id >= first_id), min(price), "
            "max(price) FROM ticks"
        ).fetchone()
        assert good is not None
        assert good[0]
        db.execute(
            "CREATE TABLE seen AS SELECT ts, trade_id - lag(trade_id) OVER w AS step, first_id - "
            "lag(last_id) OVER w AS beneath, ts - lag(ts) OVER w AS wait FROM ticks WINDOW w AS "
            "(ORDER BY trade_id)"
        )
        db.execute(f"COPY ticks TO '{ticks}' (FORMAT parquet, COMPRESSION zstd)")
        db.execute(
            "COPY (SELECT ts, 'gap' AS kind FROM seen WHERE step <> 1 OR beneath <> 1 UNION ALL "
            "SELECT ts, 'silence' FROM seen WHERE wait > INTERVAL 10 MINUTE UNION ALL "
            "SELECT ts, 'time_reversal' FROM seen WHERE wait < INTERVAL 0 MINUTE) "
            f"TO '{quality}' (FORMAT parquet, COMPRESSION zstd)"
        )
    text.unlink()


def one(way: str, paths: list[Path]) -> dict[str, float]:
    """Go through some days in this process, the first of them to warm up; and say what it cost."""
    import resource

    do = {"unzip": by_unzip, "vostok": by_vostok, "polars": by_polars, "duckdb": by_duckdb}[way]
    with tempfile.TemporaryDirectory(dir=paths[0].parents[6]) as folder:
        out = Path(folder)
        do(paths[0], out)
        before = time.perf_counter()
        for path in paths[1:]:
            do(path, out)
        seconds = time.perf_counter() - before
        stored = sum(
            file.stat().st_size
            for file in out.rglob("*.parquet")
            if str(FIRST) not in str(file) and "quality" not in str(file)
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "peak_mib": peak, "bytes": float(stored)}


def run(way: str, paths: list[Path]) -> dict[str, float]:
    """The same in a process of its own, on one core."""
    core = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [sys.executable, __file__, "--one", way, *map(str, paths)],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def speed(root: Path, trades: int, repeats: int) -> dict[str, float]:
    """Time the ways in turns."""
    small, *rest = make_archive(root / "speed", 3, trades)
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way in WAYS:
            found[way].append(run(way, [small, *rest]))
    seconds = {way: median(each["seconds"] for each in runs) for way, runs in found.items()}
    zipped = sum(path.stat().st_size for path in rest)
    print(f"two days of some {trades:,} trades, one core, median of {repeats}\n")
    print(
        f"{'':10}{'s a day':>10}{'times unzipping':>18}{'times vostok':>14}{'MiB':>8}"
        f"{'of the zip':>12}"
    )
    for way in WAYS:
        peak = median(each["peak_mib"] for each in found[way])
        stored = found[way][0]["bytes"] / zipped
        share = f"{stored:.0%}" if stored else ""
        print(
            f"{way:10}{seconds[way] / 2:10.3f}{seconds[way] / seconds['unzip']:18.2f}"
            f"{seconds[way] / seconds['vostok']:14.2f}{peak:8.0f}{share:>12}"
        )
    return seconds


def memory(root: Path, trades: int) -> None:
    """Peak memory over more and more days."""
    print(f"\npeak memory, days of some {trades:,} trades")
    for days in (1, 10, 60):
        paths = make_archive(root / f"memory{days}", days + 1, trades)
        print(f"{days:4} days{run('vostok', paths)['peak_mib']:8.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trades", type=int, default=2_000_000, help="a day")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=("speed", "memory"))
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one(asked.one[0], [Path(path) for path in asked.one[1:]])))
        return
    with tempfile.TemporaryDirectory(prefix="vostok-ingest-") as folder:
        if asked.only != "memory":
            speed(Path(folder), asked.trades, asked.repeats)
        if asked.only != "speed":
            memory(Path(folder), asked.trades // 4)


if __name__ == "__main__":
    main()
