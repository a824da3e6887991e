"""A small market with a promoted model, an exchange that continues it, and daemons that trade it.

The model is trained by the real parts on days of the synthetic kernel with a strong edge, and put
in service without a gate: what is tried here is the daemon. The exchange is the real one, over
sockets, at accelerated market time; daemons run in this process or in one of their own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path

from vostok_core.features.frames import feature_frames
from vostok_core.features.registry import pack
from vostok_core.labels.days import label_days
from vostok_core.labels.version import label_version
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.market.bars import day_bars
from vostok_core.market.days import CODE_VERSION
from vostok_core.market.instrument import Instrument
from vostok_core.market.synthetic import MarketSpec, advance
from vostok_core.market.ticks import LastTick, last_tick
from vostok_core.models.registry import keep, put_in_service
from vostok_core.project import Project, find_project
from vostok_core.strategy import Strategy
from vostok_core.times import day_start, days
from vostok_exchange.server import Server
from vostok_exchange.settings import Key, Setup, demo_account
from vostok_exchange.world import Market
from vostok_live.audit import Audit, audit
from vostok_live.daemon.plan import Plan, make_plan, state_folder
from vostok_live.daemon.supervisor import Daemon
from vostok_live.daemon.venue import KEY, SECRET, embedded
from vostok_live.gateway.access import ApiKey
from vostok_live.seams import real_seams
from vostok_live.service import client
from vostok_live.service.status import Status
from vostok_pipelines.training.train import train_week

ROOT = Path(__file__).resolve().parents[2]
NAME = "demo.spot.ABC-USDT"
STRATEGY = "quick"
WEEK = date(2025, 3, 24)
FIRST = WEEK - timedelta(days=14)
SEED = 5
SPEED = 1_200.0
API_KEY = ApiKey("k" * 64, "secret")
SPEC = MarketSpec(
    edge=0.6, annual_volatility=0.8, trades_per_minute=6.0, start_price=100.0, mean_qty=5.0,
    quantity_step=0.001,
)  # fmt: skip
SETTINGS = """
[instruments."demo.spot.ABC-USDT"]
tick = "agg_trade"
price_tick = "0.01"
quantity_step = "0.001"
min_notional = "5"
max_silence = "30m"

[live]
grace = "40ms"
decide_within = "2s"
poll = "2s"
compare_every = "2s"
model_grace = "40d"
"""
STRATEGY_FILE = """
description = "for tests"
instruments = ["demo.spot.ABC-USDT"]

[features]
packs = ["core"]

[events]
threshold = 2.0

[labels]
volatility = "volatility_60"
horizon = "30m"
take_profit = 1.0
stop_loss = 1.0

[costs]
taker_fee_bps = 0.5
maker_fee_bps = 0.5
slippage_bps = 0.0

[model]
train_weeks = 1
min_labels = 100
parameters = { num_iterations = 20, num_leaves = 7 }

[decision]
margin_bps = -50.0
fraction = 0.5
"""
FAR_OFF = STRATEGY_FILE.replace("take_profit = 1.0", "take_profit = 9.0").replace(
    "stop_loss = 1.0", "stop_loss = 9.0"
)
"""One whose positions end at their deadline, or because a person says so."""


@dataclass(frozen=True)
class World:
    """A project whose lake ends where its exchange opens."""

    root: Path

    @property
    def project(self) -> Project:
        """The project."""
        return find_project(self.root, {})

    @property
    def lake(self) -> Lake:
        """Its lake."""
        return self.project.open_lake()

    @property
    def instrument(self) -> Instrument:
        """What is traded."""
        return self.project.settings.instrument(NAME)

    @property
    def strategy(self) -> Strategy:
        """How."""
        return self.project.strategy(STRATEGY)

    @cached_property
    def exchange(self) -> Path:
        """The folder of its exchange."""
        return self.root / "exchange"

    def copy(self, root: Path) -> World:
        """The same world at another place; files are links, which writing replaces."""
        for source in self.root.rglob("*"):
            if source.is_file():
                target = root / source.relative_to(self.root)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.hardlink_to(source)
        return World(root)

    def setup(self) -> Setup:
        """An exchange that goes on where the lake ends."""
        return Setup(
            SEED,
            FIRST,
            day_start(WEEK),
            (Market(self.instrument, SPEC),),
            (demo_account([Key(API_KEY.key, API_KEY.secret)]),),
            {"USDT": Decimal(500)},
        )

    def plan(self, url: str) -> Plan:
        """What a daemon is to do at an exchange."""
        return make_plan("test", self.project, STRATEGY, NAME, embedded(url), API_KEY)

    @property
    def state(self) -> Path:
        """The daemon's state folder."""
        return state_folder(self.project, STRATEGY, self.instrument)

    def promote(self, week: date) -> str:
        """Train the week's model and put it in service; its hash."""
        bundle = train_week(self.lake, self.project.settings, self.strategy, self.instrument, week)
        kept = keep(self.lake, STRATEGY, NAME, week, sha256=bundle.sha256, gate=b"{}")
        assert put_in_service(self.lake, kept, at=day_start(week))
        return bundle.sha256


