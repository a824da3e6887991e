"""Bringing market data from elsewhere: from a venue's public archive, or trade by trade."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vostok.cli.command import command
from vostok.cli.making import materialize_landed, spoken_days
from vostok.cli.output import print_json
from vostok.context import Context
from vostok_core.errors import UsageError, VostokError
from vostok_core.times import days as each_day
from vostok_core.times import parse_day, spans

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from vostok_core.lake.store import Lake
    from vostok_core.market.instrument import Instrument
    from vostok_core.project import Project
    from vostok_pipelines.fetching.fetcher import Fetched, Fetcher, Progress
    from vostok_pipelines.launch import Launcher

SourceName = Literal["archive", "rest"]


_ABSENT = {
    "archive": "the archive has no file of {}. Hint: yesterday's may be late",
    "rest": "the exchange doesn't show {} whole. Hint: a day is, once a trade after it was seen",
}
"""Name of a source -> what to say of days that it doesn't have."""


def register(app: typer.Typer) -> None:
    """Add `fetch`."""
    command(app, "fetch")(fetch)


def fetch(
    context: Context,
    instruments: Annotated[
        list[str], typer.Argument(metavar="INSTRUMENT...", help="Instruments of vostok.toml.")
    ],
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="First day.")],
    last: Annotated[
        str | None,
        typer.Option("--to", metavar="DAY", help="Last day; by default yesterday (UTC)."),
    ] = None,
    source: Annotated[SourceName, typer.Option(help="Where the days come from.")] = "archive",
    jobs: Annotated[
        int, typer.Option(min=1, max=16, metavar="N", help="Most files that are asked for at once.")
    ] = 4,
    *,
    daily: Annotated[
        bool, typer.Option("--daily", help="Files of days only, also of whole months.")
    ] = False,
    corrected: Annotated[
        bool,
        typer.Option(
            "--corrected",
            help="Look at files that are there too, and bring those anew that the archive has "
            "corrected.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what is missing, and fetch nothing.")
    ] = False,
    land_only: Annotated[
        bool, typer.Option("--land-only", help="Fetch and land; materialize nothing yet.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what came of it as JSON; progress goes to stderr.")
    ] = False,
) -> int:
    """Bring missing days of market data into the lake, from where they are published.

    From a venue's archive ([sources.urls] in vostok.toml) come files, into the venue's folder
    ([sources.archives]): only those of days that neither the folder nor the lake has, a month at a
    time where a whole one is missing. A file is checked against its published SHA-256 and appears
    whole or not at all. What broke off, or was stopped, goes on where it was when you ask again.

    Then the days go the way of ingested ones: landed, then ticks, quality, bars and features. Days
    that had come before and were not made yet are made too.

    With --source rest they are fetched trade by trade from the exchange that [sources.rest] names,
    through ccxt and as slowly as it wants. They count until the archive has a file of the day.

    Days that the archive doesn't have are listed. If the exchange stood still on one, say so with
    `vostok ingest --absent`; that of yesterday may only be late.

    \b
    Examples:
      vostok fetch binance.spot.BTC-USDT --from 2025-01-01 --to 2025-03-31 --dry-run
      vostok fetch BTC/USDT XRP/ETH --from 2025-01-01 --jobs 8
      vostok fetch binance.spot.BTC-USDT --from 2025-01-01 --corrected --json
      vostok fetch kraken.spot.EOS-USD --from 2025-01-06 --to 2025-01-07 --source rest

    Exits with 1 if something could not be fetched or used; what could be is there then.
    """
    project = context.project
    chosen = list(dict.fromkeys(project.settings.instrument(name) for name in instruments))
    days = _days(project, first, last)
    from vostok_pipelines.fetching.choose import fetcher as choose

    fetcher = choose(source, project, jobs=jobs, corrected=corrected, monthly=not daily)
    lake = project.open_lake()
    missing = {instrument: fetcher.missing(lake, instrument, days) for instrument in chosen}
    if dry_run:
        _tell_missing(fetcher, missing, days, as_json=as_json)
        return 0
    done = _Fetch(project, lake, fetcher, as_json=as_json).run(missing, days, land_only=land_only)
    if as_json:
        print_json(done)
    return 1 if any(each["failed"] or each["unusable"] for each in done) else 0


