"""What a recorder is to do: which instruments, at which exchange, and where it keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vostok_core.errors import UsageError
from vostok_core.market.instrument import Instrument
from vostok_core.project import Project
from vostok_core.settings import RecorderSettings
from vostok_core.times import parse_duration
from vostok_live.daemon.venue import BINANCE, TESTNET, Venue, find_venue


@dataclass(frozen=True)
class RecorderPlan:
    """What is recorded.

    Attributes:
        instruments: By the exchange's symbol.
        venue: Where.
        root: Folder of the recorder, with a folder for each instrument.
        settings: Those of `[recorder]`.
    """

    instruments: Mapping[str, Instrument]
    venue: Venue
    root: Path
    settings: RecorderSettings

    @property
    def longest_gap(self) -> int:
        """How far back trades are fetched, microseconds of market time."""
        return parse_duration(self.settings.max_gap)

    def folder(self, instrument: Instrument) -> Path:
        """The folder of an instrument."""
        return self.root / str(instrument.id)


def make_plan(project: Project, names: Sequence[str], exchange: str | None) -> RecorderPlan:
    """What a person asks for.

    Args:
        project: Where instruments are declared.
        names: Of instruments; none for those of `[recorder] instruments`.
        exchange: `binance`, `testnet` or an address; None for that of the instruments' venue.

    Raises:
        UsageError: They can't be recorded, or not together.
    """
    instruments = chosen(project, names)
    for instrument in instruments:
        recordable(instrument)
    venues = sorted({instrument.id.venue for instrument in instruments})
    if len(venues) > 1 and exchange is None:
        raise UsageError(
            f"instruments of {' and '.join(venues)} can't be recorded by one process",
            hint="start one for each venue",
        )
    symbols: dict[str, Instrument] = {}
    for instrument in instruments:
        other = symbols.setdefault(instrument.id.symbol, instrument)
        if other != instrument:
            raise UsageError(
                f"{other.id} and {instrument.id} are one symbol at one exchange",
                hint="record one of them, or each by a process of its own",
            )
    return RecorderPlan(
        symbols,
        _venue(exchange, venues, project.lake_home),
        project.recorder_folder,
        project.settings.recorder,
    )


def chosen(project: Project, names: Sequence[str]) -> list[Instrument]:
    """The instruments that a person names, or else those of the settings.

    Raises:
        UsageError: There is none, or one is unknown.
    """
    names = names or project.settings.recorder.instruments
    if not names:
        raise UsageError(
            "no instrument was named",
            hint="name some, such as `vostok-live record BTC/USDT`, or list them in vostok.toml: "
            '[recorder] instruments = ["binance.spot.BTC-USDT"]',
        )
    return list(dict.fromkeys(project.settings.instrument(name) for name in names))


def recordable(instrument: Instrument) -> None:
    """See that an instrument can be recorded.

    Raises:
        UsageError: It can't: it has no ticks, or is no spot market.
    """
    if instrument.tick == "none":
        raise UsageError(
            f"{instrument.id} has no ticks to record",
            hint='say tick = "trade" or "agg_trade" for it in vostok.toml if there are any',
        )
    if instrument.id.market != "spot":
        raise UsageError(
            f"{instrument.id} is no spot market, and only those can be recorded",
            hint="record the spot market, or land files: `vostok ingest PATH "
            f"--instrument {instrument.id} --format FORMAT`",
        )


def _venue(named: str | None, venues: Sequence[str], lake: Path) -> Venue:
    """The exchange to listen to. Listening takes no money, so there is no word for real money.

    Raises:
        UsageError: It is another one than that of the instruments.
    """
    public = {venue.name: venue for venue in (BINANCE, TESTNET)}
    if named is None and venues[0] in public:
        return public[venues[0]]
    if named is None or named not in public:
        return find_venue(named, lake, real=False)
    if venues != [named]:
        others = " and ".join(venue for venue in venues if venue != named)
        raise UsageError(
            f"what {named} says would be recorded as of {others}",
            hint=f"declare instruments of its own in vostok.toml, such as {named}.spot.BTC-USDT",
        )
    return public[named]
