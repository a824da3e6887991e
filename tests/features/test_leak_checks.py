"""The leak machinery: every registered feature passes it, and planted leaks don't."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.features.inputs import CLOSE, TS, VOLUME
from vostok_core.features.leaks import LeakFinding, check_function, check_pack, probe_rows, shocked
from vostok_core.features.registry import Feature, Kernel, Pack, packs, step_kernel
from vostok_core.features.walk import walk_kernel
from vostok_core.market.bars import BAR_FIELDS

Rows = np.ndarray


@pytest.mark.parametrize("name", packs())
def test_every_registered_pack_passes_on_market_like_rows(name: str) -> None:
    some = packs()[name]
    rows = probe_rows(some.inputs, 1700, 7)
    assert check_pack(some, rows, seed=1) == []


@pytest.mark.parametrize("name", packs())
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_every_registered_pack_passes_on_rows_of_any_kind(name: str, data: st.DataObject) -> None:
    some = packs()[name]
    share = st.sampled_from([0.0, 0.05, 0.5, 1.0])
    rows = probe_rows(
        some.inputs,
        data.draw(st.integers(1, 350)),
        data.draw(st.integers(0, 2**32)),
        empty=data.draw(share),
        unknown=data.draw(share),
        gaps=data.draw(share),
        flat=data.draw(share),
    )
    assert check_pack(some, rows, seed=data.draw(st.integers(0, 1000)), cuts=None) == []


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_core_passes_on_arbitrary_numbers(data: st.DataObject) -> None:
    """Bars that no market makes: extreme, repeated and unknown values cell by cell."""
    count = data.draw(st.integers(2, 60))
    rows = probe_rows("bars", count, 1)
    value = st.one_of(
        st.just(float("nan")), st.just(0.0), st.floats(1e-12, 1e12), st.sampled_from([1.0, 2.0])
    )
    for _ in range(data.draw(st.integers(1, 30))):
        i = data.draw(st.integers(0, count - 1))
        j = data.draw(st.integers(VOLUME, len(BAR_FIELDS) - 1))
        cell = data.draw(value)
        rows[i, j] = 0.0 if j == VOLUME and np.isnan(cell) else cell
    assert check_pack(packs()["core"], rows) == []


def _causal_mean(rows: Rows) -> Rows:
    out = np.full((len(rows), 1), np.nan)
    for i in range(4, len(rows)):
        out[i, 0] = rows[i - 4 : i + 1, CLOSE].mean()
    return out


def _one_bar_peek(rows: Rows) -> Rows:
    return np.append(rows[1:, CLOSE], np.nan)[:, None]


def _centred_mean(rows: Rows) -> Rows:
    padded = np.pad(rows[:, CLOSE], 2, mode="edge")
    return np.convolve(padded, np.ones(5) / 5, mode="valid")[:, None]


def _full_sample_scaler(rows: Rows) -> Rows:
    close = rows[:, CLOSE]
    return ((close - close.mean()) / (close.std() + 1e-12))[:, None]


def _backward_fill(rows: Rows) -> Rows:
    close = np.where(rows[:, VOLUME] > 0, rows[:, CLOSE], np.nan)
    for i in range(len(close) - 2, -1, -1):
        if np.isnan(close[i]):
            close[i] = close[i + 1]
    return close[:, None]


def _bars_to_come(rows: Rows) -> Rows:
    return np.arange(len(rows), 0, -1.0)[:, None]


def _time_of_the_next_bar(rows: Rows) -> Rows:
    return np.append(np.diff(rows[:, TS]), 0.0)[:, None]


def _view_of_the_input(rows: Rows) -> Rows:
    return rows[:, CLOSE : CLOSE + 1]


def _overwrites_its_input(rows: Rows) -> Rows:
    rows[:, CLOSE] = np.log(rows[:, CLOSE])
    return rows[:, CLOSE : CLOSE + 1].copy()


def test_causal_function_passes() -> None:
    assert check_function("mean", ["mean"], _causal_mean, probe_rows("bars", 300, 1)) == []


@pytest.mark.parametrize(
    ("function", "kinds"),
    [
        (_one_bar_peek, {"truncation", "future shock"}),
        (_centred_mean, {"truncation", "future shock"}),
        (_full_sample_scaler, {"truncation", "future shock"}),
        (_backward_fill, {"truncation", "future shock"}),
        (_bars_to_come, {"truncation"}),
        (_time_of_the_next_bar, {"truncation", "future shock"}),
        (_view_of_the_input, {"aliasing"}),
        (_overwrites_its_input, {"aliasing"}),
    ],
)
def test_planted_leak_in_a_whole_array_function_is_found(
    function: Callable[[Rows], Rows], kinds: set[str]
) -> None:
    rows = probe_rows("bars", 300, 1, empty=0.3)
    findings = check_function("planted", ["planted"], function, rows)
    assert {finding.kind for finding in findings} == kinds
    assert {finding.feature for finding in findings} == {"planted"}


def test_finding_names_the_feature_the_first_row_and_both_values() -> None:
    rows = probe_rows("bars", 40, 1)

    def two(r: Rows) -> Rows:
        return np.hstack([_causal_mean(r), _one_bar_peek(r)])

    [truncated] = check_function("two", ["mean", "peek"], two, rows, cuts=[20])[1:]
    assert truncated.kind == "truncation"
    assert (truncated.feature, truncated.row) == ("peek", 20)
    assert truncated.expected == rows[21, CLOSE]
    assert np.isnan(truncated.found)
    assert "peek: truncation changes row 20 from" in str(truncated)


def test_function_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="returns shape"):
        check_function("flat", ["a"], lambda r: r[:, CLOSE], probe_rows("bars", 30, 1))


def _pack_of(*steps: tuple[str, Callable[..., None]]) -> Pack:
    kernels = tuple(
        Kernel(step, (Feature(name, "", "", ""),), (), state_size=1, warmup=0)
        for name, step in steps
    )
    return Pack("planted", "1", "", "bars", kernels)


@dataclass
class _WritesBack:
    """A step with a memory of its own that improves on outputs it gave before."""

    how: str
    outs: list[np.ndarray] = field(default_factory=list)
    closes: list[float] = field(default_factory=list)

    def __call__(self, bar: Rows, _params: Rows, state: Rows, out: Rows) -> None:
        if state[0] == 0.0:
            self.outs.clear()
            self.closes.clear()
            state[0] = 1.0
        self.outs.append(out)
        self.closes.append(float(bar[CLOSE]))
        getattr(self, self.how)()

    def peek(self) -> None:
        self.outs[-1][0] = np.nan
        if len(self.outs) > 1:
            self.outs[-2][0] = self.closes[-1]

    def centred(self) -> None:
        self.outs[-1][0] = self.closes[-1]
        if len(self.closes) >= 3:
            self.outs[-2][0] = float(np.mean(self.closes[-3:]))

    def scaled(self) -> None:
        spread = float(np.std(self.closes)) + 1e-12
        for place, close in zip(self.outs, self.closes, strict=True):
            place[0] = (close - float(np.mean(self.closes))) / spread


@pytest.mark.parametrize("how", ["peek", "centred", "scaled"])
def test_step_that_rewrites_its_past_is_found(how: str) -> None:
    rows = probe_rows("bars", 60, 3)
    findings = check_pack(_pack_of(("planted", _WritesBack(how))), rows)
    assert {"truncation", "streaming"} <= {finding.kind for finding in findings}


def test_step_whose_memory_outlives_the_walk_is_found() -> None:
    total = [0.0]

    def cumulated(bar: Rows, params: Rows, state: Rows, out: Rows) -> None:
        total[0] += bar[VOLUME]
        out[0] = total[0]

    findings = check_pack(_pack_of(("cumulated", cumulated)), probe_rows("bars", 60, 3))
    assert {"repeat", "restart", "streaming"} <= {finding.kind for finding in findings}


def test_step_that_keeps_the_row_it_was_shown_is_found() -> None:
    shown: list[np.ndarray] = []

    def previous(bar: Rows, params: Rows, state: Rows, out: Rows) -> None:
        out[0] = shown[-1][CLOSE] if state[0] > 0.0 else 0.0
        state[0] = 1.0
        shown.append(bar)

    findings = check_pack(_pack_of(("previous", previous)), probe_rows("bars", 60, 3))
    assert any(finding.kind == "streaming" for finding in findings)


@dataclass(frozen=True)
class _UsersPack(Pack):
    """A pack of a class of its own is examined like any other."""


def test_leak_is_found_in_the_one_feature_that_has_it() -> None:
    core = packs()["core"]
    planted = Kernel(
        _WritesBack("peek"), (Feature("planted", "", "", ""),), (), state_size=1, warmup=500
    )
    mixed = _UsersPack("mixed", "1", "", "bars", (*core.kernels[:4], planted, *core.kernels[4:]))
    findings = check_pack(mixed, probe_rows("bars", 300, 3))
    assert {finding.feature for finding in findings} == {"planted"}


@step_kernel
def _reaches_beyond(bar, params, state, out):  # type: ignore[no-untyped-def]
    out[0] = bar[int(params[0]) + CLOSE]


def test_compiled_step_that_reaches_beyond_its_row_never_gets_the_next_bar() -> None:
    """Compiled code doesn't check bounds; in one matrix the next row would lie there."""
    rows = probe_rows("bars", 60, 3)
    kernel = Kernel(
        _reaches_beyond,
        (Feature("beyond", "", "", ""),),
        (float(len(BAR_FIELDS)),),
        state_size=0,
        warmup=0,
    )
    assert np.isnan(walk_kernel(kernel, rows)).all()


def test_shock_leaves_the_past_and_changes_all_that_follows() -> None:
    rows = probe_rows("bars", 100, 1, empty=0.0, unknown=0.0)
    other = shocked(rows, 40, 9)
    np.testing.assert_array_equal(other[:41], rows[:41])
    changed = other[41:] != rows[41:]
    assert changed[rows[41:] != 0.0].all()
    np.testing.assert_array_equal(shocked(rows, 40, 9), other)


def test_probe_rows_show_every_hard_side_and_repeat_with_their_seed() -> None:
    rows = probe_rows("bars", 3000, 1)
    assert (rows[:, VOLUME] == 0).mean() == pytest.approx(0.1, abs=0.03)
    assert 0.02 < np.isnan(rows[:, -1]).mean() < 0.3
    assert (np.diff(rows[:, TS]) > 60_000_000).sum() > 5
    assert (np.diff(rows[:, TS]) > 0).all()
    np.testing.assert_array_equal(probe_rows("bars", 3000, 1), rows)
    assert isinstance(LeakFinding("a", "repeat", 0, 1.0, 2.0), LeakFinding)
