"""How long the daemon takes from a trade to an order, to start, and how much memory it keeps.

    .venv/bin/python bench/live.py [--seconds 100] [--speed 250] [--folder DIR]

Everything is as it is when money is traded: `vostok-live run` in a process of its own, with its
journal on a disk, and ccxt, over sockets, at an exchange in a process of its own. Only the strategy
is an eager one, of a small lake that is made here: it decides at every bar, enters whatever the
probability, and leaves after a minute of the market. `live_timers.py` says where the timers are.

An order is timed from the arrival of the trade that closed the bar until the socket has taken the
request. Orders that are not entries, and entries on bars that the clock closed, are left out: no
trade sets them off. The speed is such that the exchange's limit of 100 unfilled orders in 10
seconds is not reached. How fast trades are parsed and made into bars is measured by `feed.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import feed
import numpy as np
import psutil

from vostok_core.features.frames import feature_frames
from vostok_core.features.registry import pack
from vostok_core.labels.days import label_days
from vostok_core.labels.version import label_version
from vostok_core.lake.tables import table
from vostok_core.market.bars import day_bars
from vostok_core.market.days import CODE_VERSION
from vostok_core.market.synthetic import MarketSpec, advance
from vostok_core.market.ticks import LastTick, last_tick
from vostok_core.models.registry import keep, put_in_service
from vostok_core.project import Project, find_project
from vostok_core.times import day_start, days
from vostok_exchange.settings import Key, Setup, demo_account
from vostok_exchange.world import Market
from vostok_live.daemon.plan import state_folder
from vostok_live.daemon.venue import KEY, SECRET
from vostok_live.service import client
from vostok_live.service.errors import NotRunning
from vostok_live.service.status import Status

NAME = "demo.spot.ABC-USDT"
STRATEGY = "eager"
WIDTH = 44
WEEK = date(2025, 3, 24)
FIRST = WEEK - timedelta(days=14)
SEED = 5
ACCOUNT = Key("b" * 64, "bench")
SPEC = MarketSpec(
    annual_volatility=0.8, trades_per_minute=6.0, start_price=100.0, mean_qty=5.0,
    quantity_step=0.001,
)  # fmt: skip
SETTINGS = f"""
[instruments."{NAME}"]
tick = "agg_trade"
price_tick = "0.01"
quantity_step = "0.001"
min_notional = "5"
max_silence = "30m"
"""
STRATEGY_FILE = f"""
description = "enters at every bar"
instruments = ["{NAME}"]
features.packs = ["core"]
events.kind = "every_bar"
labels = {{ volatility = "volatility_60", horizon = "1m", take_profit = 3.0, stop_loss = 3.0 }}
costs = {{ taker_fee_bps = 0.0, slippage_bps = 0.0, latency = "10ms" }}
model = {{ train_weeks = 1, parameters = {{ num_iterations = 100, num_leaves = 15 }} }}
decision = {{ margin_bps = -500.0, fraction = 0.01 }}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=100.0, help="time of trading")
    parser.add_argument("--speed", type=float, default=250.0, help="of the market's clock")
    parser.add_argument("--folder", help="a folder on the disk that is meant")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        root = Path(folder)
        print(f"{platform.system()}, {os.cpu_count()} cores, {filesystem(root)}; load {load()}")
        for size in (1, 10, 100):
            what = f"trades parsed and barred, {size} at a time"
            print(f"{what:<{WIDTH}}{feed.rate(size):>9,.0f} /s of one core")
        spread("4 KiB written and synced, nothing else", bare_sync(root))
        project = make_lake(root)
        with exchange(project, options.speed) as url:
            with daemon(project, url, "times.json") as (process, took):
                print(f"{'start to ready':<{WIDTH}}{took:>9.2f} s")
                memory = watch(process, options.seconds)
                status = client.status(state_of(project))
            with daemon(project, url, "again.json") as (_, took):
                print(f"{'start to ready, with that journal':<{WIDTH}}{took:>9.2f} s")
        tell(json.loads((root / "times.json").read_text()), status)
        late = memory[len(memory) // 2 :]
        print(
            f"{'resident memory, later half':<{WIDTH}}{np.median(late):>9,.0f} MiB, most "
            f"{max(late):,.0f}, when ready {memory[0]:,.0f}"
        )
        print(f"load at the end {load()}")


def load() -> str:
    """What else the machine does: its load of the last minute."""
    return f"{os.getloadavg()[0]:.2f}"


def make_lake(root: Path) -> Project:
    """History from trades to labels, and a model in service that nobody judged."""
    from vostok_pipelines.training.train import train_week

    (root / "vostok.toml").write_text(SETTINGS)
    (root / "strategies").mkdir()
    (root / "strategies" / f"{STRATEGY}.toml").write_text(STRATEGY_FILE)
    project = find_project(root, {})
    lake, instrument = project.open_lake(), project.settings.instrument(NAME)
    strategy = project.strategy(STRATEGY)
    state = Market(instrument, SPEC).beginning(FIRST, SEED)
    history = list(days(FIRST, WEEK - timedelta(days=1)))
    previous: LastTick | None = None
    for day in history:
        span, state = advance(SPEC, state, 1_440)
        keys: dict[str, Any] = {"instrument": NAME, "date": day}
        quality = table("quality").empty()
        before = None if previous is None else (previous.price, previous.side)
        bars = day_bars(span.ticks, day, "1m", instrument, before, quality)
        lake.write("ticks", span.ticks, code_version="bench", **keys)
        lake.write("quality", quality, code_version="bench", **keys)
        lake.write("bars", bars, code_version=CODE_VERSION, interval="1m", **keys)
        previous = last_tick(span.ticks)
    core = pack("core")
    for day, frame, inputs in feature_frames(lake, core, NAME, "1m", history):
        lake.write(
            "features", frame, code_version=core.hash, inputs=inputs, pack="core",
            instrument=NAME, interval="1m", date=day,
        )  # fmt: skip
    for day, frame, inputs in label_days(lake, strategy, instrument, history[:-1]):
        lake.write(
            "labels", frame, code_version=label_version(strategy, instrument), inputs=inputs,
            strategy=STRATEGY, instrument=NAME, date=day,
        )  # fmt: skip
    bundle = train_week(lake, project.settings, strategy, instrument, WEEK)
    kept = keep(lake, STRATEGY, NAME, WEEK, sha256=bundle.sha256, gate=b"{}")
    assert put_in_service(lake, kept, at=day_start(WEEK))
    Setup(
        SEED, FIRST, day_start(WEEK), (Market(instrument, SPEC),), (demo_account([ACCOUNT]),),
        {"USDT": Decimal(600)},
    ).write(root / "setup.json")  # fmt: skip
    return project


def state_of(project: Project) -> Path:
    """The daemon's state folder."""
    return state_folder(project, STRATEGY, project.settings.instrument(NAME))


@contextmanager
def exchange(project: Project, speed: float) -> Iterator[str]:
    """The exchange that goes on where the lake ends; its address."""
    arguments = ["-m", "vostok_exchange", "run", "--state", str(project.root), "--port", "0"]
    with running([*arguments, "--speed", str(speed)], project.root) as process:
        assert process.stdout is not None
        line = process.stdout.readline().split()
        assert line[:1] == ["exchange"], line
        yield line[1]


@contextmanager
def daemon(project: Project, url: str, times: str) -> Iterator[tuple[psutil.Process, float]]:
    """The daemon, once it may enter; its process, and how many seconds that took."""
    timers = Path(__file__).with_name("live_timers.py")
    arguments = [str(timers), str(project.root / times), "run", STRATEGY, "--instrument", NAME]
    began = time.perf_counter()
    with running([*arguments, "--exchange", url], project.root) as process:
        while not (seen := look(project)) or not seen.ready:
            assert process.poll() is None, "the daemon has ended"
            assert time.perf_counter() - began < 60, seen
            time.sleep(0.02)
        yield psutil.Process(process.pid), time.perf_counter() - began


@contextmanager
def running(arguments: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of this Python, stopped in order at the end. What it logs is shown if it fails."""
    environ = {**os.environ, KEY: ACCOUNT.key, SECRET: ACCOUNT.secret}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            if process.returncode:
                log.seek(0)
                print(log.read()[-4_000:], file=sys.stderr)


def look(project: Project) -> Status | None:
    """What the daemon says of itself, if it does."""
    try:
        return client.status(state_of(project))
    except NotRunning:
        return None


def watch(process: psutil.Process, seconds: float) -> list[float]:
    """The memory of a process while it works, MiB."""
    end = time.perf_counter() + seconds
    memory = []
    while time.perf_counter() < end:
        memory.append(process.memory_info().rss / 2**20)
        time.sleep(0.5)
    return memory


def tell(times: dict[str, Any], status: Status) -> None:
    """Print what the timers found, and what became of decisions."""
    assert times["orders"], f"no order was sent: {status.decisions.counts}"
    arrived, taken_up, decided, sent, written, written_last, used = np.array(times["orders"]).T
    spread("trade received to order in the socket", sent - arrived)
    spread("  without the journal's writes", sent - arrived - written)
    spread("    until it is looked at", taken_up - arrived)
    spread("    until the engine has decided", decided - taken_up - (written - written_last))
    spread("    until the request is in the socket", sent - decided - written_last)
    spread("  processor time, once looked at", used)
    spread("  the decision written and synced", times["synced"])
    spread("snapshot, with the log folded", times["snapshots"])
    trip = status.latencies.order_round_trip
    assert trip is not None
    what = "order to the exchange's answer"
    print(f"{what:<{WIDTH}}{trip.p50_ms:>9.2f} ms p50{trip.p99_ms:>9.2f} ms p99")
    counts = ", ".join(f"{name} {count}" for name, count in status.decisions.counts.items())
    print(f"decisions: {counts}; entries on bars that the clock closed: {times['by_timer']}")


def spread(what: str, ns: Sequence[int] | np.ndarray) -> None:
    """Print quantiles of durations."""
    p50, p99, most = np.quantile(np.asarray(ns) / 1e6, (0.5, 0.99, 1.0))
    print(f"{what:<{WIDTH}}{p50:>9.2f} ms p50{p99:>9.2f} ms p99{most:>9.2f} ms most  n {len(ns):,}")


def bare_sync(folder: Path) -> list[int]:
    """How long the disk takes for the least that is safe, ns."""
    took = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(300):
            began = time.perf_counter_ns()
            file.write(bytes(4_096))
            os.fdatasync(file.fileno())
            took.append(time.perf_counter_ns() - began)
    return took


def filesystem(folder: Path) -> str:
    """The kind of filesystem that a folder is on."""
    mounts = psutil.disk_partitions(all=True)
    inside = [each for each in mounts if folder.resolve().is_relative_to(each.mountpoint)]
    found = str(max(inside, key=lambda each: len(each.mountpoint)).fstype)
    if found in ("tmpfs", "ramfs"):
        raise SystemExit(f"{folder} is in memory; name a folder on a disk with --folder")
    return found


if __name__ == "__main__":
    main()
