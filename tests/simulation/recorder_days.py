"""Days of unattended recording in virtual time: `python -m tests.simulation.recorder_days`.

The recorder, its feed and the exchange are the real ones; the network is in memory and time is
virtual, so that days pass in seconds. Connections break, go silent and are refused, the exchange
ends each after 24 hours, the recorder is killed and started again with a clock that is off. Hours
land as they end. In the end what is in the lake is held against what the exchange said.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
from aiohttp import web

from tests.live.recorder_project import ABC, XYZ, land, make_project
from tests.live.recorder_world import OPENS, Truth, check_book, check_parts, check_trades
from tests.simulation.loop import Node, VirtualLoop
from tests.simulation.network import MemoryConnector, Network
from tests.simulation.schedule import WorldClock
from vostok_core.lake.recorder_folder import read_heartbeat, segments
from vostok_core.market.instrument import Instrument
from vostok_core.market.synthetic import MarketSpec
from vostok_core.times import HOUR, day_of
from vostok_exchange.clock import MarketClock
from vostok_exchange.server import Server
from vostok_exchange.settings import Setup
from vostok_exchange.world import Market
from vostok_live.daemon.venue import embedded
from vostok_live.feed.connection import Patience
from vostok_live.recorder.landing import land_segments
from vostok_live.recorder.plan import RecorderPlan
from vostok_live.recorder.recorder import Recorder, Timing
from vostok_live.seams import Seams, real_seams

PORT = 8_731
SPEC = MarketSpec(
    annual_volatility=0.8, trades_per_minute=0.5, start_price=100.0, mean_qty=5.0,
    quantity_step=0.001,
)  # fmt: skip
SLOW = Timing(sync=30.0, beat=60.0, clock=1_800.0, land_again=300.0)
CALM = 2 * 3_600.0  # seconds at the end in which nothing goes wrong any more
KINDS = {
    "reset": 3 * 3_600.0,
    "half_open": 5 * 3_600.0,
    "refusal": 8 * 3_600.0,
    "kill": 7 * 3_600.0,
}
"""What goes wrong, and how many seconds pass between two times, on average."""


class Days:
    """Some days.

    Args:
        loop: Where time passes.
        folder: Of the project.
        seed: Decides what goes wrong, and when.
        days: How many.
        kinds: What may go wrong.
        renews: Whether the recorder replaces connections before the exchange ends them.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        folder: Path,
        seed: int,
        days: float,
        kinds: Sequence[str],
        *,
        renews: bool,
    ) -> None:
        self.loop = loop
        self.project = make_project(folder)
        self.seconds = days * 86_400.0
        self.kinds = kinds
        self.tally: Counter[str] = Counter()
        self.most_waiting = 0
        self.offs: list[float] = []
        self.reasons: Counter[str] = Counter()
        self.clock = WorldClock(self._wall_ns)
        self.chance = random.Random(f"{seed}/chaos")
        self.network = Network(loop, random.Random(f"{seed}/latency"), mean=0.02, tail=0.001)
        self.network.admit = self._admit
        self._seed = seed
        self._patience = Patience() if renews else Patience(age=1e9)
        self._closed_until = 0.0
        self._node: Node | None = None
        self._recorder: Recorder | None = None
        self._stopping = False
        venue = replace(embedded(f"http://127.0.0.1:{PORT}"), clock=None)
        instruments = [self.project.settings.instrument(name) for name in (ABC, XYZ)]
        self.plan = RecorderPlan(
            {each.id.symbol: each for each in instruments},
            venue,
            self.project.recorder_folder,
            self.project.settings.recorder,
        )

    def _wall_ns(self) -> int:
        return OPENS * 1_000 + int(self.loop.time() * 1e9)

    async def _admit(self) -> None:
        if self.loop.time() < self._closed_until:
            raise ConnectionRefusedError(111, "connection refused")

    async def run(self) -> dict[str, Any]:
        """Record them, and judge."""
        markets = tuple(Market(each, SPEC) for each in self.plan.instruments.values())
        setup = Setup(5, day_of(OPENS), OPENS, markets, (), {"USDT": Decimal(500)})
        server = Server(
            self.project.root / "exchange",
            setup=setup,
            clock=lambda start: MarketClock(start, 1.0, self.loop.time),
            wall=self._wall_ns,
        )
        runner = web.AppRunner(server.app, access_log=None, handle_signals=False)
        await runner.setup()
        assert runner.server is not None
        self.network.listen(PORT, runner.server)
        truths = {str(m.instrument.id): Truth.at(m.instrument, server) for m in markets}
        server.run()
        lives = asyncio.ensure_future(self._keep_alive())
        storm = [asyncio.ensure_future(self._strike(kind)) for kind in self.kinds]
        watch = asyncio.ensure_future(self._watch())
        await asyncio.sleep(self.seconds)
        for task in (watch, *storm):
            assert not (task.done() and task.exception()), task.exception()
        beats = [read_heartbeat(self.project.recorder_folder / name) for name in (ABC, XYZ)]
        assert all(beat and beat["whole"] and beat["state"] == "recording" for beat in beats), beats
        self._stopping = True
        assert self._recorder is not None
        self._recorder.stop()
        await lives
        land(self.project)
        return self._judge(truths)

    # What goes wrong

    async def _strike(self, kind: str) -> None:
        while True:
            await asyncio.sleep(self.chance.expovariate(1.0 / KINDS[kind]))
            if self.loop.time() > self.seconds - CALM:
                return
            self.tally[kind] += 1
            await getattr(self, f"_{kind}")()

    async def _reset(self) -> None:
        for wire in self.network.wires:
            wire.reset()

    async def _half_open(self) -> None:
        for wire in self.network.wires:
            wire.hole = True

    async def _refusal(self) -> None:
        lasts = self.chance.uniform(10.0, 1_200.0)
        self._closed_until = self.loop.time() + lasts
        await self._reset()
        await asyncio.sleep(lasts)

    async def _kill(self) -> None:
        if self._node is not None and not self._node.dead:
            self._node.kill()

    # The recorder

    async def _keep_alive(self) -> None:
        """Start it, and again some time after it was killed; it doesn't end by itself."""
        lives = 0
        while True:
            lives += 1
            self.tally["lives"] += 1
            self.clock.off_ns = int(self.chance.uniform(-3.0, 3.0) * 1e9)
            self.offs.append(self.clock.off_ns / 1e9)
            self.clock.boot()
            seams = Seams(
                self.clock,
                random.Random(f"{self._seed}/life/{lives}"),
                lambda: MemoryConnector(self.network),
                real_seams().connect,
            )
            ended = asyncio.Event()
            node = self._node = Node(f"recorder {lives}")
            node.on_death.append(ended.set)
            node.on_death.append(self._let_go)
            self._recorder = Recorder(
                self.plan, seams, self._land, version="test", timing=SLOW, patience=self._patience
            )
            task = node.start(self._recorder.run())
            task.add_done_callback(lambda _, ended=ended: ended.set())
            await ended.wait()
            for stream in self._recorder.streams:
                self.reasons += stream.ended
            if not node.dead:
                assert self._stopping, task.exception()
                await task
                return
            await asyncio.sleep(self.chance.uniform(1.0, 900.0))

    async def _land(self, instruments: Sequence[Instrument]) -> str:
        for instrument in instruments:
            folder = self.plan.folder(instrument)
            for landed in land_segments(self.project.open_lake(), instrument, folder, keep=False):
                self.tally["landed"] += 1
                del landed
        return ""

    def _let_go(self) -> None:
        """Close what the dead process had open, as the system does: locks go with it."""
        root = f"{self.project.recorder_folder}/"
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208, of names that go while we look
            try:
                where = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
            except OSError:
                continue
            if where.startswith(root):
                os.close(int(name))

    async def _watch(self) -> None:
        """Hours land as they end: few segments ever wait while it lives."""
        quiet = 0.0
        while True:
            await asyncio.sleep(600.0)
            alive = self._node is not None and not self._node.dead
            quiet = quiet + 600.0 if alive else 0.0
            if quiet > 1_200.0:
                waiting = [
                    len(segments(self.plan.folder(i))) for i in self.plan.instruments.values()
                ]
                self.most_waiting = max(self.most_waiting, *waiting)

    # The judge

    def _judge(self, truths: dict[str, Truth]) -> dict[str, Any]:
        lake = self.project.open_lake()
        check_parts(lake)
        found: dict[str, Any] = {"tally": dict(self.tally), "ended": dict(self.reasons)}
        for name, truth in truths.items():
            assert segments(self.project.recorder_folder / name) == []
            check_trades(lake, truth)
            book = check_book(lake, truth)
            days = lake.days("recordings", instrument=name)
            rows = [lake.read("recordings", instrument=name, date=day) for day in days]
            kinds = Counter(kind for frame in rows for kind in frame["kind"])
            ticks = sum(lake.read("ticks", instrument=name, date=day).height for day in days)
            # Every trade of the exchange since it opened is there, but those before the first life.
            assert len(truth.trades) - ticks in range(20), "trades are missing"
            found[name] = {
                "days": len(days),
                "trades": ticks,
                "seams": kinds["seam"],
                "fetched": sum(f.filter(f["kind"] == "seam")["count"].sum() for f in rows),
                "hours": len({s for frame in rows for s in frame["segment"]}),
                "uncovered": book.filter(book["kind"] == "uncovered").height,
                "sequence": book.filter(book["kind"] == "sequence").height,
                "off": sorted(self._offsets(rows)),
            }
        found["off"] = sorted({round(-off, 1) for off in self.offs})
        found["most_waiting"] = self.most_waiting
        found["virtual_hours"] = self.loop.time() * 1e6 / HOUR
        return found

    @staticmethod
    def _offsets(rows: Sequence[pl.DataFrame]) -> set[float]:
        """How far the recorder's clock was found to be off, to a tenth of a second."""
        return {round(v, 1) for f in rows for v in f.filter(f["kind"] == "clock")["value"]}


def main(words: Sequence[str]) -> int:
    """Run it, and print what came of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=float, default=3.0)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--no-renewal", action="store_true")
    told = parser.parse_args(words)
    kinds = [kind for kind in told.kinds.split(",") if kind]
    logging.disable(logging.CRITICAL)
    gc.disable()  # what a killed process leaves behind must not be collected
    loop = VirtualLoop()
    shared = Path("/dev/shm")  # where syncing costs nothing
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        days = Days(loop, Path(folder), told.seed, told.days, kinds, renews=not told.no_renewal)
        print(json.dumps(loop.run_until_complete(days.run())), flush=True)
    os._exit(0)  # without a farewell of what was killed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
