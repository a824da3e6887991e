"""`vostok-exchange`: running the embedded exchange from a shell."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from vostok_core.errors import UnknownName, UsageError, VostokError
from vostok_core.lake.exchanges import SETUP_FILE, demo_exchange, exchange_folder
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.synthetic import MarketSpec
from vostok_core.times import MINUTE, SECOND, day_of, parse_duration, utc
from vostok_exchange.clock import MarketClock
from vostok_exchange.server import Server
from vostok_exchange.settings import Key, Setup, demo_account
from vostok_exchange.world import Market

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

_INTERRUPTED = 130
_MARKETS = ("demo.spot.EDGE-USDT:edge=0.25", "demo.spot.NULL-USDT")
_MIN_NOTIONAL = Decimal(5)
_MAX_SILENCE = parse_duration("10m")
_BNB_PRICE = Decimal(600)

StateOption = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="Folder that the exchange keeps.")
]
LakeOption = Annotated[
    Path | None,
    typer.Option(
        "--lake",
        metavar="DIR",
        help="A lake: the exchange keeps LAKE/exchange and hands out LAKE/archive. Where the lake "
        "has none, and the demo has left one, that goes on.",
    ),
]
ArchiveOption = Annotated[
    Path | None,
    typer.Option("--archive", metavar="DIR", help="Folder of the daily trade files."),
]
MarketOption = Annotated[
    list[str] | None,
    typer.Option(
        "--market",
        metavar="ID[:KEY=VALUE,...]",
        help="A market of a new exchange; can be given several times. Keys are those of "
        f"MarketSpec, such as edge. By default {' and '.join(_MARKETS)}.",
    ),
]


@app.callback()
def options() -> None:
    """An exchange of synthetic markets that speaks Binance's spot protocol on this machine.

    \b
    Start one, and it is there when you start it again:
      vostok-exchange run --state exchange
      vostok-exchange key --state exchange     what to trade on it with

    Point a client at it by replacing the addresses that it knows, as docs/exchange.md shows.
    """


@app.command()
def run(
    state: StateOption = None,
    lake: LakeOption = None,
    archive: ArchiveOption = None,
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 for any that is free.")] = 8731,
    speed: Annotated[
        float, typer.Option(min=0.001, help="Seconds of market time in a second.")
    ] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Seed of a new exchange's world.")] = None,
    market: MarketOption = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Market time at which a new exchange opens, such as 2025-03-31 or "
            "2025-03-31T12:00; by default now.",
        ),
    ] = None,
    history: Annotated[
        int | None,
        typer.Option(min=0, metavar="DAYS", help="Whole days before it opens, by default 1."),
    ] = None,
    *,
    catch_up: Annotated[
        bool,
        typer.Option(
            "--catch-up",
            help="Begin at the wall's time, where that is later: let happen at once what would "
            "have happened since the exchange was stopped.",
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Add the traceback to an error.")] = False,
) -> None:
    """Run the exchange until Ctrl-C or SIGTERM. It goes on from there when it is started again.

    \b
    Its folder is made by the first start, with an account of 100,000 USDT and 50 BNB. How a new
    exchange is set up (--seed, --market, --start, --history) can't be changed afterwards.

    \b
    Examples:
      vostok-exchange run --state exchange
      vostok-exchange run --state fast --speed 60 --seed 7 --start 2025-03-31 --history 7
      vostok-exchange run --state calm --market demo.spot.ABC-USDT:trades_per_minute=2,edge=0.1
      vostok-exchange run --lake data_lake --port 0

    The address is printed and, while it runs, stands in address.json in its folder.
    """
    with _reported(debug=debug):
        folder = _folder(state, lake)
        new = {"--seed": seed, "--market": market, "--start": start, "--history": history}
        if (folder / SETUP_FILE).exists():
            given = [name for name, value in new.items() if value is not None]
            if given:
                raise UsageError(
                    f"{given[0]} is for a new exchange, and there is one here",
                    where=folder,
                    hint=f"leave {given[0]} out to go on with it, or name another folder",
                )
            setup = None
        else:
            setup = _setup(1 if seed is None else seed, market, start, history)
            catch_up = catch_up or start is None
        server = partial(
            Server,
            folder,
            setup=setup,
            archive=archive or _archive(lake, folder),
            host=host,
            port=port,
            speed=speed,
            clock=partial(_by_the_wall, speed) if catch_up else None,
        )
        asyncio.run(_serve(server, folder))


@app.command()
def key(
    state: StateOption = None,
    lake: LakeOption = None,
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Add the traceback to an error.")] = False,
) -> None:
    """Print the first account's API key and secret, as lines for a shell.

    \b
    Example:
      eval "$(vostok-exchange key --state exchange)" && echo $BINANCE_APIKEY
    """
    with _reported(debug=debug):
        setup = Setup.read(_folder(state, lake) / SETUP_FILE)
        first = setup.accounts[0].keys[0]
        typer.echo(f"export BINANCE_APIKEY={first.key}\nexport BINANCE_SECRET={first.secret}")


def main() -> None:
    """Run the command line on the arguments of this process."""
    app(prog_name="vostok-exchange")


async def _serve(make: Callable[[], Server], folder: Path) -> None:
    server = make()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        desk = server.exchange.desk
        now = f"{utc(server.exchange.now() // SECOND * SECOND):%Y-%m-%d %H:%M:%S}"
        typer.echo(f"exchange  {server.url}")
        typer.echo(f"symbols   {' '.join(desk.venue.listings)}")
        typer.echo(f"market    {now} UTC, {server.exchange.speed:g} seconds in a second")
        typer.echo(f"key       vostok-exchange key --state {folder}")
        sys.stdout.flush()
        failed = asyncio.ensure_future(server.wait())
        asked = asyncio.ensure_future(stop.wait())
        await asyncio.wait({failed, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if failed.done():
            await failed
        failed.cancel()
        typer.echo("stopping; it goes on from here when it is started again", err=True)


def _by_the_wall(speed: float, resumes: int) -> MarketClock:
    return MarketClock(max(resumes, time.time_ns() // 1_000), speed)


def _folder(state: Path | None, lake: Path | None) -> Path:
    if (state is None) == (lake is None):
        raise UsageError(
            "the exchange needs one folder to keep",
            hint="name it with --state DIR, or a lake that it belongs to with --lake DIR",
        )
    if state is not None:
        return state
    assert lake is not None, "one of both was given"
    return exchange_folder(lake)


def _archive(lake: Path | None, folder: Path) -> Path | None:
    if lake is None:
        return None
    return lake / "archive" / "demo" if folder == demo_exchange(lake) else lake / "archive"


def _setup(seed: int, markets: list[str] | None, start: str | None, history: int | None) -> Setup:
    opens = _time(start) // MINUTE * MINUTE
    return Setup(
        seed=seed,
        first_day=day_of(opens) - timedelta(days=1 if history is None else history),
        start=opens,
        markets=tuple(_market(text) for text in markets or _MARKETS),
        accounts=(demo_account([Key(secrets.token_hex(32), secrets.token_hex(32))]),),
        bnb_prices={"USDT": _BNB_PRICE},
    )


def _time(text: str | None) -> int:
    if text is None:
        return time.time_ns() // 1_000
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is not a time", hint="write it as 2025-03-31 or 2025-03-31T12:00"
        ) from None
    if given.tzinfo is None:
        given = given.replace(tzinfo=UTC)
    return int(given.timestamp()) * SECOND


def _market(text: str) -> Market:
    name, _, settings = text.partition(":")
    fields = {field.name for field in dataclasses.fields(MarketSpec)}
    values = {}
    for setting in filter(None, settings.split(",")):
        match = re.fullmatch(r"(\w+)=([-+.\deE]+)", setting)
        if match is None:
            raise UsageError(
                f"{setting!r} is not a setting of a market",
                where=text,
                hint="write KEY=NUMBER, such as edge=0.25, with commas between them",
            )
        if match[1] not in fields:
            raise UnknownName.of("setting of a market", match[1], fields)
        values[match[1]] = float(match[2])
    spec = MarketSpec(**values)
    instrument = Instrument(
        InstrumentId.parse(name),
        "agg_trade",
        Decimal(repr(spec.price_tick)),
        Decimal(repr(spec.quantity_step)),
        _MIN_NOTIONAL,
        _MAX_SILENCE,
    )
    return Market(instrument, spec)


@contextmanager
def _reported(*, debug: bool) -> Iterator[None]:
    """Say an error in one paragraph, and end with the exit code that it stands for."""
    try:
        yield
    except VostokError as error:
        if debug:
            raise
        typer.echo(" ".join(f"Error: {error}".split()), err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None


if __name__ == "__main__":
    main()
