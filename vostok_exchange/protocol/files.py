"""What the exchange hands out besides: the archive's daily files, the news, its clocks.

    GET /data/spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2025-01-06.zip   and .CHECKSUM
    GET /feed.xml
    GET /vostok/clock

A day is in the archive once it is over by market time. The clocks are no part of Binance's
protocol: where market time is not the wall's, a daemon has to learn it somewhere.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from aiohttp import web

from vostok_core.times import day_of
from vostok_exchange.protocol.exchange import Exchange

_FILE = re.compile(
    r"(?P<kind>aggTrades|trades)/(?P<symbol>[A-Z0-9]+)/"
    r"(?P=symbol)-(?P=kind)-(?P<day>\d{4}-\d\d-\d\d)\.zip(\.CHECKSUM)?"
)


class Files:
    """Hands out files.

    Args:
        exchange: Whose they are.
        archive: The archive's folder.
    """

    def __init__(self, exchange: Exchange, archive: Path) -> None:
        self._exchange = exchange
        self._archive = archive

    def add_routes(self, app: web.Application) -> None:
        """Open the doors."""
        app.router.add_get("/data/spot/daily/{file:.*}", self._daily)
        app.router.add_get("/feed.xml", self._feed)
        app.router.add_get("/vostok/clock", self._clock)

    async def _daily(self, request: web.Request) -> web.StreamResponse:
        match = _FILE.fullmatch(request.match_info["file"])
        today = day_of(self._exchange.now())
        path = self._archive / "data" / "spot" / "daily" / request.match_info["file"]
        if match is None or not _is_before(match["day"], today) or not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path)

    async def _feed(self, _request: web.Request) -> web.Response:
        self._exchange.now()
        document = self._exchange.desk.news()
        return web.Response(text=document, content_type="application/rss+xml", charset="utf-8")

    async def _clock(self, _request: web.Request) -> web.Response:
        return web.json_response(self._exchange.times())


def _is_before(text: str, today: date) -> bool:
    try:
        return date.fromisoformat(text) < today
    except ValueError:
        return False
