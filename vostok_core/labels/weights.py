"""How much of a label's time is its own (AFML chapter 4).

A label lives in (ts, label_end]: the move of the event's own bar was over before the decision. At
a time when c labels live, each owns 1/c of it; a label's average uniqueness is the mean of that
over its life. Computed over exact times, not over bars: on labels that begin and end with bars the
two agree.

Average uniqueness is the only sample weight. Weighting by |return| as well would make the trees
estimate something other than the probability that the decision compares with its threshold.
"""

from __future__ import annotations

import numpy as np

from vostok_core.compiled import nb

_TIMES = nb.int64[::1]


@nb.njit(nb.float64[::1](_TIMES, _TIMES, _TIMES, _TIMES), cache=True, nogil=True)
def _average_uniqueness(starts, ends, sorted_starts, sorted_ends):  # type: ignore[no-untyped-def]
    n = starts.shape[0]
    times = np.empty(2 * n, dtype=np.int64)
    owned = np.empty(2 * n)  # integral of 1/c up to each boundary
    i = j = size = alive = 0
    total = 0.0
    while j < n:
        start = sorted_starts[i] if i < n else sorted_ends[n - 1]
        now = min(start, sorted_ends[j])
        if alive > 0:
            total += (now - times[size - 1]) / alive
        times[size] = now
        owned[size] = total
        size += 1
        while i < n and sorted_starts[i] == now:
            alive += 1
            i += 1
        while j < n and sorted_ends[j] == now:
            alive -= 1
            j += 1
    out = np.empty(n)
    for k in range(n):
        first = np.searchsorted(times[:size], starts[k])
        last = np.searchsorted(times[:size], ends[k])
        out[k] = min(1.0, (owned[last] - owned[first]) / (ends[k] - starts[k]))
    return out


def average_uniqueness(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Average uniqueness of every label among all of them.

    Args:
        starts: Decision times in microseconds, int64.
        ends: Label ends, each later than its start.

    Returns:
        float64 in (0, 1], in the order given. Time O(n log n), memory O(n).

    Raises:
        ValueError: A label doesn't end after it starts.
    """
    starts = np.ascontiguousarray(starts, dtype=np.int64)
    ends = np.ascontiguousarray(ends, dtype=np.int64)
    if np.any(ends <= starts):
        raise ValueError("a label must end after it starts")
    weights: np.ndarray = _average_uniqueness(starts, ends, np.sort(starts), np.sort(ends))
    return weights
