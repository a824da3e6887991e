"""Numbers and times, written for people."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from vostok_core.market.instrument import InstrumentId
from vostok_live.service.status import Status


def decimals(step: str) -> int:
    """Digits after the point that a grid has: 2 for `0.01`, 0 for `5`."""
    exponent = Decimal(step).normalize().as_tuple().exponent
    assert isinstance(exponent, int), "a step is a number"
    return max(-exponent, 0)


def amount(value: float, digits: int = 2) -> str:
    """`12,345.60`."""
    return f"{value:,.{digits}f}"


def signed(value: float, digits: int = 2) -> str:
    """`+12.30`, `-12.30`, and `0.00` without a sign, also where a loss rounds to it."""
    text = f"{value:+,.{digits}f}"
    return text[1:] if not text.strip("+-0.,") else text


def percent(share: float, digits: int = 2) -> str:
    """A share of 1 as `12.30 %`."""
    return f"{100 * share:.{digits}f} %"


def signed_percent(share: float, digits: int = 2) -> str:
    """A share of 1 as `+12.30 %`."""
    return f"{signed(100 * share, digits)} %"


def duration(seconds: float) -> str:
    """The two largest parts: `0.4 s`, `12 s`, `41m 02s`, `3h 05m`, `2d 04h`."""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3_600}h {whole % 3_600 // 60:02d}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3_600:02d}h"


def milliseconds(value: float) -> str:
    """`0.84 ms`, `12 ms`, `1.2 s`."""
    if value >= 1_000:
        return f"{value / 1e3:.1f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.2g} ms"


def clock(us: int) -> str:
    """Time of the day, UTC: `22:31:05`."""
    return f"{datetime.fromtimestamp(us // 1_000_000, UTC):%H:%M:%S}"


def minute(us: int) -> str:
    """Day and minute, UTC: `07-21 22:31`."""
    return f"{datetime.fromtimestamp(us // 1_000_000, UTC):%m-%d %H:%M}"


def size(count: int) -> str:
    """Bytes, as `12.3 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1_000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1_000
    return f"{value:.1f} GB"


class Units:
    """How prices and quantities of an instrument are written.

    Args:
        status: Names the instrument and its grid.
    """

    def __init__(self, status: Status) -> None:
        instrument = InstrumentId.parse(status.instrument)
        self.base, self.quote = instrument.base, instrument.quote
        self._price = decimals(status.price_tick)
        self._qty = decimals(status.quantity_step)

    def price(self, value: float) -> str:
        """A price, with the digits of its grid."""
        return amount(value, self._price)

    def qty(self, value: float) -> str:
        """A quantity, likewise."""
        return amount(value, self._qty)
