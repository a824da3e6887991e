"""How often the gate's track-record rules pass strategies with and without an edge.

The tables of docs/promotion.md come from here:

    .venv/bin/python bench/gate_size.py [--markets 3000] [--seed 1]

A market is K worthless strategies of which the best is judged, or one with a stated Sharpe ratio.
What is counted is `psr_flat` and `min_track_record` together, at 95 %.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np

from vostok_core.backtest.moments import Moments, moments
from vostok_core.backtest.sharpe import psr_2012
from vostok_core.promotion.edge import probability_of_edge, track_record_needed

Draw = Callable[[np.random.Generator, int, int], np.ndarray]


def normal(rng: np.random.Generator, paths: int, days: int) -> np.ndarray:
    return rng.normal(size=(paths, days))


def fat_tails(rng: np.random.Generator, paths: int, days: int) -> np.ndarray:
    return rng.standard_t(3, size=(paths, days))


def autocorrelated(rng: np.random.Generator, paths: int, days: int) -> np.ndarray:
    noise = rng.normal(size=(paths, days))
    for t in range(1, days):
        noise[:, t] = 0.2 * noise[:, t - 1] + math.sqrt(0.96) * noise[:, t]
    return noise


def left_tail(rng: np.random.Generator, paths: int, days: int) -> np.ndarray:
    return 1 - rng.exponential(size=(paths, days))


def sparse(rng: np.random.Generator, paths: int, days: int) -> np.ndarray:
    return rng.standard_t(4, size=(paths, days)) * (rng.random((paths, days)) < 0.3)


def rare_crash(rng: np.random.Generator, paths: int, days: int) -> np.ndarray:
    crash = rng.random((paths, days)) < 0.03
    return np.where(crash, -0.97 / 3, 0.01) + rng.normal(size=(paths, days)) * 1e-4


NULLS: dict[str, Draw] = {
    "normal": normal,
    "fat tails (t, 3 degrees)": fat_tails,
    "autocorrelation 0.2": autocorrelated,
    "small gains, great losses (1 - exponential)": left_tail,
    "7 days of 10 in cash": sparse,
}


def best(market: np.ndarray) -> Moments:
    """Moments of the path with the greatest Sharpe ratio."""
    spread = market.std(axis=1, ddof=1)
    ratio = np.where(spread > 0, market.mean(axis=1) / np.where(spread > 0, spread, 1), -np.inf)
    return moments(market[int(ratio.argmax())])


def passes(record: Moments, trials: int) -> bool:
    return probability_of_edge(record, trials) >= 0.95 and record.count >= track_record_needed(
        record, trials
    )


def naive(record: Moments) -> bool:
    return (
        psr_2012(record.sharpe, 0, record.count, record.skewness, record.kurtosis) >= 0.95
        if math.isfinite(record.sharpe)
        else False
    )


def size(rng: np.random.Generator, markets: int) -> None:
    print("\nshare of worthless markets that pass (beside it: PSR of 2012 that ignores the trials)")
    print(f"{'null':46}" + "".join(f"{f'T={t} K={k}':>16}" for t in (28, 49, 365) for k in (1, 20)))
    for name, draw in NULLS.items():
        cells = []
        for days in (28, 49, 365):
            for trials in (1, 20):
                records = [best(draw(rng, trials, days)) for _ in range(markets)]
                ours = np.mean([passes(r, trials) for r in records])
                theirs = np.mean([naive(r) for r in records])
                cells.append(f"{ours:.3f} ({theirs:.3f})")
        print(f"{name:46}" + "".join(f"{c:>16}" for c in cells), flush=True)


def shape(rng: np.random.Generator, markets: int) -> None:
    print("\nwhat min_track_record adds: 1 - exponential, T=28, K=20")
    records = [best(left_tail(rng, 20, 28)) for _ in range(markets)]
    alone = np.mean([probability_of_edge(r, 20) >= 0.95 for r in records])
    both = np.mean([passes(r, 20) for r in records])
    print(f"  psr_flat alone {alone:.3f}, with min_track_record {both:.3f}", flush=True)


def hidden(rng: np.random.Generator, markets: int) -> None:
    print("\n97 % of days +1 %, 3 % a crash that makes the mean 0: share that passes, by T")
    for trials in (1, 20):
        cells = []
        for days in (28, 49, 90, 365):
            records = [best(rare_crash(rng, trials, days)) for _ in range(markets)]
            cells.append(f"T={days}: {np.mean([passes(r, trials) for r in records]):.3f}")
        print(f"  K={trials}: " + ", ".join(cells), flush=True)


def power(rng: np.random.Generator, markets: int) -> None:
    print("\nshare that passes of strategies with an annual Sharpe ratio (returns: t, 5 degrees)")
    lengths = (28, 49, 90, 180, 365, 730)
    print(f"{'Sharpe, K':14}" + "".join(f"{f'T={t}':>9}" for t in lengths))
    for sharpe in (2, 3, 4, 6, 8, 12):
        for trials in (1, 5, 20):
            cells = []
            for days in lengths:
                noise = rng.standard_t(5, size=(markets, days)) * math.sqrt(3 / 5)
                paths = noise + sharpe / math.sqrt(365)
                cells.append(np.mean([passes(moments(p), trials) for p in paths]))
            print(f"{f'{sharpe}, {trials}':14}" + "".join(f"{c:9.3f}" for c in cells), flush=True)


def looks(rng: np.random.Generator, markets: int) -> None:
    print("\nshare of worthless strategies that pass at one look at least, looking every Monday")
    for name in ("normal", "fat tails (t, 3 degrees)"):
        paths = NULLS[name](rng, markets, 365)
        for until in (28, 91, 182, 365):
            ends = range(28, until + 1, 7)
            hit = np.mean([any(passes(moments(p[:end]), 1) for end in ends) for p in paths])
            print(
                f"  {name}, from day 28 to day {until} ({len(ends)} looks): {hit:.3f}", flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markets", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    size(rng, chosen.markets)
    shape(rng, chosen.markets)
    hidden(np.random.default_rng(chosen.seed), chosen.markets)
    power(rng, chosen.markets // 3)
    looks(rng, chosen.markets // 3)


if __name__ == "__main__":
    main()
