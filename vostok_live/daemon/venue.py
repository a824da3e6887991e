"""Exchanges that the daemon trades at, and the key to an account there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from vostok_core.errors import SettingsError, UsageError
from vostok_core.lake.exchanges import ADDRESS_FILE, exchange_folder
from vostok_live.gateway.access import BINANCE as BINANCE_ENDPOINTS
from vostok_live.gateway.access import TESTNET as TESTNET_ENDPOINTS
from vostok_live.gateway.access import ApiKey, Endpoints

KEY, SECRET = "BINANCE_APIKEY", "BINANCE_SECRET"
Money = Literal["paper", "real"]


@dataclass(frozen=True, slots=True)
class Venue:
    """An exchange.

    Attributes:
        name: As a person calls it.
        endpoints: Where orders go.
        streams: Address of combined market streams.
        money: Whether it is real.
        clock: Address that tells market time by the wall; None where they are the same.
        feeds: Feeds that the exchange itself publishes, by name.
        restricts_keys: Whether it says what a key may do.
    """

    name: str
    endpoints: Endpoints
    streams: str
    money: Money
    clock: str | None = None
    feeds: Mapping[str, str] = field(default_factory=dict)
    restricts_keys: bool = True

    @property
    def rest(self) -> str:
        """Address of the REST API."""
        return self.endpoints.rest


BINANCE = Venue("binance", BINANCE_ENDPOINTS, "wss://stream.binance.com:9443/stream", "real")
TESTNET = Venue(
    "testnet",
    TESTNET_ENDPOINTS,
    "wss://stream.testnet.binance.vision/stream",
    "paper",
    restricts_keys=False,  # it has no /sapi
)


def embedded(url: str) -> Venue:
    """The embedded exchange at an address of this machine.

    Raises:
        SettingsError: The address is of another machine.
    """
    host = urlsplit(url).netloc
    rest = f"http://{host}"
    return Venue(
        "embedded",
        Endpoints(rest, f"ws://{host}/ws-api/v3"),
        f"ws://{host}/stream",
        "paper",
        clock=f"{rest}/vostok/clock",
        feeds={"demo": f"{rest}/feed.xml"},
    )


def find_venue(named: str | None, lake: Path, *, real: bool) -> Venue:
    """The exchange that a person means.

    Args:
        named: `binance`, `testnet`, or the address of an embedded exchange; None for the one that
            runs on the lake.
        lake: Folder of the lake.
        real: Whether the person said that real money is meant.

    Raises:
        UsageError: Real money without that word, or the word without real money; no exchange runs
            on the lake; or the name means nothing.
    """
    if named is None:
        venue = embedded(_address(lake))
    elif named in (BINANCE.name, TESTNET.name):
        venue = BINANCE if named == BINANCE.name else TESTNET
    elif named.startswith("http://"):
        venue = embedded(named)
    else:
        raise UsageError(
            f"{named!r} is not an exchange",
            hint="name binance, testnet, or the address of an embedded one: http://127.0.0.1:8731",
        )
    if venue.money == "real" and not real:
        raise UsageError(
            f"{venue.name} trades real money",
            hint="add --real if that is meant; testnet or an embedded exchange trade paper",
        )
    if real and venue.money != "real":
        raise UsageError(
            f"{venue.name} does not trade real money", hint="leave --real out, or name binance"
        )
    return venue


def _address(lake: Path) -> str:
    place = exchange_folder(lake) / ADDRESS_FILE
    try:
        return str(json.loads(place.read_text())["url"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            "no embedded exchange runs on this lake",
            where=place,
            hint=f"start one with `vostok-exchange run --lake {lake}`, or name another exchange "
            "with --exchange",
        ) from None


def find_key(environ: Mapping[str, str]) -> ApiKey:
    """The key to the account, from the environment.

    Each part is in `BINANCE_APIKEY` and `BINANCE_SECRET`, or in the file that the variable with
    `_FILE` behind names, which nobody but its owner may read.

    Raises:
        SettingsError: A part is missing, or others may read its file.
    """
    return ApiKey(_part(environ, KEY), _part(environ, SECRET))


def _part(environ: Mapping[str, str], name: str) -> str:
    if name in environ:
        return environ[name]
    place = environ.get(f"{name}_FILE")
    if place is None:
        raise SettingsError(
            f"{name} is not set",
            hint=f"set it, or {name}_FILE to a file that holds it; for an embedded exchange: "
            'eval "$(vostok-exchange key --lake LAKE)"',
        )
    try:
        if Path(place).stat().st_mode & 0o077:
            raise SettingsError(
                "others may read this file, and it holds a key",
                where=place,
                hint=f"run `chmod 600 {place}`; if others had access, make a new key",
            )
        return Path(place).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the file of {name} can't be read ({error})", where=place, hint="check the path"
        ) from None
