"""A synthetic market whose truth is known: no edge at all, or one planted at a stated strength.

Null: the mid price is a martingale from print to print, exactly: a print moves it by a factor 1 + z
with z symmetric around 0 and at most a half. Volatility clusters on two scales and has a daily and
weekly season, trades arrive faster when it is high, innovations are fat-tailed, taker flow is
persistent, and prints bounce between bid and ask. Only the *surprise* in flow moves the price
(Hasbrouck 1991), so flow and simultaneous returns are correlated while nothing predicts the next
return: the trap that every order-flow feature must survive.

Planted: the drift of the next minute is `edge * sigma * s`, where sigma is the volatility of one
minute and s the exponential mean (30 minutes, unit variance) of past flow surprises. News plants
drift of its own: `news_edge * sigma * n`, where n jumps by an item's tone and halves in 60 minutes.

The kernel is a stream: all it remembers, its random generator included, is in a `MarketState`, so
that a history and a live market that continues it are one and the same sequence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from vostok_core.compiled import nb
from vostok_core.lake.tables import TIME
from vostok_core.times import MINUTE

VERSION = "2"

_SURPRISE_MEMORY = 1.0 / 30.0
_SURPRISE_SCALE = math.sqrt(59.0)
_FLOW_MEMORY = 0.9
_FLOW_NOISE = math.sqrt(1.0 - _FLOW_MEMORY**2)
_NEWS_MEMORY = 0.5 ** (1.0 / 60.0)
_BUSIEST = 12.0  # a minute holds at most this many times the mean number of trades

_X1, _X2, _FLOW, _SURPRISE, _MID, _NEWS = range(6)
_MINUTE_INDEX, _TRADE_ID = range(2)


@dataclass(frozen=True)
class MarketSpec:
    """What a synthetic market is like.

    Attributes:
        edge: Strength of the planted order-flow edge, kappa; 0 for a martingale.
        news_edge: Strength of the planted news edge; 0 for news that means nothing.
        annual_volatility: Standard deviation of a year's log return.
        annual_drift: Expected return of a year that is there for everyone, 0 for a martingale.
        trades_per_minute: Mean number of prints in a minute.
        news_per_day: Mean number of items in a day.
        half_spread_bps: Half of the distance between bid and ask, in basis points of the mid.
        start_price: Mid price at the start, quote per base.
        mean_qty: Median quantity of a print, in base.
        price_tick: Smallest price step.
        quantity_step: Smallest quantity step.
    """

    edge: float = 0.0
    news_edge: float = 0.0
    annual_volatility: float = 0.7
    annual_drift: float = 0.0
    trades_per_minute: float = 15.0
    news_per_day: float = 12.0
    half_spread_bps: float = 0.5
    start_price: float = 30_000.0
    mean_qty: float = 0.05
    price_tick: float = 0.01
    quantity_step: float = 0.00001

    def parameters(self) -> np.ndarray:
        """The constants of the kernel, float64."""
        return np.array(
            [
                self.edge,
                self.news_edge,
                self.annual_volatility / math.sqrt(525_600.0),
                self.annual_drift / 525_600.0,
                self.trades_per_minute,
                self.news_per_day / 1440.0,
                self.half_spread_bps * 1e-4,
                self.mean_qty,
                self.price_tick,
                self.quantity_step,
            ]
        )


@dataclass(frozen=True)
class MarketState:
    """Everything the market remembers; continue from it and nothing shows the seam.

    Attributes:
        values: float64, shape (6,): volatility factors, flow, flow surprise, mid, news impulse.
        counters: int64, shape (2,): minutes since 1970 of the next minute, id of the next trade.
        generator: uint64, shape (4,): state of xoshiro256++.
    """

    values: np.ndarray
    counters: np.ndarray
    generator: np.ndarray

    @classmethod
    def start(cls, spec: MarketSpec, seed: int, ts: int, *, first_trade_id: int = 1) -> MarketState:
        """The state before the first minute, which begins at `ts` (microseconds)."""
        values = np.zeros(6)
        values[_MID] = spec.start_price
        return cls(
            values,
            np.array([ts // MINUTE, first_trade_id], dtype=np.int64),
            _seeded(np.uint64(seed % 2**64)),
        )

    def copy(self) -> MarketState:
        return replace(
            self,
            values=self.values.copy(),
            counters=self.counters.copy(),
            generator=self.generator.copy(),
        )


@dataclass(frozen=True)
class MarketSpan:
    """What happened in a span of minutes.

    Attributes:
        ticks: Rows of the table `ticks`.
        news: Columns `ts` (publication) and `tone` (-1, 0 or 1).
        truth: One row a minute: `ts` (start), `mid` at its end, `sigma` of the minute's log return
            and `signal`, the drift per sigma that was planted in it. Never shown to a model.
    """

    ticks: pl.DataFrame
    news: pl.DataFrame
    truth: pl.DataFrame


@nb.njit(nb.uint64[::1](nb.uint64), cache=True)
def _seeded(seed):  # type: ignore[no-untyped-def]
    """Four words of splitmix64, as the authors of xoshiro advise (Blackman and Vigna 2021)."""
    state = np.empty(4, np.uint64)
    z = seed
    for i in range(4):
        z += np.uint64(0x9E3779B97F4A7C15)
        x = z
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state[i] = x ^ (x >> np.uint64(31))
    return state


@nb.njit(nb.float64(nb.uint64[::1]), cache=True)
def _uniform(s):  # type: ignore[no-untyped-def]
    """Uniform on (0, 1) by xoshiro256++, 53 bits, never 0."""
    total = s[0] + s[3]
    word = ((total << np.uint64(23)) | (total >> np.uint64(41))) + s[0]
    shifted = s[1] << np.uint64(17)
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= shifted
    s[3] = (s[3] << np.uint64(45)) | (s[3] >> np.uint64(19))
    return (np.float64(word >> np.uint64(11)) + 0.5) * 1.1102230246251565e-16


@nb.njit(nb.float64(nb.uint64[::1]), cache=True)
def _normal(s):  # type: ignore[no-untyped-def]
    """Standard normal by the polar method (Marsaglia)."""
    while True:
        u = 2.0 * _uniform(s) - 1.0
        v = 2.0 * _uniform(s) - 1.0
        q = u * u + v * v
        if 0.0 < q < 1.0:
            return u * math.sqrt(-2.0 * math.log(q) / q)


@nb.njit(nb.int64(nb.uint64[::1], nb.float64), cache=True)
def _poisson(s, mean):  # type: ignore[no-untyped-def]
    """Poisson by counting exponentials: means here are tens, so this is quick enough."""
    count = 0
    total = -math.log(_uniform(s))
    while total < mean:
        count += 1
        total -= math.log(_uniform(s))
    return count


@nb.njit(cache=True, nogil=True)
def _run(p, values, counters, s, minutes, ts, price, qty, maker, news_ts, news_tone, truth):  # type: ignore[no-untyped-def]
    """Advance the market by `minutes`, writing prints, news and truth; returns both counts."""
    edge, news_edge, base, drift, rate, news_rate = p[0], p[1], p[2], p[3], p[4], p[5]
    half_spread, mean_qty, tick, step = p[6], p[7], p[8], p[9]
    most = int(_BUSIEST * rate)
    printed = 0
    told = 0
    at = np.empty(most + 1)
    for m in range(minutes):
        minute = counters[_MINUTE_INDEX]
        start = minute * 60_000_000
        hour = (minute % 1440) / 60.0
        weekday = ((minute // 1440) + 3) % 7
        season = 1.0 + 0.45 * math.cos(2.0 * math.pi * (hour - 15.0) / 24.0)
        if minute % 60 == 0:
            season += 0.12
        if weekday >= 5:
            season *= 0.75
        # Ornstein-Uhlenbeck log volatility: 200 minutes and 7 days.
        values[_X1] = 0.995 * values[_X1] + 0.0998749 * 0.4 * _normal(s)
        values[_X2] = 0.9999 * values[_X2] + 0.0141418 * 0.3 * _normal(s)
        heat = math.exp(values[_X1] + values[_X2] - 0.125)
        sigma = base * math.sqrt(season) * heat
        signal = edge * values[_SURPRISE] + news_edge * values[_NEWS]
        mu = sigma * signal + drift
        count = min(_poisson(s, rate * season * math.sqrt(heat)), most)
        # Sorted arrival times of a Poisson process, given their number.
        total = 0.0
        for k in range(count + 1):
            total -= math.log(_uniform(s))
            at[k] = total
        flow = values[_FLOW]
        surprise = 0.0
        mid = values[_MID]
        if count > 0:
            scale = 1.0 / math.sqrt(count)
            for k in range(count):
                u = _normal(s)
                surprise += u
                # Student t with 4 degrees of freedom, scaled to unit variance.
                chi = -2.0 * (math.log(_uniform(s)) + math.log(_uniform(s)))
                shock = _normal(s) / math.sqrt(chi / 4.0) * 0.7071067811865476
                z = (0.6 * u + 0.8 * shock) * scale * sigma
                # Not exp(z): for a Student t its mean is infinite. What is symmetric stays so.
                z = min(max(z, -0.5), 0.5)
                mid *= max(1.0 + z + mu / count, 0.25)
                buy = 0.8 * flow + u > 0.0
                if buy:
                    print_price = math.ceil(mid * (1.0 + half_spread) / tick - 1e-9) * tick
                else:
                    print_price = math.floor(mid * (1.0 - half_spread) / tick + 1e-9) * tick
                ts[printed] = start + np.int64(at[k] / total * 59_999_999.0)
                price[printed] = max(print_price, tick)
                size = math.exp(0.8 * _normal(s)) * mean_qty
                qty[printed] = max(math.floor(size / step), 1.0) * step
                maker[printed] = not buy
                printed += 1
            surprise *= scale
        counters[_TRADE_ID] += count
        news = values[_NEWS] * _NEWS_MEMORY
        if _uniform(s) < news_rate:
            draw = _uniform(s)
            tone = 1.0 if draw < 0.4 else (-1.0 if draw < 0.8 else 0.0)
            news_ts[told] = start + np.int64(_uniform(s) * 59_999_999.0)
            news_tone[told] = tone
            told += 1
            news += tone
        values[_SURPRISE] += _SURPRISE_MEMORY * (surprise * _SURPRISE_SCALE - values[_SURPRISE])
        values[_FLOW] = _FLOW_MEMORY * flow + _FLOW_NOISE * surprise
        values[_NEWS] = news
        values[_MID] = mid
        counters[_MINUTE_INDEX] = minute + 1
        truth[m, 0] = mid
        truth[m, 1] = sigma
        truth[m, 2] = signal
    return printed, told


def advance(spec: MarketSpec, state: MarketState, minutes: int) -> tuple[MarketSpan, MarketState]:
    """Let the market run for some minutes.

    Returns:
        What happened, and the state after it; `state` itself is left as it was. Advancing by a
        and then by b minutes gives the same bits as advancing by a + b.

    Prices and quantities are whole multiples of their steps, rounded to the nearest double of the
    decimal that an exchange would print.
    """
    after = state.copy()
    most = int(_BUSIEST * spec.trades_per_minute) * minutes
    ts = np.empty(most, np.int64)
    price = np.empty(most)
    qty = np.empty(most)
    maker = np.empty(most, np.bool_)
    news_ts = np.empty(minutes, np.int64)
    news_tone = np.empty(minutes)
    truth = np.empty((minutes, 3))
    first_minute, first_id = (int(x) for x in state.counters)
    n, told = _run(
        spec.parameters(),
        after.values,
        after.counters,
        after.generator,
        minutes,
        ts,
        price,
        qty,
        maker,
        news_ts,
        news_tone,
        truth,
    )
    ids = np.arange(first_id, first_id + n)
    ticks = pl.DataFrame(
        {
            "trade_id": ids,
            "ts": pl.Series(ts[:n]).cast(TIME),
            "price": pl.Series(price[:n]).round(_decimals(spec.price_tick)),
            "qty": pl.Series(qty[:n]).round(_decimals(spec.quantity_step)),
            "buyer_maker": maker[:n],
            "first_id": ids,
            "last_id": ids,
        }
    )
    news = pl.DataFrame({"ts": pl.Series(news_ts[:told]).cast(TIME), "tone": news_tone[:told]})
    minutes_ts = pl.Series((first_minute + np.arange(minutes)) * MINUTE).cast(TIME)
    truth_frame = pl.DataFrame(
        {"ts": minutes_ts, "mid": truth[:, 0], "sigma": truth[:, 1], "signal": truth[:, 2]}
    )
    return MarketSpan(ticks, news, truth_frame), after


def _decimals(step: float) -> int:
    text = f"{step:.12f}".rstrip("0")
    return len(text.split(".")[1])
