"""How each exchange shows its trades, as far as that matters for going through them.

What is written here is what the exchange's documentation and ccxt say, not what was guessed from
answers. An exchange that isn't here is declared in `vostok.toml` ([exchanges.NAME]).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from vostok_core.errors import UsageError
from vostok_core.lake.exchanges import ADDRESS_FILE, exchange_folder
from vostok_core.market.instrument import Instrument
from vostok_core.settings import FILE_NAME, ExchangeSettings, Settings
from vostok_core.times import MILLISECOND, parse_duration
from vostok_pipelines.rest.paging import Ids


@dataclass(frozen=True)
class Venue:
    """What an exchange can.

    Attributes:
        exchange: Its name in ccxt.
        by_ids: Whether its trades are gone through by their ids, which are unbroken.
        ids: What its ids are.
        page: How many trades it shows at once.
        step: What a time that is asked from is rounded down to, microseconds.
        window: Longest time that a question may span, microseconds; None where it needs no end.
        url: Where it is, instead of where ccxt knows it.
        embedded: Whether it is the one that runs on the lake, wherever that is.
    """

    exchange: str
    by_ids: bool = False
    ids: Ids = "unique"
    page: int = 1_000
    step: int = MILLISECOND
    window: int | None = None
    url: str | None = None
    embedded: bool = False

    def address(self, lake: Path) -> str | None:
        """Where it is, if that is not where ccxt knows it.

        Raises:
            UsageError: It is the embedded exchange, and that doesn't run.
        """
        if not self.embedded or self.url is not None:
            return self.url
        place = exchange_folder(lake) / ADDRESS_FILE
        try:
            return str(json.loads(place.read_text())["url"])
        except (OSError, ValueError, KeyError, TypeError):
            raise UsageError(
                "no embedded exchange runs on this lake",
                where=place,
                hint=f"start one with `vostok-exchange run --lake {lake}`",
            ) from None


EMBEDDED = "embedded"
"""Name of the exchange that runs on the lake; it speaks Binance's protocol."""

_BY_IDS = {
    name: Venue(name, by_ids=True, ids="unbroken")
    for name in ("binance", "binanceus", "binanceusdm")
}
_BY_TIME = {
    # Ids are numbered a book, but the documentation's own example has holes in them.
    "kraken": Venue("kraken", ids="unique", page=1_000, step=1),
    # Ids are numbers of all pairs together.
    "bitfinex": Venue("bitfinex", ids="unique", page=10_000),
}
_NEWEST_ONLY = (
    "bitstamp", "bybit", "coinbaseexchange", "htx", "kucoin", "okx", "poloniex",
)  # fmt: skip
"""Exchanges that, by ccxt's `fetch_trades`, show nothing but their newest trades."""


def venue_of(settings: Settings, instrument: Instrument) -> Venue:
    """How the trades of an instrument can be fetched.

    Raises:
        UsageError: They can't be, or nobody has said how.
    """
    name = instrument.id.venue
    if instrument.tick == "none":
        raise UsageError(
            f"{instrument.id} has no ticks, and trades are what is fetched by REST",
            hint="ingest its klines instead: `vostok ingest PATH --instrument "
            f"{instrument.id} --format csv --kind klines`",
        )
    exchange = settings.sources.rest.get(name)
    if exchange is None:
        raise UsageError(
            f"no exchange is named that {instrument.id} could be fetched from",
            hint=f'write [sources.rest] {name} = "<its name in ccxt>" in {FILE_NAME}',
        )
    found = _known(exchange, settings.exchanges.get(exchange))
    if instrument.tick == "agg_trade" and not found.by_ids:
        raise UsageError(
            f"a tick of {instrument.id} is declared as an aggregate trade, and {exchange} shows "
            "single trades",
            hint=f'say tick = "trade" for it in {FILE_NAME}',
        )
    return replace(found, url=settings.sources.rest_urls.get(name))


def _known(exchange: str, declared: ExchangeSettings | None) -> Venue:
    if declared is not None:
        return Venue(
            exchange,
            ids=declared.ids,
            page=declared.page,
            step=parse_duration(declared.step),
            window=None if declared.window is None else parse_duration(declared.window),
        )
    if exchange == EMBEDDED:
        return replace(_BY_IDS["binance"], embedded=True)
    if exchange in _NEWEST_ONLY:
        raise UsageError(
            f"{exchange} shows nothing but its newest trades",
            hint="record them with `vostok-live record`, or ingest its files",
        )
    try:
        return (_BY_IDS | _BY_TIME)[exchange]
    except KeyError:
        raise UsageError(
            f"it isn't known how {exchange} shows its trades",
            hint=f"declare it in {FILE_NAME}: [exchanges.{exchange}] with ids and page "
            "(docs/fetching.md)",
        ) from None
