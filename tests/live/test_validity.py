"""Bars told valid while trades come in are those that the batch finds in the whole day."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.lake.tables import TIME
from vostok_core.live.validity import Validity
from vostok_core.market.bars import day_bars
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.quality import inspect
from vostok_core.market.ticks import LastTick
from vostok_core.times import DAY, HOUR, MINUTE, SECOND, day_start

DAY_ = date(2024, 3, 5)


def instrument(market: str) -> Instrument:
    return Instrument(
        InstrumentId.parse(f"x.{market}.A-B"), "agg_trade",
        Decimal("0.01"), Decimal("0.001"), Decimal(0), 10 * MINUTE,
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_streamed_validity_is_that_of_the_batch(data) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    market = data.draw(st.sampled_from(["spot", "usdm"]))
    n = data.draw(st.integers(1, 400))
    of = instrument(market)
    start = day_start(DAY_)
    # Pauses of every length, a few backward steps, ids that jump or fall back or hide trades.
    steps = rng.choice(
        [SECOND, MINUTE, 9 * MINUTE, 11 * MINUTE, HOUR], n, p=[0.55, 0.3, 0.07, 0.04, 0.04]
    )
    ts = start + np.cumsum(steps * rng.random(n)).astype(np.int64) % DAY
    ts = np.sort(ts)
    ts[rng.random(n) < 0.05] -= 30 * SECOND
    ts = np.clip(ts, start, start + DAY - 1)
    ids = 1000 + np.cumsum(rng.choice([1, 1, 1, 1, 1, 2, 7, -1], n))
    kept = np.unique(ids, return_index=True)[1]
    ids, ts = ids[kept], ts[kept]
    n = len(ids)
    has = rng.random(n) < 0.9
    # Prices that more than double or halve at once, just don't, or stay where they went.
    price = np.cumprod(rng.choice([1.0, 1.01, 0.5, 2.0, 0.4, 2.1], n, p=[0.5, 0.4, *[0.025] * 4]))
    first = np.where(has, 5 * ids + rng.integers(0, 2, n), -1)
    last = np.where(has, first + rng.integers(0, 5, n), -1)
    order = np.argsort(ids)
    ids, ts, first, last = ids[order], ts[order], first[order], last[order]
    price = price[order]
    before = data.draw(st.sampled_from([None, 0, 5 * MINUTE, 20 * MINUTE]))
    previous = None
    if before is not None:
        previous = LastTick(
            int(ids[0]) - 1, start - before, 0.45, 1, int(first[0]) - 1 if has[0] else None
        )
    ticks = pl.DataFrame(
        {
            "trade_id": ids,
            "ts": pl.Series(ts).cast(TIME),
            "price": price,
            "qty": np.ones(n),
            "buyer_maker": rng.random(n) < 0.5,
            "first_id": pl.Series(first).replace(-1, None),
            "last_id": pl.Series(last).replace(-1, None),
        }
    )
    quality = inspect(ticks, DAY_, of, previous=previous)
    for interval, length in (("1m", MINUTE), ("15m", 15 * MINUTE)):
        known = None if previous is None else (previous.price, previous.side)
        batch = day_bars(ticks, DAY_, interval, of, known, quality)
        ends = batch["ts"].to_physical().to_numpy()
        seen = None
        if previous is not None:
            seen = (
                previous.ts,
                previous.trade_id,
                -1 if previous.last_id is None else previous.last_id,
                previous.price,
            )
        live = Validity(of, start, seen)
        told: list[bool] = []
        done = 0
        cuts = np.sort(rng.integers(0, n + 1, data.draw(st.integers(0, 6))))
        for piece in np.split(np.arange(n), cuts):
            live.push(ts[piece], ids[piece], first[piece], last[piece], price[piece])
            if not piece.size:
                continue
            newest = int(ts[: piece[-1] + 1].max())
            closed = ends[done:][ends[done:] <= newest]
            told += live.valid(closed, length).tolist()
            done += closed.size
        told += live.valid(ends[done:], length).tolist()
        assert told == batch["valid"].to_list()


@pytest.mark.parametrize("minutes", [9, 10, 11, 12])
def test_a_silence_that_goes_on_shows_once_it_is_too_long(minutes: int) -> None:
    start = day_start(DAY_)
    live = Validity(instrument("spot"), start, (start, 7, 7, 1.0))
    ends = start + MINUTE * np.arange(1, minutes + 1)
    assert live.valid(ends, MINUTE).tolist() == [k <= 10 for k in range(1, minutes + 1)]
