"""Whether a file is of the instrument that it is ingested for."""

from __future__ import annotations

import re

from vostok_core.market.instrument import Instrument
from vostok_pipelines.sources.common import Delimited
from vostok_pipelines.sources.text import shortened

_SAME = {"XBT": "BTC", "XDG": "DOGE"}
"""Names of currencies that some exchanges write otherwise."""


def same_symbol(symbol: str, instrument: Instrument) -> bool:
    """Whether an exchange's symbol, such as `BTC-USDT` or `XBTUSD`, means the instrument's pair."""
    plain = re.sub(r"[^A-Z0-9]", "", symbol.upper())
    base, quote = (_names(currency) for currency in (instrument.id.base, instrument.id.quote))
    return any(plain == b + q for b in base for q in quote)


def _names(currency: str) -> set[str]:
    name = _SAME.get(currency.upper(), currency.upper())
    return {name} | {other for other, same in _SAME.items() if same == name}


def require_symbol(parsed: Delimited, column: str, instrument: Instrument) -> str:
    """The symbol that all rows are of, if it is the instrument's.

    Raises:
        SourceFormatError: Rows are of another, or of several.
    """
    symbol = str(parsed.frame[column][0] or "")
    if not same_symbol(symbol, instrument):
        raise parsed.refuse(
            0, f"{column} is {shortened(symbol)!r}, which is not that of {instrument.id}"
        )
    parsed.require(
        parsed.frame[column] == symbol, column, f"{shortened(symbol)} like the first line's"
    )
    return symbol
