"""Pictures for asset metadata: PNG, small, and drawn from whatever rows there are."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from vostok_core.lake.tables import table
from vostok_core.market.findings import Finding, findings_frame
from vostok_core.times import HOUR
from vostok_pipelines import plots

_RNG = np.random.default_rng(4)
_START = datetime(2024, 3, 4, tzinfo=UTC)


def _times(count: int, step: timedelta) -> pl.Series:
    return pl.Series("ts", [_START + step * (i + 1) for i in range(count)]).cast(
        pl.Datetime("us", "UTC")
    )


def _equity(count: int = 1200) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ts": _times(count, timedelta(hours=1)),
            "equity": 1e5 * np.exp(np.cumsum(_RNG.normal(0, 0.004, count))),
            "benchmark": 1e5 * np.exp(np.cumsum(_RNG.normal(0, 0.008, count))),
            "position": np.zeros(count),
        }
    )


def _bars(count: int = 1440, valid: bool = True) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ts": _times(count, timedelta(minutes=1)),
            "close": 100 * np.exp(np.cumsum(_RNG.normal(0, 0.001, count))),
            "volume": _RNG.exponential(5, count),
            "valid": [valid or i % 100 > 10 for i in range(count)],
        }
    )


def _labels(count: int = 400) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ts": _times(count, timedelta(minutes=50)),
            "touch": _RNG.choice(["take_profit", "stop_loss", "time"], count),
            "net_return": _RNG.normal(0, 0.004, count),
        }
    )


def _outcomes(count: int = 500) -> pl.DataFrame:
    return pl.DataFrame(
        {"probability": _RNG.beta(5, 5, count), "label": (_RNG.random(count) < 0.5).astype(int)}
    )


def _predictions(count: int = 400) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "probability": _RNG.beta(10, 12, count),
            "threshold": [0.52] * count,
            "valid": [True] * count,
        }
    )


def _findings(kinds: int) -> pl.DataFrame:
    spans = [_START + timedelta(days=1.7 * k) for k in range(kinds)]
    return findings_frame(
        Finding(
            f"kind_{k % 15}",
            ("info", "warn", "error")[k % 3],  # type: ignore[arg-type]
            int(start.timestamp() * 1e6),
            int(start.timestamp() * 1e6) + (k % 4) * HOUR,
            1,
            "",
        )
        for k, start in enumerate(spans)
    )


def _shares(days: int = 28) -> dict[date, float]:
    return {_START.date() + timedelta(days=k): 1.0 - k % 5 / 10 for k in range(days)}


def _differing(count: int = 300) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ts": _times(count, timedelta(minutes=3)),
            "distance": 10 ** _RNG.uniform(-12, 0, count),
            "known": _RNG.random(count) < 0.5,
        }
    )


def _bps(count: int = 5_000) -> pl.DataFrame:
    return pl.DataFrame(
        {"ts": _times(count, timedelta(minutes=1)), "bps": _RNG.normal(1, 9, count)}
    )


PICTURES = {
    "equity": lambda: plots.equity(_equity()),
    "bars": lambda: plots.bars(_bars(), "binance.spot.BTC-USDT 2024-03-04"),
    "labels": lambda: plots.label_outcomes(_labels()),
    "probabilities": lambda: plots.probabilities(_predictions()),
    "reliability": lambda: plots.reliability(_outcomes()),
    "no equity": lambda: plots.equity(table("backtest_equity").empty()),
    "no bars": lambda: plots.bars(table("bars").empty()),
    "no labels": lambda: plots.label_outcomes(table("labels").empty()),
    "no predictions": lambda: plots.probabilities(table("predictions").empty()),
    "no outcomes": lambda: plots.reliability(_outcomes(0)),
    "one label": lambda: plots.label_outcomes(_labels(1)),
    "one row": lambda: plots.equity(_equity(1)),
    "one prediction": lambda: plots.probabilities(_predictions(1)),
    "one outcome": lambda: plots.reliability(_outcomes(1)),
    "quality": lambda: plots.quality(_findings(6), _shares()),
    "quality of a day": lambda: plots.quality(_findings(1), _shares(1)),
    "nothing found": lambda: plots.quality(table("quality").empty(), _shares()),
    "nothing inspected": lambda: plots.quality(table("quality").empty(), {}),
    "disagreements": lambda: plots.disagreements(_differing(), 1440, "x"),
    "all agree": lambda: plots.disagreements(_differing(0), 1440, "x"),
    "nearness": lambda: plots.nearness(_bps(), (15.0, 50.0), "x against y"),
    "one minute": lambda: plots.nearness(_bps(1), (15.0, 50.0), "x against y"),
    "no minutes": lambda: plots.nearness(_bps(0), (15.0, 50.0), "x against y"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_a_small_png(name):
    png = PICTURES[name]()
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    assert (width, height) == (720, 320)
    assert len(png) < 100_000


def test_every_kind_of_finding_has_room():
    png = plots.quality(_findings(15), _shares())
    width, height = struct.unpack(">II", png[16:24])
    assert (width, height) == (720, 470)
    assert len(png) < 100_000


def test_the_same_rows_give_the_same_bytes():
    frame = _equity(200)
    assert plots.equity(frame) == plots.equity(frame)


def test_bars_that_are_not_valid_are_seen():
    frame = _bars(600)
    holed = frame.with_columns(pl.Series("valid", [i < 200 or i > 300 for i in range(600)]))
    assert plots.bars(frame, "x") != plots.bars(holed, "x")


def test_what_is_drawn_follows_the_rows():
    frame = _predictions()
    moved = frame.with_columns(pl.lit(0.6).alias("threshold"))
    assert plots.probabilities(frame) != plots.probabilities(moved)