def _days(project: Project, first: str, last: str | None) -> list[date]:
    """The days that are wanted.

    Raises:
        UsageError: They are no days of the calendar.
    """
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    since, until = parse_day(first), yesterday if last is None else parse_day(last)
    start = project.settings.calendar.start
    if until < since:
        raise UsageError(
            f"--to {until} lies before --from {since}", hint="give the earlier one to --from"
        )
    if since < start or until > yesterday:
        wrong = since if since < start else until
        raise UsageError(
            f"{wrong} is not a day of the calendar",
            hint=f"days run from calendar.start = {start} of vostok.toml through yesterday (UTC)",
        )
    return list(each_day(since, until))


def _tell_missing(
    fetcher: Fetcher,
    missing: dict[Instrument, list[date]],
    days: Sequence[date],
    *,
    as_json: bool,
) -> None:
    found = []
    for instrument, lacking in missing.items():
        plan = fetcher.plan(instrument, lacking)
        found.append(
            {
                "instrument": str(instrument.id),
                "missing": _ranges(lacking),
                "files": [{"what": i.what, "days": _ranges(i.days), "from": i.place} for i in plan],
            }
        )
        if not as_json:
            typer.echo(f"{instrument.id}: {len(lacking)} of {len(days)} days are missing")
            for item in plan:
                typer.echo(f"  {item.place}")
    if as_json:
        print_json(found)


