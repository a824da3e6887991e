"""A small market in a lake: ticks, the bars they make, and a volatility."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from vostok_core.features.frames import BEGINS
from vostok_core.features.registry import pack
from vostok_core.features.walk import anchor
from vostok_core.hashing import hash_value
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.market.days import CODE_VERSION
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.strategy import Strategy, StrategyFile
from vostok_core.times import DAY, MINUTE, day_start
from vostok_core.times import days as days_between

NAME = "test.spot.AAA-USD"


def make_strategy(**changes: object) -> Strategy:
    """A strategy on 5-minute bars; keyword arguments are sections to change."""
    content: dict[str, object] = {
        "description": "for tests",
        "instruments": (NAME,),
        "interval": "5m",
        "events": {"kind": "cusum", "threshold": 1.5},
        "labels": {"volatility": "volatility_60", "horizon": "1h"},
    }
    return Strategy("test", StrategyFile.model_validate({**content, **changes}))


def make_instrument(tick: str = "trade") -> Instrument:
    return Instrument(
        InstrumentId.parse(NAME), tick, Decimal("0.01"), Decimal("0.001"), Decimal(0), DAY
    )


def ticks_of(day: date, rng: np.random.Generator, price: int, n: int = 3000) -> pl.DataFrame:
    """A day of trades that walk by whole ticks from `price` (in ticks of 0.01)."""
    offsets = np.sort(rng.integers(0, DAY, n))
    walk = np.maximum(price + np.cumsum(rng.integers(-3, 4, n)), 100)
    return pl.DataFrame(
        {
            "trade_id": np.arange(n) + day.toordinal() * 100_000,
            "ts": pl.Series(offsets + day_start(day)).cast(pl.Datetime("us", "UTC")),
            "price": walk / 100,
            "qty": np.ones(n),
            "buyer_maker": rng.random(n) < 0.5,
        }
    ).with_columns(first_id=pl.lit(None, pl.Int64), last_id=pl.lit(None, pl.Int64))


def bars_of(day: date, ticks: pl.DataFrame, interval: int = 5 * MINUTE) -> pl.DataFrame:
    """The OHLC of each bar by polars; statistics that labels don't read are NaN."""
    ends = day_start(day) + interval * np.arange(1, DAY // interval + 1)
    grid = pl.DataFrame({"ts": pl.Series(ends).cast(pl.Datetime("us", "UTC"))})
    slot = (pl.col("ts").to_physical() // interval + 1) * interval
    made = ticks.group_by(slot.cast(pl.Datetime("us", "UTC")).alias("ts")).agg(
        open=pl.col("price").first(),
        high=pl.col("price").max(),
        low=pl.col("price").min(),
        close=pl.col("price").last(),
        volume=pl.col("qty").sum(),
    )
    bars = grid.join(made, on="ts", how="left", maintain_order="left").with_columns(
        pl.col("close").forward_fill().backward_fill(), pl.col("volume").fill_null(0.0)
    )
    bars = bars.with_columns(pl.col(c).fill_null(pl.col("close")) for c in ("open", "high", "low"))
    schema = table("bars").schema
    extra = {
        name: pl.lit(float("nan"))
        for name, kind in schema.items()
        if name not in bars.columns and kind == pl.Float64
    }
    ids = {name: pl.lit(None, pl.Int64) for name in ("first_trade_id", "last_trade_id")}
    return bars.with_columns(
        **extra,
        **ids,
        valid=pl.lit(value=True),
        kind=pl.lit("time"),
        source=pl.lit("ticks"),
    ).select(*schema)


class World:
    """Days of one instrument in a lake, changed by tests before they are written."""

    name = NAME

    def __init__(self, lake: Lake, first: date, days: int, seed: int = 0) -> None:
        self.lake = lake
        rng = np.random.default_rng(seed)
        self.days = [first + timedelta(days=i) for i in range(days)]
        self.ticks: dict[date, pl.DataFrame] = {}
        price = 10_000
        for day in self.days:
            self.ticks[day] = ticks_of(day, rng, price)
            price = round(self.ticks[day]["price"][-1] * 100)
        self.bars = {day: bars_of(day, t) for day, t in self.ticks.items()}
        self.sigma = {
            day: pl.Series("volatility_60", rng.uniform(0.0005, 0.0015, len(self.bars[day])))
            for day in self.days
        }
        self.quality = {day: table("quality").empty() for day in self.days}

    def write(self, *names: str, days: list[date] | None = None) -> None:
        """Write tables (all when none is named) of some days (all when not given)."""
        for day in days or self.days:
            keys = {"instrument": NAME, "date": day}
            frames = {
                "ticks": (self.ticks[day], keys),
                "quality": (self.quality[day], keys),
                "bars": (self.bars[day], {**keys, "interval": "5m"}),
                "features": (
                    self.bars[day].select("ts", "valid").with_columns(self.sigma[day]),
                    {**keys, "interval": "5m", "pack": "core"},
                ),
            }
            for name in names or tuple(frames):
                frame, place = frames[name]
                version, inputs = CODE_VERSION, {}
                if name == "features":
                    version, inputs = pack("core").hash, self._walked(day)
                self.lake.write(name, frame, code_version=version, inputs=inputs, **place)

    def _walked(self, day: date) -> dict[str, str]:
        """What features of the day say they were made from."""
        keys = {"instrument": NAME, "interval": "5m"}
        start = anchor(day, pack("core").warmup, 5 * MINUTE)
        begin = max(start, self.lake.days("bars", **keys)[0])
        over = days_between(begin, day)
        hashes = [self.lake.info("bars", **keys, date=d).content_hash for d in over]
        return {"bars": hash_value(hashes)} | ({BEGINS: str(begin)} if begin > start else {})


@pytest.fixture
def world(lake: Lake) -> World:
    """Six days around the turn of a month."""
    return World(lake, date(2024, 1, 29), 6)


@pytest.fixture(scope="session")
def strategy_of() -> Callable[..., Strategy]:
    """Makes a strategy."""
    return make_strategy


@pytest.fixture(scope="session")
def instrument_of() -> Callable[..., Instrument]:
    """Makes the instrument."""
    return make_instrument
