"""How long the daemon takes from a trade to an order, to start, and how much memory it keeps.

    .venv/bin/python bench/live.py [--lake data_lake] [--seconds 90] [--speed 1200]

It trades the model that the demo promoted (run `make demo` first) on an exchange of its own in a
process of its own, over sockets, through ccxt. The threshold is lowered so that every event enters,
and every position is flattened at once, so that there are many orders to time. What is timed is the
wall's: from the arrival of the trade that closed a bar to the order's bytes being handed to the
socket. On a busy machine the figures are those of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from vostok.demo import world
from vostok_core.project import find_project
from vostok_core.times import day_start
from vostok_exchange.settings import Key, Setup, demo_account
from vostok_live.daemon.plan import make_plan
from vostok_live.daemon.supervisor import Daemon
from vostok_live.daemon.venue import embedded
from vostok_live.gateway.access import ApiKey
from vostok_live.seams import real_seams

KEY = ApiKey("b" * 64, "bench")
SETTINGS = {
    "VOSTOK_LIVE__STATE": "bench-live",
    "VOSTOK_LIVE__GRACE": "50ms",
    "VOSTOK_LIVE__POLL": "5s",
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lake", default="data_lake")
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--speed", type=float, default=1_200.0)
    options = parser.parse_args()
    project = find_project(Path.cwd(), {**os.environ, **SETTINGS}, options.lake)
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(
            1, world.FIRST_DAY, day_start(world.SERVICE_WEEK), world.markets(project.settings),
            (demo_account([Key(KEY.key, KEY.secret)]),), {"USDT": Decimal(600)},
        )  # fmt: skip
        setup.write(Path(folder) / "setup.json")
        arguments = ["run", "--state", folder, "--port", "0", "--speed", str(options.speed)]
        exchange = subprocess.Popen(
            [sys.executable, "-m", "vostok_exchange", *arguments], stdout=subprocess.PIPE, text=True
        )
        assert exchange.stdout is not None
        try:
            url = exchange.stdout.readline().split()[1]
            plan = make_plan("bench", project, world.STRATEGY, world.EDGE, embedded(url), KEY)
            asyncio.run(trade(Daemon(plan, real_seams(), serve=False), options.seconds))
        finally:
            exchange.send_signal(signal.SIGTERM)
            exchange.wait()
            shutil.rmtree(project.lake_root / "bench-live", ignore_errors=True)


async def trade(daemon: Daemon, seconds: float) -> None:
    began = time.perf_counter()
    task = asyncio.ensure_future(daemon.run())
    while not (
        daemon.session and daemon.session.readiness and not daemon.session.readiness.reasons()
    ):
        assert not task.done(), task.exception()
        await asyncio.sleep(0.005)
    print(f"start to ready{time.perf_counter() - began:>28,.2f} s")
    session = daemon.session
    trader = session.trader
    assert trader is not None
    bundle = trader.model.bundle
    eager = replace(bundle, manifest=bundle.manifest.model_copy(update={"threshold": -1.0}))
    trader._chain.bundle = eager  # every event enters
    journaled: list[float] = []
    whole: list[float] = []
    apart: list[float] = []
    write, triggered = session.journal.append, trader.triggered
    state = {"ns": 0, "written": 0.0}

    def append(*given: Any) -> int:
        at = time.perf_counter()
        number = write(*given)
        took = time.perf_counter() - at
        state["written"] += took
        if any(type(each).__name__ == "PlaceList" for each in given[1]):
            journaled.append(took)
        return number

    def arrived(wall_ns: int) -> None:
        state.update(ns=wall_ns, written=0.0)
        triggered(wall_ns)

    def sent() -> None:
        if state["ns"]:
            took = (time.time_ns() - state["ns"]) / 1e9
            whole.append(took)
            apart.append(took - state["written"])
            state["ns"] = 0

    session.journal.append = append  # type: ignore[method-assign]
    trader.triggered = arrived  # type: ignore[method-assign]
    session.market._triggered = arrived  # type: ignore[union-attr]
    session.port.on_order = sent
    end = time.perf_counter() + seconds
    process = psutil.Process()
    memory: list[float] = []
    bars = trader.bars
    while time.perf_counter() < end:
        assert not task.done(), task.exception()
        if trader.engine.account.position and trader.engine.state != "exiting":
            session.control("flatten", "bench")
            session.control("resume", "bench")
        memory.append(process.memory_info().rss / 2**20)
        await asyncio.sleep(0.01)
    spread("trade to order on the wire", whole)
    spread("  less the journal's writes", apart)
    spread("  the write before the order, synced", journaled)
    spread("order to answer", list(daemon.measures.order_round_trip._newest))
    spread("bar to probability", list(daemon.measures.inference._newest))
    print(f"bars closed{trader.bars - bars:>31,}")
    half = memory[len(memory) // 2 :]
    print(f"resident memory, second half{np.median(half):>14,.0f} MiB (most {max(half):,.0f})")
    print(f"processor{sum(resource.getrusage(resource.RUSAGE_SELF)[:2]):>33,.0f} s")
    daemon.stop()
    await task


def spread(what: str, seconds: list[float]) -> None:
    if not seconds:
        print(f"{what:<38} none")
        return
    p50, p99 = (1e3 * np.quantile(seconds, share) for share in (0.5, 0.99))
    print(f"{what:<38}p50 {p50:>8.2f} ms   p99 {p99:>8.2f} ms   n {len(seconds):,}")


if __name__ == "__main__":
    main()
