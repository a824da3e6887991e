"""Asking exchanges again for what is broken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vostok.cli.command import command
from vostok.cli.making import materialize_landed, spoken_days
from vostok.cli.output import print_json, print_table
from vostok.context import Context
from vostok_core.errors import DataError, UsageError, VostokError
from vostok_core.times import parse_day, utc

if TYPE_CHECKING:
    from vostok_core.lake.store import Lake
    from vostok_core.market.instrument import Instrument
    from vostok_core.project import Project
    from vostok_pipelines.broken import Broken
    from vostok_pipelines.repair import Answer
    from vostok_pipelines.rest.venues import Venue


def register(app: typer.Typer) -> None:
    """Add `repair`."""
    command(app, "repair")(repair)


def repair(
    context: Context,
    instruments: Annotated[
        list[str] | None,
        typer.Argument(metavar="INSTRUMENT", help="Instruments of vostok.toml; else all."),
    ] = None,
    first: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="First day to look at.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="Last day to look at.")
    ] = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be asked for, and ask nobody.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Fetch again what is missing or contradicts itself.

    Every finding of the table `quality` that invalidates bars is looked at: of a gap the missing
    ids are fetched from the exchange by REST, of a silence its span, and of trades with two
    contents those ids. Only these are asked for. What comes lands in parts of its own, beside what
    is there, and the days are made again. A finding that is gone then stays in `quality` and says
    what repaired it. What could not be repaired is told with the reason.

    A trade that the exchange shows otherwise than it landed replaces nothing: it is a finding. Of
    two contents that landed, the exchange's word decides.

    \b
    Examples:
      vostok repair --dry-run
      vostok repair binance.spot.BTC-USDT --from 2025-01-01 --to 2025-01-31
      vostok sql "SELECT instrument, ts, detail, repaired FROM quality WHERE repaired IS NOT NULL"

    Venues are reached as [sources.rest] of vostok.toml says.
    """
    project = context.project
    lake = project.open_lake(create=False)
    since = project.settings.calendar.start if first is None else parse_day(first)
    until = date.max if last is None else parse_day(last)
    if until < since:
        raise UsageError(
            f"the range ends on {until}, before it begins on {since}", hint="swap them"
        )
    found: list[dict[str, Any]] = []
    notes: list[str] = []
    problems: list[str] = []
    runs: list[str] = []

    def say(text: str) -> None:
        typer.echo(text, err=as_json)  # standard output is for the document then

    for instrument, venue in _chosen(project, instruments, notes):
        from vostok_pipelines.broken import broken_spans

        spans = broken_spans(lake, instrument, venue, since, until)
        if dry_run:
            found += [_planned(instrument, span, venue) for span in spans]
        elif spans:
            try:
                rows, run_ids = _mend(project, lake, instrument, venue, spans, say)
            except VostokError as error:
                problems.append(str(error.within(instrument.id)))
                continue
            found += rows
            runs += run_ids
    _print(found, notes, problems, runs, as_json=as_json)
    if problems:
        raise typer.Exit(1)


def _chosen(
    project: Project, names: list[str] | None, notes: list[str]
) -> list[tuple[Instrument, Venue]]:
    from vostok_pipelines.rest.venues import venue_of

    settings = project.settings
    if names:
        chosen = [settings.instrument(name) for name in names]
        return [(instrument, venue_of(settings, instrument)) for instrument in chosen]
    found = []
    for instrument in settings.universe.values():
        try:
            found.append((instrument, venue_of(settings, instrument)))
        except UsageError as error:
            notes.append(f"{instrument.id} is left out: {error.what}")
    return found


def _mend(
    project: Project,
    lake: Lake,
    instrument: Instrument,
    venue: Venue,
    spans: list[Broken],
    say: Callable[[str], None],
) -> tuple[list[dict[str, Any]], list[str]]:
    """Ask, land and make the days again; a row for each span, and the runs."""
    from vostok_pipelines.landing import land_days
    from vostok_pipelines.launch import Launcher
    from vostok_pipelines.repair import Repairs, ask_again, repaired_by

    launcher = Launcher(project)
    launcher.check()
    answers = asyncio.run(ask_again(project, lake, instrument, venue, spans))
    repairs = Repairs(answers, venue)
    landed = []
    for day, outcome in land_days(lake, repairs, instrument, repairs.all_days):
        if isinstance(outcome, DataError):
            raise outcome
        landed.append(day)
    runs = []
    if landed:
        say(f"landed repairs of {instrument.id}: {spoken_days(landed)}")
        runs = [run for _, _, run in materialize_landed(launcher, instrument, landed, say)]
    return [
        _told(instrument, answer, repaired_by(lake, instrument, answer)) for answer in answers
    ], runs


def _planned(instrument: Instrument, span: Broken, venue: Venue) -> dict[str, Any]:
    if span.why is not None:
        return _row(instrument, span) | {"why": span.why}
    if span.ids:
        ids = ", ".join(_ids(*pair) for pair in span.ids[:5])
        more = f" and {len(span.ids) - 5} more" if len(span.ids) > 5 else ""
        asked = f"ids {ids}{more}"
    else:
        asked = f"trades from {utc(span.ts):%H:%M:%S} to {utc(span.end_ts):%H:%M:%S}"
    return _row(instrument, span) | {"ask": f"{venue.exchange}: {asked}"}


def _ids(first: int, last: int) -> str:
    if last < 0:
        return f"from {first} on"
    return str(first) if first == last else f"{first} to {last}"


def _told(instrument: Instrument, answer: Answer, repaired: str | None) -> dict[str, Any]:
    why = answer.why
    if repaired is None and why is None:
        why = "what came did not mend it: see the table quality"
    return _row(instrument, answer.of) | {
        "trades": len(answer.trades),
        "repaired": repaired,
        "why": why,
    }


def _row(instrument: Instrument, span: Broken) -> dict[str, Any]:
    return {
        "instrument": str(instrument.id),
        "day": str(span.day),
        "kind": span.kind,
        "from": utc(span.ts).isoformat().replace("+00:00", "Z"),
        "to": utc(span.end_ts).isoformat().replace("+00:00", "Z"),
        "detail": span.detail,
    }


def _print(
    found: list[dict[str, Any]],
    notes: list[str],
    problems: list[str],
    runs: list[str],
    *,
    as_json: bool,
) -> None:
    if as_json:
        print_json({"findings": found, "runs": runs, "notes": notes, "errors": problems})
    elif found:
        cells = [
            [
                row["instrument"], row["day"], row["kind"], row["from"][11:19], row["to"][11:19],
                _outcome(row),
            ]
            for row in found
        ]  # fmt: skip
        print_table(["instrument", "day", "finding", "from", "to", "outcome"], cells)
    elif not problems:
        typer.echo("nothing is broken")
    for note in [] if as_json else notes:
        typer.echo(f"Note: {note}", err=True)
    for problem in problems:
        typer.echo(f"Error: {problem}", err=True)


def _outcome(row: dict[str, Any]) -> str:
    if "ask" in row:
        return f"would ask {row['ask']}"
    if row.get("repaired"):
        return f"repaired: {row['repaired']}"
    return f"not repaired: {row['why']}"
