"""Parameters of a request: texts in, values out, Binance's faults for what can't be used.

Every endpoint reads what it knows and then says so with `done`: whatever is left over is a fault
too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, NoReturn, TypeVar, get_args
from urllib.parse import unquote_plus

from vostok_core.times import DAY, HOUR, MILLISECOND, MINUTE
from vostok_exchange.drafts import PREVENTIONS
from vostok_exchange.klines import INTERVALS
from vostok_exchange.matching import Side
from vostok_exchange.orders import OrderType, TimeInForce
from vostok_exchange.protocol.faults import BAD_COMBINATION, Fault, invalid, missing
from vostok_exchange.venue import Restriction

T = TypeVar("T")

MOST = 1_000
"""The most rows that an answer has, but a book's, which has up to `DEEPEST`."""
DEEPEST = 5_000

_SHORTEST_MICROSECONDS = 10**14  # in milliseconds, that is the year 5138
_LATEST = _SHORTEST_MICROSECONDS * MILLISECOND  # whatever is later is after everything as well
_LONG_MAX = 2**63 - 1


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A kind of value.

    Attributes:
        pattern: What its text must match whole.
        range: How Binance writes that pattern.
        parse: Reads the text.
        fault: What is said of a text that doesn't match, where it isn't -1100.
    """

    pattern: re.Pattern[str]
    range: str
    parse: Callable[[str], T]
    fault: Fault | None = None


def _long(text: str) -> int:
    value = int(text)
    if value > _LONG_MAX:
        raise OverflowError
    return value


def _time(text: str) -> int:
    value = _long(text)
    return min(value if value >= _SHORTEST_MICROSECONDS else value * MILLISECOND, _LATEST)


def _end_time(text: str) -> int:
    """A millisecond is meant whole."""
    value = _time(text)
    return value if value == int(text) else value + MILLISECOND - 1


def _one_of(
    values: Iterable[str], fault: Fault | None = None, parse: Callable[[str], Any] = str
) -> Kind[Any]:
    pattern = "|".join(map(re.escape, values))
    return Kind(re.compile(pattern), f"^({pattern})$", parse, fault)


SYMBOL: Kind[str] = Kind(re.compile(r"[A-Z0-9_.\-]{1,50}"), r"^[\w\-._&&[^a-z]]{1,50}$", str)
CLIENT_ID: Kind[str] = Kind(re.compile(r"[a-zA-Z0-9\-_]{1,36}"), r"^[a-zA-Z0-9-_]{1,36}$", str)
LONG: Kind[int] = Kind(re.compile(r"[0-9]{1,20}"), r"^[0-9]{1,20}$", _long)
TIME: Kind[int] = Kind(re.compile(r"[0-9]{1,20}"), r"^[0-9]{1,20}$", _time)
END_TIME: Kind[int] = Kind(TIME.pattern, TIME.range, _end_time)
DECIMAL: Kind[Decimal] = Kind(
    re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?"), r"^([0-9]{1,20})(\.[0-9]{1,20})?$", Decimal
)
TEXT: Kind[str] = Kind(re.compile(r".*"), "^.*$", str)
BOOLEAN: Kind[bool] = _one_of(("true", "false"), parse=lambda text: text == "true")
SIDE: Kind[Side] = _one_of(get_args(Side), Fault(-1117, "Invalid side."))
TYPE: Kind[OrderType] = _one_of(get_args(OrderType), Fault(-1116, "Invalid orderType."))
TIME_IN_FORCE: Kind[TimeInForce] = _one_of(
    get_args(TimeInForce), Fault(-1115, "Invalid timeInForce.")
)
INTERVAL: Kind[str] = _one_of(INTERVALS, Fault(-1120, "Invalid interval."))
RESTRICTION: Kind[Restriction] = _one_of(
    get_args(Restriction), Fault(-1145, "Invalid cancelRestrictions")
)
PREVENTION: Kind[str] = _one_of(
    (*PREVENTIONS, "NONE", "DECREMENT", "TRANSFER"), invalid("selfTradePreventionMode")
)
RESPONSE: Kind[str] = _one_of(("ACK", "RESULT", "FULL"), invalid("newOrderRespType"))
MODE: Kind[Any] = _one_of(("STOP_ON_FAILURE", "ALLOW_FAILURE"), invalid("cancelReplaceMode"))
TICKER: Kind[str] = _one_of(("FULL", "MINI"), Fault(-1139, "Invalid ticker type."))
STATUS: Kind[str] = _one_of(("TRADING", "HALT", "BREAK"), Fault(-1122, "Invalid symbolStatus."))


class Parameters:
    """A request's parameters.

    Args:
        values: Name -> text, as sent.

    Attributes:
        values: See above.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self._read: set[str] = set()

    @classmethod
    def of_query(cls, *queries: str) -> Parameters:
        """Those of percent-encoded queries; in the first that has a name, it counts.

        Raises:
            Fault: One of them has a name twice.
        """
        values: dict[str, str] = {}
        for query in reversed(queries):
            here: dict[str, str] = {}
            for part in filter(None, query.split("&")):
                name, _, text = part.partition("=")
                if name in here:
                    raise Fault(-1101, "Duplicate values for a parameter detected.")
                here[name] = unquote_plus(text)
            values |= here
        return cls(values)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def optional(self, name: str, kind: Kind[T]) -> T | None:
        """A value, None where it wasn't sent.

        Raises:
            Fault: It can't be used.
        """
        text = self.values.get(name)
        if text is None:
            return None
        self._read.add(name)
        if not text:
            raise Fault(-1105, f"Parameter '{name}' was empty.")
        if not kind.pattern.fullmatch(text):
            raise kind.fault or Fault(
                -1100,
                f"Illegal characters found in parameter '{name}'; legal range is '{kind.range}'.",
            )
        try:
            return kind.parse(text)
        except OverflowError:
            raise Fault(-1108, f"Parameter '{name}' overflowed.") from None

    def required(self, name: str, kind: Kind[T]) -> T:
        """A value that must be sent.

        Raises:
            Fault: It wasn't, or can't be used.
        """
        value = self.optional(name, kind)
        if value is None:
            raise missing(name)
        return value

    def limit(self, default: int = 500, most: int = MOST) -> int:
        """How many rows are wanted, `most` at most."""
        limit = self.optional("limit", LONG)
        if limit == 0:
            raise invalid("limit")
        return default if limit is None else min(limit, most)

    def names(self, name: str) -> list[str] | None:
        """A list of symbols, written as JSON."""
        text = self.optional(name, TEXT)
        if text is None:
            return None
        try:
            names = json.loads(text)
        except (ValueError, RecursionError):
            names = None
        if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
            raise invalid(name)
        if len(set(names)) < len(names):
            raise Fault(-1151, "Symbol is present multiple times in the list.")
        return names

    def zone(self) -> int:
        """`timeZone` in microseconds."""
        text = self.optional("timeZone", TEXT)
        if text is None:
            return 0
        match = re.fullmatch(r"([+-]?)(\d{1,2})(?::(\d{2}))?", text)
        if match is None:
            raise invalid("timeZone")
        shift = int(match[2]) * HOUR + int(match[3] or 0) * MINUTE
        shift = -shift if match[1] == "-" else shift
        if not -12 * HOUR <= shift <= 14 * HOUR:
            raise invalid("timeZone")
        return shift

    def window(self, *, within_a_day: bool = False) -> tuple[int | None, int | None]:
        """`startTime` and `endTime`, microseconds, both included."""
        start, end = self.optional("startTime", TIME), self.optional("endTime", END_TIME)
        long = start is not None and end is not None and end - start >= DAY + MILLISECOND
        if within_a_day and long:
            raise Fault(-1127, "More than 24 hours between startTime and endTime.")
        return start, end

    def either(self, *names: str) -> None:
        """At most one of these may be sent."""
        if sum(name in self for name in names) > 1:
            raise BAD_COMBINATION

    def done(self) -> None:
        """All that is known here has been read.

        Raises:
            Fault: More was sent.
        """
        sent, read = len(self.values), len(self._read)
        if sent > read:
            self._too_many(sent, read)

    @staticmethod
    def _too_many(sent: int, read: int) -> NoReturn:
        if read == 0:
            raise Fault(-1101, f"Too many parameters; expected '0' and received '{sent}'.")
        raise Fault(
            -1104,
            f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'.",
        )
