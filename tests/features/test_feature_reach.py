"""How many bars a single odd bar stays in a feature, found by changing one and looking."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vostok_core.features.inputs import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    QUOTE_VOLUME,
    S_ITEMS,
    S_SCORE_ABS_SUM,
    S_SCORE_SUM,
    VOLUME,
    VWAP,
)
from vostok_core.features.leaks import probe_rows
from vostok_core.features.reading import settled
from vostok_core.features.registry import Kernel, packs
from vostok_core.features.walk import walk_kernel
from vostok_core.times import MINUTE

PRICES = (OPEN, HIGH, LOW, CLOSE, VWAP)
KERNELS = [
    pytest.param(pack.inputs, kernel, id=f"{pack.name}-{kernel.outputs[0].name}")
    for pack in packs().values()
    for kernel in pack.kernels
    if not kernel.capped
]


def reach(inputs: str, kernel: Kernel) -> int:
    """The greatest number of bars after which an output still differs by a millionth."""
    count = 2 * kernel.warmup + 120
    bare = replace(kernel, warmup=0)
    rows = probe_rows(inputs, count, 3, gaps=0.0, unknown=0.0)
    undisturbed = walk_kernel(bare, rows)
    farthest = -1
    for at in (kernel.warmup + 60, kernel.warmup + 67):
        odd = rows.copy()
        if inputs == "bars":
            odd[at, PRICES] *= 1.01
            odd[at, HIGH] *= 1.02
            odd[at, LOW] *= 0.98
            odd[at, (VOLUME, QUOTE_VOLUME)] += 3.0
        else:
            odd[at, S_ITEMS] += 2.0
            odd[at, S_SCORE_SUM] += 0.7
            odd[at, S_SCORE_ABS_SUM] += 0.9
        same = np.isclose(
            walk_kernel(bare, odd), undisturbed, rtol=1e-6, atol=1e-9, equal_nan=True
        ).all(axis=1)
        assert same[:at].all()
        assert not same.all()
        farthest = max(farthest, int(np.flatnonzero(~same)[-1]) - at)
    return farthest


@pytest.mark.parametrize(("inputs", "kernel"), KERNELS)
def test_what_is_settled_holds_nothing_of_a_broken_bar(inputs: str, kernel: Kernel) -> None:
    bars = np.arange(1, kernel.warmup + 4, dtype=np.int64) * MINUTE
    far = settled(bars, bars[:1], kernel.warmup * MINUTE)
    assert int(np.argmax(far)) > reach(inputs, kernel)
    assert far[-1]
    assert not far[0]


@pytest.mark.parametrize(("inputs", "kernel"), KERNELS)
def test_no_feature_remembers_a_bar_for_longer_than_its_warmup(inputs: str, kernel: Kernel) -> None:
    assert reach(inputs, kernel) <= kernel.warmup