def make_world(root: Path, strategy_file: str = STRATEGY_FILE, settings: str = "") -> World:
    """History from ticks to labels, and a promoted model."""
    root.mkdir(parents=True)
    (root / "vostok.toml").write_text(settings + SETTINGS)
    (root / "strategies").mkdir()
    (root / "strategies" / f"{STRATEGY}.toml").write_text(strategy_file)
    world = World(root)
    lake, instrument, strategy = world.lake, world.instrument, world.strategy
    state = Market(instrument, SPEC).beginning(FIRST, SEED)
    history = list(days(FIRST, WEEK - timedelta(days=1)))
    previous: LastTick | None = None
    for day in history:
        span, state = advance(SPEC, state, 1440)
        keys = {"instrument": NAME, "date": day}
        lake.write("ticks", span.ticks, code_version="t", **keys)
        quality = table("quality").empty()
        lake.write("quality", quality, code_version="t", **keys)
        before = None if previous is None else (previous.price, previous.side)
        bars = day_bars(span.ticks, day, "1m", instrument, before, quality)
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
    world.promote(WEEK)
    return world


@asynccontextmanager
async def trading(
    world: World, speed: float = SPEED, **options: object
) -> AsyncIterator[tuple[Server, Daemon, asyncio.Task[None]]]:
    """An exchange and a daemon on one event loop."""
    async with exchange(world, speed, **options) as server:
        daemon = Daemon(world.plan(server.url), real_seams())
        task = asyncio.ensure_future(daemon.run())
        try:
            yield server, daemon, task
        finally:
            daemon.stop()
            await asyncio.wait_for(task, 60)


@asynccontextmanager
async def exchange(world: World, speed: float = SPEED, **options: object) -> AsyncIterator[Server]:
    """The world's exchange, in this process."""
    async with Server(world.exchange, setup=world.setup(), speed=speed, **options) as server:  # type: ignore[arg-type]
        yield server


async def until(true: Callable[[], object], task: asyncio.Task[None], seconds: float = 60) -> None:
    """Wait for something that the daemon brings about."""
    end = time.monotonic() + seconds
    while not true():
        assert not task.done(), task.exception()
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.02)


@contextmanager
def exchange_process(world: World, speed: float = SPEED) -> Iterator[str]:
    """The world's exchange, in a process of its own; its address."""
    world.exchange.mkdir(exist_ok=True)
    world.setup().write(world.exchange / "setup.json")
    arguments = ["run", "--state", str(world.exchange), "--port", "0", "--speed", str(speed)]
    with _process("vostok_exchange", arguments, world.root, {}) as process:
        line = process.stdout.readline().decode().split()
        assert line[:1] == ["exchange"], line
        yield line[1]


@contextmanager
def daemon_process(world: World, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon in a process of its own."""
    arguments = ["run", STRATEGY, "--instrument", NAME, "--exchange", url]
    given = {KEY: API_KEY.key, SECRET: API_KEY.secret}
    with _process("vostok_live", arguments, world.root, given) as process:
        yield process


@contextmanager
def _process(
    module: str, arguments: list[str], folder: Path, given: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{module}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **given},
            stdout=subprocess.PIPE,
            stderr=log,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


def seen(world: World) -> Status | None:
    """What the daemon says of itself, if it does."""
    from vostok_core.errors import VostokError

    try:
        return client.status(world.state)
    except VostokError:
        return None


def wait_for(true: Callable[[], object], seconds: float = 90) -> None:
    """Wait for something that another process brings about."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def audited(world: World, url: str) -> Audit:
    """The journal against the exchange's books."""
    return asyncio.run(audit(world.plan(url), real_seams()))
