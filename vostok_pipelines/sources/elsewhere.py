"""What files are called that lie beside trades and klines, and that nothing here reads.

Used only to say what was found in place of what was expected.
"""

from __future__ import annotations

import re

_TARDIS = "exchange,symbol,timestamp,local_timestamp,"
_BY_HEADER = (
    (f"{_TARDIS}asks[0].price", "Tardis's book_snapshot"),
    (f"{_TARDIS}is_snapshot", "Tardis's incremental_book_L2"),
    (f"{_TARDIS}ask_amount", "Tardis's quotes"),
    (f"{_TARDIS}funding_timestamp", "Tardis's derivative_ticker"),
    (f"{_TARDIS}type,strike_price", "Tardis's options_chain"),
    ("symbol,timestamp,first_update_id,last_update_id,side", "changes of Binance's order book"),
    ("time,bid,ask", "Kraken's spreads"),
)
_BY_LINE = (
    (re.compile(r"\d{13,19} [{\[]"), "a capture of WebSocket messages"),
    (re.compile(r"(https?|wss?)://\S+ <?-> [\d.]+"), "a capture of answers and messages"),
    (re.compile(r"[0-9a-f]{64}\s+\*?\S"), "a checksum of another file"),
)


def called(beginning: str) -> str | None:
    """What a text is called by its beginning, if it is one of these."""
    plain = beginning.lstrip("\ufeff").lower()
    for header, name in _BY_HEADER:
        if plain.startswith(header):
            return name
    return next((name for form, name in _BY_LINE if form.match(plain)), None)
