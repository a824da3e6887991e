"""Which bars nothing was wrong with when they closed, told while trades come in.

The batch finds gaps, silences and jumps in a whole day of ticks (`market.quality.inspect`) and asks
which bars had closed before they showed (`market.quality.valid`). Here the same spans are found as
trades come, so the same bars are valid.
"""

from __future__ import annotations

import numpy as np

from vostok_core.compiled import nb
from vostok_core.market.instrument import Instrument
from vostok_core.market.quality import JUMP

# State: 1 when a trade was seen, newest time, its id, id of the last trade beneath it (-1: none).
_SEEN, _NEWEST, _ID, _LAST_BENEATH = range(4)

_INTS = nb.int64[::1]
_FLOATS = nb.float64[::1]


@nb.njit(
    nb.int64(
        _INTS, _INTS, _INTS, _INTS, _FLOATS, nb.int64, nb.boolean, _INTS, _FLOATS, nb.int64[:, ::1]
    ),
    cache=True,
    nogil=True,
)
def _watch(ts, ids, first, last, price, max_silence, spot, state, priced, spans):  # type: ignore[no-untyped-def]
    """Write spans (when it showed, when it ended) that trades bring to light; how many."""
    found = 0
    for n in range(ts.size):
        newest = max(state[_NEWEST], ts[n])
        if state[_SEEN] == 1:
            if newest - state[_NEWEST] > max_silence:
                spans[found, 0] = state[_NEWEST] + max_silence
                spans[found, 1] = newest
                found += 1
            if state[_ID] >= 0:
                step = ids[n] - state[_ID]
                known = state[_LAST_BENEATH] >= 0 and first[n] >= 0
                beneath = first[n] - state[_LAST_BENEATH] if known else 1
                broken = step != 1 or beneath != 1
                if known and beneath <= 1:
                    broken = False
                elif step == 1:
                    broken = broken and spot
                if broken:
                    spans[found, 0] = newest
                    spans[found, 1] = newest
                    found += 1
            if price[n] > priced[0] * JUMP or price[n] * JUMP < priced[0]:
                spans[found, 0] = newest
                spans[found, 1] = newest
                found += 1
        state[_SEEN] = 1
        state[_NEWEST] = newest
        state[_ID] = ids[n]
        state[_LAST_BENEATH] = last[n]
        priced[0] = price[n]
    return found


class Validity:
    """Watches the trades of an instrument that has ids of its exchange.

    Args:
        instrument: Its `max_silence`, and whether it is a spot market.
        start: Where nothing is known of trades before, the time that silence is counted from,
            microseconds.
        previous: Time, id, last id beneath (-1: none) and price of the newest trade before `start`.
    """

    def __init__(
        self,
        instrument: Instrument,
        start: int,
        previous: tuple[int, int, int, float] | None = None,
    ) -> None:
        self._max_silence = instrument.max_silence
        self._spot = instrument.id.market == "spot"
        ts, trade_id, beneath, price = previous or (start, -1, -1, np.nan)
        self._state = np.array([1, ts, trade_id, beneath], dtype=np.int64)
        self._price = np.array([price])  # of the newest trade; from none, nothing jumps
        self._spans = np.empty((0, 2), dtype=np.int64)

    def push(
        self,
        ts: np.ndarray,
        ids: np.ndarray,
        first: np.ndarray,
        last: np.ndarray,
        price: np.ndarray,
    ) -> None:
        """See trades, in id order.

        Args:
            ts: Times, int64 microseconds.
            ids: Their ids.
            first: Id of the first trade beneath each; -1 where there is none.
            last: Id of the last one.
            price: Their prices, float64.
        """
        room = np.empty((3 * ts.size, 2), dtype=np.int64)
        found = _watch(
            *(ts, ids, first, last, price, self._max_silence, self._spot),
            *(self._state, self._price, room),
        )
        if found:
            self._spans = np.concatenate((self._spans, room[:found]))

    def valid(self, ends: np.ndarray, interval_us: int) -> np.ndarray:
        """Whether bars were valid when they closed.

        Args:
            ends: Ends of bars that have closed since the last call, int64 microseconds.
            interval_us: Length of a bar.

        Returns:
            Boolean, shape of `ends`.
        """
        ends = np.asarray(ends, dtype=np.int64)
        silent = self._state[_NEWEST] + self._max_silence
        good: np.ndarray = ends <= silent
        for shown, end in self._spans:
            good &= (ends <= shown) | (ends - interval_us > end)
        if ends.size:
            self._spans = self._spans[self._spans[:, 1] >= ends[-1]]
        return good
