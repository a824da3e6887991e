"""What a daemon is to do, known before anything is opened."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from vostok_core.errors import UnknownName, UsageError
from vostok_core.lake.store import Lake
from vostok_core.market.instrument import Instrument
from vostok_core.models.registry import was_promoted
from vostok_core.project import Project
from vostok_core.settings import LiveSettings
from vostok_core.times import parse_duration
from vostok_live.daemon.venue import Venue
from vostok_live.gateway.access import ApiKey

JOURNAL = "journal.sqlite"


@dataclass(frozen=True)
class Plan:
    """A strategy, an instrument, an exchange and a place to write everything down.

    Attributes:
        version: Of Vostok.
        project: Settings and strategies.
        lake: History, models and what is shipped.
        strategy: Name of the strategy.
        instrument: What is traded.
        venue: Where.
        key: To the account there.
    """

    version: str
    project: Project
    lake: Lake
    strategy: str
    instrument: Instrument
    venue: Venue
    key: ApiKey

    @property
    def live(self) -> LiveSettings:
        """How it trades."""
        return self.project.settings.live

    @property
    def account(self) -> str:
        """Names the exchange and the account there, without telling the key."""
        return f"{self.venue.name}-{sha256(self.key.key.encode()).hexdigest()[:16]}"

    @property
    def state(self) -> Path:
        """The folder of the journal and of all else that is written while it runs."""
        return state_folder(self.project, self.strategy, self.instrument)

    @cached_property
    def timing(self) -> Timing:
        """The durations of the settings."""
        return Timing.of(self.live)


def make_plan(
    version: str, project: Project, strategy: str, instrument: str, venue: Venue, key: ApiKey
) -> Plan:
    """A plan for what a person named.

    Raises:
        UnknownName: As in `find_named`.
        UsageError: Likewise.
    """
    lake, found = find_named(project, strategy, instrument)
    return Plan(version, project, lake, strategy, found, venue, key)


def find_named(project: Project, strategy: str, instrument: str) -> tuple[Lake, Instrument]:
    """The lake, and the instrument that a person named, which needs no exchange to be known.

    Raises:
        UnknownName: No such instrument or strategy.
        UsageError: There is no lake, or the instrument has no ticks to trade on.
    """
    found = project.settings.instrument(instrument)
    if found.tick == "none":
        raise UsageError(
            f"{found.id} has klines only, and bars are made of trades",
            hint="trade an instrument whose `tick` in vostok.toml is agg_trade or trade",
        )
    lake = project.open_lake(create=False)
    files = [path.stem for path in project.strategy_files]
    # What is in service or was traded goes on also where its file has gone.
    promoted = was_promoted(lake, strategy, str(found.id))
    journal = state_folder(project, strategy, found) / JOURNAL
    if strategy not in files and not promoted and not journal.exists():
        folder = str(project.strategies_folder)
        raise UnknownName.of("strategy", strategy, files, declared_in=folder)
    return lake, found


def state_folder(project: Project, strategy: str, instrument: Instrument) -> Path:
    """Where the daemon of a strategy on an instrument keeps what it writes."""
    return project.lake_home / project.settings.live.state / strategy / str(instrument.id)


@dataclass(frozen=True, slots=True)
class Timing:
    """The daemon's durations; microseconds of the wall, those of `market` of market time."""

    grace: int
    decide_within: int
    stale_after: int
    compare_every: int
    poll: int
    market_model_grace: int
    market_max_gap: int

    @classmethod
    def of(cls, live: LiveSettings) -> Timing:
        """Those of the settings."""
        return cls(
            grace=parse_duration(live.grace),
            decide_within=parse_duration(live.decide_within),
            stale_after=parse_duration(live.stale_after),
            compare_every=parse_duration(live.compare_every),
            poll=parse_duration(live.poll),
            market_model_grace=parse_duration(live.model_grace),
            market_max_gap=parse_duration(live.max_gap),
        )
