"""Kernels against libraries and slow twins, on bars with silences and on still markets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import ta.momentum
import ta.trend
import ta.volatility
import ta.volume
import talib

from vostok_core.features.document import needs
from vostok_core.features.inputs import (
    BUY_VOLUME,
    CLOSE,
    HIGH,
    LOW,
    MAX_QTY,
    OPEN,
    QTY_SQ_SUM,
    QUOTE_VOLUME,
    RETURN_SQ_SUM,
    SIDE_CHANGES,
    SIZE_ENTROPY,
    TRADES,
    TS,
    VOLUME,
    VWAP,
)
from vostok_core.features.leaks import probe_rows
from vostok_core.features.registry import Pack, pack
from vostok_core.features.walk import walk
from vostok_core.market.bars import BAR_FIELDS
from vostok_core.market.synthetic import MarketSpec, MarketState, advance

COUNT = 5000
TICK_FIELDS = (QUOTE_VOLUME, TRADES, BUY_VOLUME, VWAP, MAX_QTY, QTY_SQ_SUM, SIZE_ENTROPY)
TICK_FIELDS += (RETURN_SQ_SUM, SIDE_CHANGES)


@pytest.fixture(scope="module")
def core() -> Pack:
    return pack("core")


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return probe_rows("bars", COUNT, 11, unknown=0.0)


@pytest.fixture(scope="module")
def got(core: Pack, rows: np.ndarray) -> Callable[[str], np.ndarray]:
    values = walk(core, rows)
    return lambda name: values[:, core.columns.index(name)]


def _bare(some_pack: Pack) -> Pack:
    return replace(some_pack, kernels=tuple(replace(k, warmup=0) for k in some_pack.kernels))


def _prices(rows: np.ndarray) -> tuple[pd.Series, pd.Series, pd.Series]:
    return pd.Series(rows[:, HIGH]), pd.Series(rows[:, LOW]), pd.Series(rows[:, CLOSE])


def _agree(found: np.ndarray, oracle: np.ndarray, *, from_row: int = 0, atol: float = 1e-9) -> None:
    """Equal wherever the feature has a value, which it has on every row after `from_row`."""
    known = ~np.isnan(found)
    first = int(np.argmax(known))
    assert known[first:].all()
    assert first < COUNT - 1500
    start = max(first, from_row)
    np.testing.assert_allclose(found[start:], np.asarray(oracle)[start:], rtol=1e-9, atol=atol)


def test_momentum_and_trend_equal_ta_after_warm_up(
    got: Callable[[str], np.ndarray], rows: np.ndarray
) -> None:
    high, low, close = _prices(rows)
    _agree(got("rsi_14"), ta.momentum.RSIIndicator(close, 14).rsi())
    macd = ta.trend.MACD(close, 26, 12, 9)
    _agree(got("macd_line"), macd.macd() / close)
    _agree(got("macd_signal"), macd.macd_signal() / close)
    _agree(got("macd_histogram"), macd.macd_diff() / close)
    adx = ta.trend.ADXIndicator(high, low, close, 14)
    _agree(got("adx_14"), adx.adx())
    _agree(got("plus_di_14"), adx.adx_pos())
    _agree(got("minus_di_14"), adx.adx_neg())
    for span in (12, 60, 240):
        _agree(
            got(f"ema_distance_{span}"),
            close / ta.trend.EMAIndicator(close, span).ema_indicator() - 1,
        )
    for window in (60, 240):
        mean = ta.trend.SMAIndicator(close, window).sma_indicator()
        _agree(got(f"sma_distance_{window}"), close / mean - 1)


def test_volatility_indicators_equal_ta_after_warm_up(
    got: Callable[[str], np.ndarray], rows: np.ndarray
) -> None:
    high, low, close = _prices(rows)
    atr = ta.volatility.AverageTrueRange(high, low, close, 14).average_true_range()
    _agree(got("atr_14"), atr / close)
    bands = ta.volatility.BollingerBands(close, 20, 2)
    flat = close.rolling(20).max() == close.rolling(20).min()
    inside = bands.bollinger_pband().where(~flat, 0.5)
    width = (bands.bollinger_wband() / 100).where(~flat, 0.0)
    # The library's rolling variance loses digits where the window hardly moves.
    _agree(got("bollinger_b_20"), inside, atol=1e-7)
    _agree(got("bollinger_width_20"), width)


def test_indicators_equal_talib_after_warm_up(
    got: Callable[[str], np.ndarray], rows: np.ndarray
) -> None:
    high, low, close = (np.ascontiguousarray(rows[:, f]) for f in (HIGH, LOW, CLOSE))
    _agree(got("rsi_14"), talib.RSI(close, 14))
    line, signal, histogram = talib.MACD(close, 12, 26, 9)
    _agree(got("macd_line"), line / close)
    _agree(got("macd_signal"), signal / close)
    _agree(got("macd_histogram"), histogram / close)
    _agree(got("atr_14"), talib.ATR(high, low, close, 14) / close)
    _agree(got("adx_14"), talib.ADX(high, low, close, 14))
    _agree(got("plus_di_14"), talib.PLUS_DI(high, low, close, 14))
    _agree(got("minus_di_14"), talib.MINUS_DI(high, low, close, 14))
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    _agree(got("bollinger_width_20"), (upper - lower) / middle, atol=1e-7)
    _agree(got("ema_distance_60"), close / talib.EMA(close, 60) - 1)
    _agree(got("sma_distance_60"), close / talib.SMA(close, 60) - 1)


@pytest.mark.parametrize("window", [60, 240])
def test_vwap_is_that_of_the_prints_and_without_them_that_of_ta(
    core: Pack, rows: np.ndarray, got: Callable[[str], np.ndarray], window: int
) -> None:
    column = core.columns.index(f"vwap_distance_{window}")
    quote, volume, close = (pd.Series(rows[:, f]) for f in (QUOTE_VOLUME, VOLUME, CLOSE))
    printed = quote.rolling(window).sum() / volume.rolling(window).sum()
    _agree(got(f"vwap_distance_{window}"), close / printed - 1)

    klines = rows.copy()
    klines[:, QUOTE_VOLUME] = np.nan
    high, low, _ = _prices(rows)
    typical = ta.volume.VolumeWeightedAveragePrice(high, low, close, volume, window)
    _agree(walk(core, klines)[:, column], close / typical.volume_weighted_average_price() - 1)


@pytest.mark.parametrize("span", [60, 1440])
def test_volatility_is_the_normalised_exponential_mean_of_squared_returns(
    got: Callable[[str], np.ndarray], rows: np.ndarray, span: int
) -> None:
    squares = pl.Series(rows[:, CLOSE]).log().diff().pow(2)
    _agree(got(f"volatility_{span}"), squares.ewm_mean(span=span, adjust=True).sqrt().to_numpy())


def test_volatility_of_independent_returns_is_their_standard_deviation(core: Pack) -> None:
    rng = np.random.default_rng(3)
    rows = probe_rows("bars", 20_000, 3)
    rows[:, CLOSE] = 100 * np.exp(np.cumsum(rng.normal(0, 7e-4, len(rows))))
    values = walk(core, rows)
    found = np.mean(values[5000:, core.columns.index("volatility_1440")])
    assert found == pytest.approx(7e-4, rel=0.03)
    scaled = values[5000:, core.columns.index("return_240")]
    assert np.std(scaled) == pytest.approx(1.0, rel=0.15)


def test_returns_and_range_are_in_units_of_volatility(
    got: Callable[[str], np.ndarray], rows: np.ndarray
) -> None:
    sigma = got("volatility_1440")
    close = rows[:, CLOSE]
    for h in (1, 5, 15, 60, 240):
        change = np.full(COUNT, np.nan)
        change[h:] = np.log(close[h:] / close[:-h])
        _agree(got(f"return_{h}"), change / (sigma * np.sqrt(h)))
    _agree(got("bar_range"), np.log(rows[:, HIGH] / rows[:, LOW]) / sigma)


def test_realised_variance_equals_its_sums(
    got: Callable[[str], np.ndarray], rows: np.ndarray
) -> None:
    squares = np.concatenate(([0.0], np.diff(np.log(rows[:, CLOSE])) ** 2))
    ticks = rows[:, RETURN_SQ_SUM]
    for w in (30, 60):
        ratio, variance = np.full(COUNT, np.nan), np.full(COUNT, np.nan)
        for i in range(1440, COUNT):
            recent = math.fsum(squares[i - w + 1 : i + 1])
            longest = math.fsum(squares[i - 1440 + 1 : i + 1])
            printed = math.fsum(ticks[i - w + 1 : i + 1])
            ratio[i] = math.sqrt((recent / w) / (longest / 1440))
            variance[i] = recent / printed if printed else 0.0
        _agree(got(f"realised_ratio_{w}"), ratio)
        _agree(got(f"variance_ratio_{w}"), variance)


def test_windowed_flow_equals_its_sums(got: Callable[[str], np.ndarray], rows: np.ndarray) -> None:
    delta = 2 * rows[:, BUY_VOLUME] - rows[:, VOLUME]
    volume = rows[:, VOLUME]
    for w in (5, 15, 30, 60, 240):
        imbalance, level = np.full(COUNT, np.nan), np.full(COUNT, np.nan)
        for i in range(239, COUNT):
            total = math.fsum(volume[i - w + 1 : i + 1])
            signed = math.fsum(delta[i - w + 1 : i + 1])
            imbalance[i] = signed / total if total else 0.0
            level[i] = signed / (math.fsum(volume[i - 239 : i + 1]) / 240)
        _agree(got(f"flow_imbalance_{w}"), imbalance)
        if w in (30, 60):
            _agree(got(f"cvd_{w}"), level)


@pytest.mark.parametrize("span", [30, 60])
def test_flow_means_are_normalised_exponential_means(
    got: Callable[[str], np.ndarray], rows: np.ndarray, span: int
) -> None:
    volume = rows[:, VOLUME]
    imbalance = np.where(
        volume > 0, (2 * rows[:, BUY_VOLUME] - volume) / np.where(volume > 0, volume, 1), 0.0
    )
    series = pd.Series(imbalance)
    _agree(got(f"flow_ema_{span}"), series.ewm(span=span, adjust=True).mean())
    innovation = series - 0.9 * series.shift(1)
    _agree(got(f"flow_innovation_{span}"), innovation.ewm(span=span, adjust=True).mean())


def test_flow_innovation_finds_the_edge_that_the_synthetic_market_plants(core: Pack) -> None:
    spec = MarketSpec(edge=0.1)
    start = 1_704_067_200_000_000
    span, _ = advance(spec, MarketState.start(spec, 4, start), 1440 * 4)
    sign = pl.when("buyer_maker").then(-1.0).otherwise(1.0) * pl.col("qty")
    minutes = span.ticks.group_by(
        pl.col("ts").dt.truncate("1m").alias("ts"), maintain_order=True
    ).agg(sign.sum().alias("signed"), pl.col("qty").sum(), pl.col("price").last())
    grid = span.truth.join(minutes, on="ts", how="left", maintain_order="left")
    rows = probe_rows("bars", grid.height, 0, gaps=0.0, unknown=0.0)
    rows[:, VOLUME] = grid["qty"].fill_null(0.0)
    rows[:, BUY_VOLUME] = (grid["qty"] + grid["signed"]).fill_null(0.0) / 2
    found = walk(core, rows)[:, core.columns.index("flow_innovation_60")]
    planted_next = grid["signal"].to_numpy()[1:]
    assert np.corrcoef(found[1440:-1], planted_next[1440:])[0, 1] > 0.9


def test_activity_ratios_equal_exponential_means_of_known_bars(
    core: Pack, rows: np.ndarray
) -> None:
    some = rows.copy()
    some[3000:3200, TRADES] = np.nan
    values = dict(zip(core.columns, walk(core, some).T, strict=True))
    volume = pd.Series(some[:, VOLUME])
    trades = pd.Series(np.where(some[:, VOLUME] > 0, some[:, TRADES], 0.0))

    def ratio(series: pd.Series) -> pd.Series:
        fast, slow = (series.ewm(span=s, adjust=True, ignore_na=True).mean() for s in (30, 1440))
        return fast / slow

    _agree(values["volume_ratio"], ratio(volume))
    known = trades.notna().to_numpy()
    late = known & (np.arange(COUNT) >= 2880)
    np.testing.assert_allclose(values["trades_ratio"][late], ratio(trades)[late], rtol=1e-9)
    size = ratio(volume.where(known)) / ratio(trades)
    np.testing.assert_allclose(values["trade_size_ratio"][late], size[late], rtol=1e-9)
    assert np.isnan(values["trades_ratio"][2880:][~known[2880:]]).all()


def test_trade_shape_equals_its_definitions_and_passes_over_silent_bars(core: Pack) -> None:
    rows = probe_rows("bars", COUNT, 12, unknown=0.05)
    values = dict(zip(core.columns, walk(core, rows).T, strict=True))
    volume, trades = rows[:, VOLUME], rows[:, TRADES]
    traded = volume > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(trades > 1, rows[:, SIDE_CHANGES] / (trades - 1), 0.0)
        twins = {
            "size_entropy": np.where(traded, rows[:, SIZE_ENTROPY], 0.0),
            "largest_trade_share": np.where(traded, rows[:, MAX_QTY] / volume, 0.0),
            "size_concentration": np.where(traded, rows[:, QTY_SQ_SUM] / volume**2, 0.0),
            "side_change_rate": np.where(
                traded, np.where(np.isnan(trades + rows[:, SIDE_CHANGES]), np.nan, rate), 0.0
            ),
        }
    for name, twin in twins.items():
        np.testing.assert_allclose(values[name][2880:], twin[2880:], rtol=1e-12, err_msg=name)
    entropy = pd.Series(rows[:, SIZE_ENTROPY]).where(traded)
    smooth = entropy.ewm(span=30, adjust=True, ignore_na=True).mean().to_numpy()
    known = ~np.isnan(rows[:, SIZE_ENTROPY]) | ~traded
    late = known & (np.arange(COUNT) >= 2880)
    np.testing.assert_allclose(values["size_entropy_30"][late], smooth[late], rtol=1e-9)
    changes = pd.Series(rate).where(traded & (trades > 1))
    smooth = changes.ewm(span=30, adjust=True, ignore_na=True).mean().to_numpy()
    known = ~np.isnan(rows[:, SIDE_CHANGES] + trades) | ~traded
    late = known & (np.arange(COUNT) >= 2880)
    np.testing.assert_allclose(values["side_change_rate_30"][late], smooth[late], rtol=1e-9)


def test_time_is_that_of_the_bar_end_in_utc(
    got: Callable[[str], np.ndarray], rows: np.ndarray
) -> None:
    for i in (0, 77, 1234, COUNT - 1):
        at = datetime.fromtimestamp(rows[i, TS] / 1e6, tz=UTC)
        day = 2 * math.pi * (at.hour * 60 + at.minute) / 1440
        week = 2 * math.pi * at.weekday() / 7
        assert got("day_sin")[i] == pytest.approx(math.sin(day), abs=1e-12)
        assert got("day_cos")[i] == pytest.approx(math.cos(day), abs=1e-12)
        assert got("week_sin")[i] == pytest.approx(math.sin(week), abs=1e-12)
        assert got("week_cos")[i] == pytest.approx(math.cos(week), abs=1e-12)


def test_place_in_the_bar(got: Callable[[str], np.ndarray], rows: np.ndarray) -> None:
    span = rows[:, HIGH] - rows[:, LOW]
    moved = span > 0
    assert 0.05 < moved.mean() < 0.95
    place = (rows[moved, CLOSE] - rows[moved, LOW]) / span[moved]
    np.testing.assert_allclose(got("close_position")[moved], place)
    body = (rows[moved, CLOSE] - rows[moved, OPEN]) / span[moved]
    np.testing.assert_allclose(got("bar_body")[moved], body)
    assert (got("close_position")[~moved] == 0.5).all()
    assert (got("bar_body")[~moved] == 0.0).all()


def test_market_that_stands_still_without_volume_has_the_stated_values(core: Pack) -> None:
    rows = np.zeros((3000, len(BAR_FIELDS)))
    rows[:, TS] = 1_709_164_800_000_000 + 60_000_000 * np.arange(len(rows))
    rows[:, [OPEN, HIGH, LOW, CLOSE]] = 42.5
    rows[:, VWAP] = np.nan
    last = dict(zip(core.columns, walk(core, rows)[-1], strict=True))
    stated = {"rsi_14": 50.0, "bollinger_b_20": 0.5, "close_position": 0.5}
    clock = {"day_sin", "day_cos", "week_sin", "week_cos"}
    for name, value in last.items():
        if name not in clock:
            assert value == stated.get(name, 0.0), name


def test_unknown_statistics_of_a_bar_reach_their_own_features_and_pass(core: Pack) -> None:
    rows = probe_rows("bars", 4000, 21, unknown=0.0, empty=0.0)
    at = 3200
    holed = rows.copy()
    holed[at, list(TICK_FIELDS)] = np.nan
    before, after = walk(core, rows), walk(core, holed)
    held = {
        **{f"flow_imbalance_{w}": w for w in (5, 15, 30, 60, 240)},
        **{f"cvd_{w}": w for w in (30, 60)},
        **{f"variance_ratio_{w}": w for w in (30, 60)},
        **{f"flow_ema_{s}": 1 for s in (30, 60)},
        **{f"flow_innovation_{s}": 2 for s in (30, 60)},
        **dict.fromkeys(("trades_ratio", "trade_size_ratio", "size_entropy", "size_entropy_30"), 1),
        **dict.fromkeys(("largest_trade_share", "size_concentration", "side_change_rate"), 1),
        "side_change_rate_30": 1,
    }
    replaced = {"vwap_distance_60", "vwap_distance_240"}  # by typical prices, see the docs
    for j, name in enumerate(core.columns):
        unknown = np.flatnonzero(np.isnan(after[2880:, j])) + 2880
        expected = np.arange(at, at + held.get(name, 0))
        np.testing.assert_array_equal(unknown, expected, err_msg=name)
        if name not in held and name not in replaced:
            np.testing.assert_array_equal(after[:, j], before[:, j], err_msg=name)
    assert np.nanmax(np.abs(after[-1] - before[-1])) < 1e-3


def test_a_windowed_feature_is_a_function_of_its_window(core: Pack) -> None:
    """Whatever came before: the same bits. Exponential means would fail this."""
    exact = {
        *(f"realised_ratio_{w}" for w in (30, 60)),
        *(f"variance_ratio_{w}" for w in (30, 60)),
        *(f"bollinger_{x}_20" for x in ("b", "width")),
        *(f"{x}_distance_{w}" for x in ("sma", "vwap") for w in (60, 240)),
        *(f"flow_imbalance_{w}" for w in (5, 15, 30, 60, 240)),
        *(f"cvd_{w}" for w in (30, 60)),
        "close_position",
        "bar_body",
    }
    rows = probe_rows("bars", 4000, 31)
    whole = walk(_bare(core), rows)
    for start in (1, 777, 1999):
        late = walk(core, rows[start:])
        for name in exact:
            j = core.columns.index(name)
            known = ~np.isnan(late[:, j])
            np.testing.assert_array_equal(late[known, j], whole[start:][known, j], err_msg=name)


@pytest.mark.shared_data
def test_real_minutes_without_tick_statistics_give_finite_features(
    core: Pack, shared: Path
) -> None:
    """A month of Bitfinex klines; minutes without a trade are absent from the file."""
    year = pl.read_parquet(shared / "bars" / "bitfinex_1m" / "BTCUSD" / "2018.parquet")
    month = year.sort("ts_ms").head(44_640)
    rows = np.full((month.height, len(BAR_FIELDS)), np.nan)
    rows[:, TS] = month["ts_ms"].to_numpy() * 1000.0 + 60_000_000
    for field, name in ((OPEN, "open"), (HIGH, "high"), (LOW, "low"), (CLOSE, "close")):
        rows[:, field] = month[name]
    rows[:, VOLUME] = month["volume"]
    values = walk(core, rows)[core.warmup :]
    need = needs(core)
    for j, name in enumerate(core.columns):
        if need[name] == "prices":
            assert np.isfinite(values[:, j]).all(), name
            assert np.std(values[:, j]) > 0, name
        else:
            assert np.isnan(values[:, j]).all(), name
    returns = values[:, core.columns.index("return_1")]
    assert np.std(returns) == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("some_pack", ["core", "sentiment"])
def test_where_the_walk_began_is_forgotten_in_the_warm_up(some_pack: str) -> None:
    chosen = pack(some_pack)
    rows = probe_rows(chosen.inputs, 7000, 41, gaps=0.0, unknown=0.0)
    whole = walk(chosen, rows)
    start = 3000
    late = walk(chosen, rows[start:])
    column = 0
    for kernel in chosen.kernels:
        for feature in kernel.outputs:
            a, b = whole[start:, column][kernel.warmup :], late[:, column][kernel.warmup :]
            assert not np.isnan(a).any(), feature.name
            scale = float(np.abs(a).max())
            away = float(np.abs(a - b).max()) / scale
            assert away <= (0.05 if kernel.capped else 1e-9), feature.name
            column += 1
