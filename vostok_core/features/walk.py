"""Running a pack: over many bars at once, or one bar at a time. The step functions are the same.

A walk starts at `anchor(day)` and runs forward, so that any causal function, recursive ones
included, has the same bits however its days were materialized, and live.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
from numba.core.dispatcher import Dispatcher

from vostok_core.compiled import nb
from vostok_core.features.registry import STEP_TYPE, Kernel, Pack
from vostok_core.times import DAY

_MATRIX = nb.float64[:, ::1]


@nb.njit(
    nb.void(STEP_TYPE, _MATRIX, nb.float64[::1], nb.float64[::1], _MATRIX), cache=True, nogil=True
)
def _walk(step, rows, params, state, out):  # type: ignore[no-untyped-def]
    # A step sees a copy of its row, with NaN behind it: compiled code checks no bounds, and this
    # way it can't reach the next row, nor change what others read.
    width = rows.shape[1]
    bar = np.full(2 * width, np.nan)[:width]
    for i in range(rows.shape[0]):
        bar[:] = rows[i]
        step(bar, params, state, out[i])


def anchor(day: date, warmup_bars: int, interval_us: int) -> date:
    """The day that the walk for `day` starts at: the first of its month less the warm-up."""
    warmup_days = -(-warmup_bars * interval_us // DAY)
    return day.replace(day=1) - timedelta(days=warmup_days)


def reach(day: date, warmup_bars: int, interval_us: int) -> date:
    """The last day whose walk runs over `day`: the end of its month, or of a later one whose
    warm-up begins in time."""
    last = _month_end(day)
    while anchor(last + timedelta(days=1), warmup_bars, interval_us) <= day:
        last = _month_end(last + timedelta(days=1))
    return last


def _month_end(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def walk(pack: Pack, rows: np.ndarray) -> np.ndarray:
    """Every feature of a pack for every bar.

    Args:
        pack: The pack.
        rows: Inputs, shape (bars, fields), float64, in time order, starting at the anchor.

    Returns:
        Shape (bars, features), float64; NaN where a feature is in its warm-up.

    Time is linear in bars times kernels; memory is the output.
    """
    return Stream(pack).replay(rows)


def walk_kernel(kernel: Kernel, rows: np.ndarray) -> np.ndarray:
    """The outputs of one kernel for every bar, shape (bars, outputs); arguments as in `walk`."""
    return _Running(kernel).replay(np.ascontiguousarray(rows, dtype=np.float64), 0)


class _Running:
    """A kernel with its state."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._step = kernel.step
        self._params = np.array(kernel.params, dtype=np.float64)
        self._state = np.zeros(kernel.state_size)

    def update(self, bar: np.ndarray, out: np.ndarray, bars_before: int) -> None:
        self._step(bar, self._params, self._state, out)
        if bars_before < self.kernel.warmup:
            out[:] = np.nan

    def replay(self, rows: np.ndarray, bars_before: int) -> np.ndarray:
        out = np.empty((rows.shape[0], len(self.kernel.outputs)))
        if isinstance(self._step, Dispatcher):
            _walk(self._step, rows, self._params, self._state, out)
        else:  # a step that isn't compiled, as one is first tried out
            for row, place in zip(rows, out, strict=True):
                self._step(row.copy(), self._params, self._state, place)
        out[: max(self.kernel.warmup - bars_before, 0)] = np.nan
        return out


class Stream:
    """A pack that is fed bars from the anchor on: one at a time, or many to catch up."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.bars = 0
        self._kernels = [_Running(kernel) for kernel in pack.kernels]
        self._places = []
        column = 0
        for kernel in pack.kernels:
            self._places.append(slice(column, column + len(kernel.outputs)))
            column += len(kernel.outputs)
        self._width = column
        self._bar = np.full(2 * len(pack.fields), np.nan)[: len(pack.fields)]

    def update(self, row: np.ndarray) -> np.ndarray:
        """Consume one bar (shape (fields,)) and return its features (shape (features,)).

        Raises:
            ValueError: The row has another shape.
        """
        if row.shape != self._bar.shape:
            raise ValueError(f"a row of shape {row.shape} for {len(self.pack.fields)} fields")
        out = np.empty(self._width)
        for kernel, place in zip(self._kernels, self._places, strict=True):
            self._bar[:] = row
            kernel.update(self._bar, out[place], self.bars)
        self.bars += 1
        return out

    def replay(self, rows: np.ndarray) -> np.ndarray:
        """Consume many bars (shape (bars, fields)) and return their features, the same bits as
        `update` gives one by one (shape (bars, features)).

        Raises:
            ValueError: The rows have another shape.
        """
        if rows.ndim != 2 or rows.shape[1] != self._bar.shape[0]:
            raise ValueError(f"rows of shape {rows.shape} for {len(self.pack.fields)} fields")
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        out = np.empty((rows.shape[0], self._width))
        for kernel, place in zip(self._kernels, self._places, strict=True):
            out[:, place] = kernel.replay(rows, self.bars)
        self.bars += rows.shape[0]
        return out