class _Fetch:
    """Fetches, lands and makes, and tells how far it is."""

    def __init__(self, project: Project, lake: Lake, fetcher: Fetcher, *, as_json: bool) -> None:
        self._project = project
        self._lake = lake
        self._fetcher = fetcher
        self._quiet = as_json  # standard output is for the document then

    def run(
        self, missing: dict[Instrument, list[date]], days: Sequence[date], *, land_only: bool
    ) -> list[dict[str, Any]]:
        """Do it all; what came of each instrument."""
        from rich.console import Console

        from vostok.progress import showing
        from vostok_pipelines.launch import Launcher

        launcher = Launcher(self._project)
        if not land_only:
            launcher.check()
        unusable: dict[Instrument, dict[date, VostokError]] = {}
        with showing(Console(stderr=self._quiet)) as bars:
            fetched = dict(zip(missing, self._fetch(missing, bars), strict=True))
            for instrument in missing:
                unusable[instrument] = self._land(instrument, days, bars)
        done = []
        for instrument, result in fetched.items():
            bad = unusable[instrument]
            self._tell(instrument, result, bad)
            made = [] if land_only else self._make(launcher, instrument, days, bad)
            done.append(
                {
                    "instrument": str(instrument.id),
                    "missing": _ranges(missing[instrument]),
                    "fetched": _ranges(result.days),
                    "absent": _ranges(result.absent),
                    "failed": _errors(result.failed),
                    "unusable": _errors(bad),
                    "received_bytes": result.received,
                    "notes": list(result.notes),
                    "materialized": made,
                }
            )
        return done

    def _fetch(self, missing: dict[Instrument, list[date]], bars: Bars) -> list[Fetched]:
        tasks = {
            str(instrument.id): bars.add_task(f"{instrument.id}", total=len(days))
            for instrument, days in missing.items()
            if days
        }

        def report(progress: Progress) -> None:
            size = f"{progress.received / 1e6:.1f} MB"
            bars.update(
                tasks[progress.instrument],
                completed=progress.done,
                total=progress.total,
                description=f"{progress.instrument}  {size}  {_shortened(progress.doing)}".rstrip(),
            )

        return self._fetcher.fetch(missing, report)

    def _land(
        self, instrument: Instrument, days: Sequence[date], bars: Bars
    ) -> dict[date, VostokError]:
        """Land what has come; the days that can't be used."""
        from vostok_pipelines.landing import land_days

        source = self._fetcher.source(instrument)
        there = source.days(instrument, days[0], days[-1])
        if source.name == "archive":  # most of its days have landed long ago
            due = set(self._due(instrument, days))
            there = [day for day in there if day in due]
        if not there:
            return {}
        unusable: dict[date, VostokError] = {}
        task = bars.add_task(f"{instrument.id}  landing", total=len(there))
        for day, outcome in land_days(self._lake, source, instrument, there):
            if isinstance(outcome, VostokError):
                unusable[day] = outcome
            bars.advance(task)
        return unusable

    def _make(
        self,
        launcher: Launcher,
        instrument: Instrument,
        days: Sequence[date],
        unusable: dict[date, VostokError],
    ) -> list[dict[str, str]]:
        """Make what is not made of the days that have come."""
        due = [day for day in self._due(instrument, days) if day not in unusable]
        made = materialize_landed(launcher, instrument, due, self._say)
        for first, last in spans(self._due_funding(instrument, days)):
            run = launcher.materialize_days(["funding"], str(instrument.id), first, last).run_id
            self._say(f"materialized funding rates of {first} to {last}: run {run}")
            made.append((first, last, run))
        return [{"from": str(first), "to": str(last), "run": run} for first, last, run in made]

    def _due(self, instrument: Instrument, days: Sequence[date]) -> list[date]:
        """Those of the days that have come and are not made."""
        from vostok_pipelines.arrivals import ArrivalsReader

        reader = ArrivalsReader(self._project, settled=0.0)
        arrivals = reader.look(self._lake, instrument, days[-1], float("inf"))
        assert arrivals is not None  # there is no end to the time that it has
        return [day for day in arrivals.open if day >= days[0]]

    def _due_funding(self, instrument: Instrument, days: Sequence[date]) -> list[date]:
        from vostok_pipelines.arrivals import ArrivalsReader

        reader = ArrivalsReader(self._project, settled=0.0)
        due = reader.look_at_funding(self._lake, instrument, days[-1], float("inf"))
        assert due is not None
        return [day for day in due.days if day >= days[0]]

    def _tell(
        self, instrument: Instrument, fetched: Fetched, unusable: dict[date, VostokError]
    ) -> None:
        if fetched.days:
            size = f"{fetched.received / 1e6:.1f} MB"
            self._say(f"fetched {instrument.id}: {spoken_days(fetched.days)}, {size}")
        elif not (fetched.absent or fetched.failed):
            self._say(f"{instrument.id}: no day was missing")
        for note in fetched.notes:
            typer.echo(f"Warning: {instrument.id}: {note}", err=True)
        if fetched.absent:
            ranges = ", ".join(_spoken(*span) for span in spans(fetched.absent))
            source = self._fetcher.source(instrument).name
            typer.echo(
                f"Warning: {instrument.id}: {_ABSENT[source].format(ranges)}; if the exchange "
                f"stood still, say so: `vostok ingest --instrument {instrument.id} --absent DAY`",
                err=True,
            )
        for error, days in [*_alike(fetched.failed), *_alike(unusable)]:
            where = ", ".join(_spoken(*span) for span in spans(days))
            text = " ".join(f"Error: {instrument.id} {where}: {error}".split())
            typer.echo(text, err=True)

    def _say(self, text: str) -> None:
        typer.echo(text, err=self._quiet)


def _alike(errors: dict[date, VostokError]) -> list[tuple[VostokError, list[date]]]:
    """Each error, once, with the days that it is of."""
    found: dict[str, tuple[VostokError, list[date]]] = {}
    for day, error in sorted(errors.items()):
        found.setdefault(str(error), (error, []))[1].append(day)
    return list(found.values())


def _errors(errors: dict[date, VostokError]) -> list[dict[str, Any]]:
    return [{"days": _ranges(days), "error": error.to_json()} for error, days in _alike(errors)]


def _ranges(days: Iterable[date]) -> list[dict[str, str]]:
    return [{"from": str(first), "to": str(last)} for first, last in spans(days)]


def _spoken(first: date, last: date) -> str:
    return str(first) if first == last else f"{first} to {last}"


def _shortened(text: str, width: int = 40) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
