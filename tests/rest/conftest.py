"""Fixtures: exchanges that are running, and a project that knows their addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.protocol.conftest import made
from tests.rest.exchanges import Binance, Faulty, InThread, Kraken, serving
from vostok_core.times import HOUR, day_start
from vostok_exchange.clock import SteppedClock
from vostok_exchange.server import Server
from vostok_pipelines.rest.trades import Trade


def _running(kind: type[Faulty]) -> Callable[..., Any]:
    @contextmanager
    def run(trades: Sequence[Trade], page: int = 1_000) -> Iterator[tuple[Faulty, str]]:
        exchange = kind(trades, page)
        with serving(exchange.app) as server:
            yield exchange, server.url

    return run


@pytest.fixture
def kraken() -> Callable[..., Any]:
    """`with kraken(trades, page=…) as (exchange, url)`."""
    return _running(Kraken)


@pytest.fixture
def binance() -> Callable[..., Any]:
    """`with binance(trades, page=…) as (exchange, url)`."""
    return _running(Binance)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The embedded exchange, and its archive: two days are over, and an hour of the third."""
    folder = tmp_path_factory.mktemp("exchange")
    first = date(2025, 3, 29)
    setup = made(first, day_start(date(2025, 3, 31)) + HOUR, rate=3.0)

    async def serve(at: Callable[[str], None], stop: Any) -> None:
        async with Server(folder, setup=setup, clock=SteppedClock) as server:
            at(server.url)
            await stop.wait()

    with InThread(serve) as running:
        yield folder / "archive", running.url


TOML = """
[lake]
root = "lake"
[calendar]
start = 2018-01-01
[sources.archives]
[sources.feeds]
[sources.rest]
kraken = "kraken"
demo = "binance"
[sources.rest_urls]
{urls}
[instruments."kraken.spot.EOS-USD"]
tick = "trade"
price_tick = "0.0001"
quantity_step = "0.00000001"
max_silence = "2h"
[instruments."demo.spot.ABC-USDT"]
tick = "{tick}"
price_tick = "0.01"
quantity_step = "0.001"
max_silence = "10m"
"""


@pytest.fixture
def project_at(tmp_path: Path) -> Callable[..., Any]:
    """`project_at(demo=url)`: a project whose venues are at these addresses."""
    from vostok_core.project import find_project

    def make(tick: str = "agg_trade", **urls: str) -> Any:
        lines = "\n".join(f'{venue} = "{url}"' for venue, url in urls.items())
        (tmp_path / "vostok.toml").write_text(TOML.format(urls=lines, tick=tick))
        return find_project(tmp_path, {})

    return make
