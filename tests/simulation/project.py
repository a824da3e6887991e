"""The project that the simulated daemon trades: some days of bars, and models that trade often.

Its market is fast: a bar of five minutes takes some seconds of the wall (`place.START` and the
world's speed). Models are of one tree, since what they know of the market is not the question here:
the daemon loads, verifies and asks them as it does any other.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product
from pathlib import Path

import numpy as np

from tests.live.gateway_server import INSTRUMENT
from vostok_core.features.inputs import TS
from vostok_core.features.registry import pack
from vostok_core.lake.atomic import replacing
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.live.chain import DecisionChain, first_day
from vostok_core.market.bars import BAR_FIELDS, day_bars
from vostok_core.market.days import CODE_VERSION
from vostok_core.market.synthetic import MarketSpec, advance
from vostok_core.models.bundle import Bundle, golden_rows
from vostok_core.models.bundle_folder import write_bundle
from vostok_core.models.calibration import Calibration
from vostok_core.models.fingerprint import fingerprint
from vostok_core.models.manifest import SCHEMA_VERSION, Manifest, TrainingSpan
from vostok_core.models.registry import bundle_path, keep, pointer_path, put_in_service
from vostok_core.models.trees import MISSING_NAN, MISSING_NONE, TreeEnsemble
from vostok_core.project import Project, find_project
from vostok_core.strategy import Strategy
from vostok_core.times import day_start, days
from vostok_exchange.world import Market
from vostok_live.daemon.model import Model
from vostok_live.daemon.plan import Plan, make_plan
from vostok_live.daemon.venue import embedded
from vostok_live.gateway.access import ApiKey
from vostok_live.gateway.slim import binance

DAY = date(2025, 3, 3)
"""The day of the simulation: a Monday, so that the week's model is of it."""
NAME = str(INSTRUMENT.id)
_LAST = "last_price"

_SPEC = MarketSpec(
    annual_volatility=1.5, trades_per_minute=1.0, start_price=100.0, mean_qty=50.0,
    quantity_step=0.001,
)  # fmt: skip
_SETTINGS = f"""
[bars]
intervals = ["1m", "5m"]

[instruments."{NAME}"]
tick = "{INSTRUMENT.tick}"
price_tick = "{INSTRUMENT.price_tick}"
quantity_step = "{INSTRUMENT.quantity_step}"
min_notional = "{INSTRUMENT.min_notional}"
max_silence = "1h"

[live]
grace = "500ms"
compare_every = "20s"
"""
# What looks back would keep a bar that lacks trades in mind for longer than a schedule lasts.
_SEEN = ("close_position", "bar_body")
_STRATEGY = """
description = "for the simulation"
instruments = ["{name}"]
interval = "5m"

[features]
packs = ["core"]
exclude = {exclude}

[events]
kind = "every_bar"

[labels]
volatility = "volatility_60"
horizon = "{horizon}"
take_profit = {barrier}
stop_loss = {barrier}

[decision]
fraction = {fraction}
"""


@dataclass(frozen=True)
class Way:
    """How a strategy trades.

    Attributes:
        horizon: Until a position is closed.
        barrier: How far its exits are away, in volatilities of the horizon.
        fraction: Share of equity in a position.
    """

    horizon: str
    barrier: float
    fraction: float

    @property
    def strategy(self) -> str:
        """Name of the strategy."""
        return f"s{self.horizon}_{round(100 * self.barrier)}_{round(100 * self.fraction)}"


WAYS = [Way(*each) for each in product(("10m", "40m"), (0.3, 1.0), (0.02, 0.6))]


def build(root: Path) -> None:
    """Make the project at `root`, a folder that exists."""
    (root / "vostok.toml").write_text(_SETTINGS)
    (root / "strategies").mkdir()
    exclude = [name for name in pack("core").columns if name not in _SEEN]
    for way in WAYS:
        text = _STRATEGY.format(name=NAME, exclude=exclude, **vars(way))
        (root / "strategies" / f"{way.strategy}.toml").write_text(text)
    project = find_project(root, {})
    lake = project.open_lake()
    strategies = [project.strategy(way.strategy) for way in WAYS]
    last = _write_bars(lake, first_day(strategies[0], DAY.replace(day=1)))
    (root / _LAST).write_text(str(last))
    for strategy in strategies:
        _promote(lake, strategy)


def copy(template: Path, root: Path) -> None:
    """The same project at another place; files are links, which writing replaces."""
    shutil.copytree(template, root, copy_function=os.link)


def plan(root: Path, way: Way, url: str, key: ApiKey) -> Plan:
    """What a daemon is to do in the project."""
    return make_plan("0", _project(root), way.strategy, NAME, embedded(url), key)


