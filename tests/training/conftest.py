"""Two and a half weeks of a small market, from ticks to labels, made by the real parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.training.desk import Desk
from vostok_core.features.frames import feature_frames
from vostok_core.features.registry import pack
from vostok_core.labels.days import label_days
from vostok_core.labels.version import label_version
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.market.days import CODE_VERSION
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.strategy import Strategy, StrategyFile
from vostok_core.times import DAY, MINUTE, day_start

NAME = "test.spot.AAA-USD"
FIRST = date(2024, 3, 2)
DAYS = 17
WEEK = date(2024, 3, 11)


def make_strategy(**changes: object) -> Strategy:
    """A strategy on minute bars with a one-hour horizon; keyword arguments change sections."""
    content: dict[str, object] = {
        "description": "for tests",
        "instruments": (NAME,),
        "events": {"kind": "cusum", "threshold": 3.0},
        "labels": {"volatility": "volatility_60", "horizon": "1h"},
        "costs": {"taker_fee_bps": 0.5, "maker_fee_bps": 0.0, "slippage_bps": 0.0},
        "model": {"train_weeks": 1, "min_labels": 100, "parameters": {"num_iterations": 30}},
    }
    return Strategy("tiny", StrategyFile.model_validate({**content, **changes}))


@dataclass(frozen=True)
class Market:
    """A lake with seventeen days, from ticks to features, and labels of all but the last."""

    lake: Lake
    instrument: Instrument
    strategy: Strategy
    name: str = NAME
    week: date = WEEK

    def copy(self, root: Path, *, without: tuple[str, ...] = ()) -> Market:
        """The same lake at another place; files are links, which writing replaces."""
        for source in self.lake.root.rglob("*"):
            relative = source.relative_to(self.lake.root)
            if source.is_file() and relative.parts[0] not in without:
                target = root / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                target.hardlink_to(source)
        return Market(Lake.open(root), self.instrument, self.strategy)

    def vouch(self) -> None:
        """Say of all features and labels that they were made of what is there now."""
        self._derive(lambda name, keys, _: self.lake.read(name, **keys))

    def remake(self) -> None:
        """Make all features and labels of what is there now."""
        self._derive(lambda _name, _keys, made: made)

    def _derive(self, choose: Callable[..., pl.DataFrame]) -> None:
        lake, place = self.lake, {"instrument": self.name, "interval": "1m"}
        days = lake.days("bars", **place)
        for day, made, inputs in feature_frames(lake, pack("core"), self.name, "1m", days):
            keys = {"pack": "core", **place, "date": day}
            frame = choose("features", keys, made)
            lake.write("features", frame, code_version=pack("core").hash, inputs=inputs, **keys)
        place = {"strategy": self.strategy.name, "instrument": self.name}
        days = lake.days("labels", **place)
        version = label_version(self.strategy, self.instrument)
        for day, made, inputs in label_days(lake, self.strategy, self.instrument, days):
            keys = {**place, "date": day}
            frame = choose("labels", keys, made)
            lake.write("labels", frame, code_version=version, inputs=inputs, **keys)


@pytest.fixture(scope="session")
def strategy_of() -> Callable[..., Strategy]:
    """Makes a strategy."""
    return make_strategy


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    """Read-only; tests that write take a copy."""
    lake = Lake.open(tmp_path_factory.mktemp("market") / "lake")
    strategy = make_strategy()
    instrument = Instrument(
        InstrumentId.parse(NAME), "trade", Decimal("0.01"), Decimal("0.001"), Decimal(0), DAY
    )
    rng = np.random.default_rng(11)
    days = [FIRST + timedelta(days=i) for i in range(DAYS)]
    price, drift = 100.0, 0.0
    for day in days:
        # Four trades a minute; a slow drift that order flow betrays: something to learn.
        n = 4 * DAY // MINUTE
        offsets = (np.arange(n) * (MINUTE // 4)) + rng.integers(0, MINUTE // 8, n)
        shocks = rng.normal(size=n)
        flow = np.empty(n)
        prices = np.empty(n)
        for i in range(n):
            drift = 0.999 * drift + 0.03 * rng.standard_normal()
            flow[i] = drift + shocks[i]
            price *= 1 + 0.0002 * (0.4 * drift + rng.standard_normal())
            prices[i] = price
        ticks = pl.DataFrame(
            {
                "trade_id": np.arange(n) + day.toordinal() * 10**6,
                "ts": pl.Series(offsets + day_start(day)).cast(pl.Datetime("us", "UTC")),
                "price": np.round(prices, 2),
                "qty": np.round(rng.uniform(0.1, 2.0, n), 3),
                "buyer_maker": flow < 0,
            }
        ).with_columns(first_id=pl.lit(None, pl.Int64), last_id=pl.lit(None, pl.Int64))
        keys = {"instrument": NAME, "date": day}
        lake.write("ticks", ticks, code_version="t", **keys)
        lake.write("quality", table("quality").empty(), code_version="t", **keys)
        lake.write("bars", _bars(ticks), code_version=CODE_VERSION, interval="1m", **keys)
    for day, frame, inputs in feature_frames(lake, pack("core"), NAME, "1m", days):
        lake.write(
            "features",
            frame,
            code_version=pack("core").hash,
            inputs=inputs,
            pack="core",
            instrument=NAME,
            interval="1m",
            date=day,
        )
    write_labels(lake, strategy, instrument, days[:-1])
    return Market(lake, instrument, strategy)


def write_labels(lake: Lake, strategy: Strategy, instrument: Instrument, days: list[date]) -> None:
    for day, frame, inputs in label_days(lake, strategy, instrument, days):
        lake.write(
            "labels",
            frame,
            code_version=label_version(strategy, instrument),
            inputs=inputs,
            strategy=strategy.name,
            instrument=str(instrument.id),
            date=day,
        )


@pytest.fixture(scope="session")
def label_writer() -> Callable[..., None]:
    """Makes and writes labels."""
    return write_labels


def _bars(ticks: pl.DataFrame) -> pl.DataFrame:
    """Minute bars by polars; every minute has trades."""
    slot = ((pl.col("ts").to_physical() // MINUTE + 1) * MINUTE).cast(pl.Datetime("us", "UTC"))
    notional = pl.col("price") * pl.col("qty")
    buy = ~pl.col("buyer_maker")
    bars = ticks.group_by(slot.alias("ts"), maintain_order=True).agg(
        open=pl.col("price").first(),
        high=pl.col("price").max(),
        low=pl.col("price").min(),
        close=pl.col("price").last(),
        volume=pl.col("qty").sum(),
        quote_volume=notional.sum(),
        trades=pl.len().cast(pl.Float64),
        buy_volume=pl.col("qty").filter(buy).sum(),
        vwap=notional.sum() / pl.col("qty").sum(),
        max_qty=pl.col("qty").max(),
        qty_sq_sum=(pl.col("qty") ** 2).sum(),
        size_entropy=pl.lit(1.0),
        return_sq_sum=(pl.col("price").log().diff() ** 2).sum(),
        side_changes=(buy != buy.shift()).sum().cast(pl.Float64),
        first_trade_id=pl.col("trade_id").first(),
        last_trade_id=pl.col("trade_id").last(),
    )
    return bars.with_columns(
        valid=pl.lit(value=True), kind=pl.lit("time"), source=pl.lit("ticks")
    ).select(*table("bars").schema)


@pytest.fixture(scope="session")
def walked(market, tmp_path_factory):
    """The market's lake, copied, walked forward to the week after its own."""
    copy = market.copy(tmp_path_factory.mktemp("walked") / "lake")
    desk = Desk(copy)
    desk.train(desk.first)
    desk.predict(desk.first)
    desk.train(desk.week)
    desk.backtest(desk.week)
    return copy


@pytest.fixture
def desk(walked, tmp_path) -> Desk:
    return Desk(walked.copy(tmp_path / "lake"))