def warm(root: Path) -> None:
    """Load what a daemon computes with, and read no bars, so that this process may be forked."""
    binance()
    lake = _project(root).open_lake()
    model = Model.load(lake, WAYS[0].strategy, NAME)
    chain = DecisionChain(model.bundle, model.strategy)
    ends = day_start(DAY) + model.strategy.interval_us * np.arange(1, 100)
    bars = np.ones((ends.size, len(BAR_FIELDS)))
    bars[:, TS] = ends
    chain.catch_up(bars[:-1], None, np.ones(ends.size - 1, dtype=np.bool_))
    chain.update(bars[-1], None, valid=True)


def _project(root: Path) -> Project:
    return find_project(root, {})


def last_price(root: Path) -> float:
    """The price with which the lake ends, and the day begins."""
    return float((root / _LAST).read_text())


def _write_bars(lake: Lake, first: date) -> float:
    """Bars up to the day; their last price."""
    last = _SPEC.start_price
    state = Market(INSTRUMENT, _SPEC).beginning(first, 1)
    quality = table("quality").empty()
    for day in days(first, DAY - timedelta(days=1)):
        span, state = advance(_SPEC, state, 1440)
        keys = {"instrument": NAME, "date": day}
        lake.write("quality", quality, code_version="t", **keys)
        bars = day_bars(span.ticks, day, "5m", INSTRUMENT, None, quality)
        lake.write("bars", bars, code_version=CODE_VERSION, interval="5m", **keys)
        last = float(bars["close"][-1])
    return last


def _promote(lake: Lake, strategy: Strategy) -> None:
    """Put a model in service that buys after most bars that rose; and make another like it."""
    features = tuple(name for name in pack("core").columns if name in _SEEN)
    trees = TreeEnsemble(
        root=np.array([0], dtype=np.int32),
        feature=np.array([features.index("bar_body"), -1, -1], dtype=np.int32),
        threshold=np.array([-0.2, 0.0, 0.0]),
        left=np.array([1, -1, -1], dtype=np.int32),
        right=np.array([2, -1, -1], dtype=np.int32),
        default_left=np.array([1, 0, 0], dtype=np.uint8),
        missing=np.array([MISSING_NAN, MISSING_NONE, MISSING_NONE], dtype=np.uint8),
        leaf_value=np.array([0.0, -1.0, 1.0]),
        width=len(features),
    )
    start = day_start(DAY)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        strategy=strategy.name,
        configuration=strategy.configuration_hash({}),
        settings=strategy.resolved(),
        instrument=NAME,
        week=str(DAY),
        interval=strategy.file.interval,
        training=TrainingSpan(
            start=start, cutoff=start, first_ts=start, last_label_end=start, labels=1, fitted=1,
            purged=0, calibrated=1, days_without_data=(),
        ),
        family="lightgbm",
        features=features,
        packs={"core": pack("core").hash},
        calibration="sigmoid",
        threshold=0.5,
        mean_win=0.01,
        mean_loss=0.01,
        inputs={},
        platform=fingerprint(),
        versions={},
    )  # fmt: skip
    rows = np.linspace(-1.0, 1.0, 2 * 64).reshape(64, 2)
    pointer = pointer_path(lake, strategy.name, NAME)
    for name, slope in (("refreshed", 0.9), ("promoted", 1.0)):
        calibration = Calibration("sigmoid", np.array([slope]), np.array([0.0]))
        bundle = Bundle.assemble(manifest, trees, calibration, golden_rows(rows, trees))
        write_bundle(bundle_path(lake, strategy.name, NAME, DAY), bundle)
        kept = keep(lake, strategy.name, NAME, DAY, sha256=bundle.sha256, gate=b"{}")
        assert put_in_service(lake, kept, at=start)
        pointer.with_name(f".{NAME}.{name}").write_bytes(pointer.read_bytes())


class Service:
    """What is in service, as the gate and a person change it.

    Args:
        given: Whose.
    """

    def __init__(self, given: Plan) -> None:
        self._pointer = pointer_path(given.lake, given.strategy, NAME)
        self._refreshed = False
        self.withdrawn = False

    def withdraw(self) -> None:
        """Nothing is in service from here on."""
        self.withdrawn = True
        self._pointer.unlink()

    def promote(self) -> None:
        """What was in service is so again."""
        self.withdrawn = False
        self._write()

    def refresh(self) -> None:
        """The other model of the same configuration is in service, if any is."""
        self._refreshed = not self._refreshed
        if not self.withdrawn:
            self._write()

    def _write(self) -> None:
        name = "refreshed" if self._refreshed else "promoted"
        content = self._pointer.with_name(f".{NAME}.{name}").read_bytes()
        with replacing(self._pointer) as temporary:
            temporary.write_bytes(content)
