"""Looking at what the gate has promoted, and changing by hand which of it is in service."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from vostok.cli.command import command
from vostok.cli.output import print_json, print_table
from vostok.context import Context
from vostok_core.errors import BundleError
from vostok_core.times import parse_week, utc

if TYPE_CHECKING:
    from vostok_core.lake.store import Lake
    from vostok_core.models.registry import Service
    from vostok_core.promotion.service import Candidate

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List the models that the gate decided on; change which is in service.",
)

StrategyArgument = Annotated[
    str, typer.Argument(metavar="STRATEGY", help="Name of a strategy file.")
]
InstrumentOption = Annotated[
    str, typer.Option("--instrument", metavar="ID", help="Instrument of vostok.toml.")
]
WhyOption = Annotated[
    str, typer.Option("--why", metavar="TEXT", help="Why; it is kept in the table `service`.")
]
ByOption = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who does it; default: your user name.")
]


@dataclass(frozen=True)
class _Row:
    """A model that the gate decided on, and what there is of it in service."""

    strategy: str
    instrument: str
    model: Candidate
    held: Service | None

    @property
    def serves(self) -> bool:
        found = None if self.held is None else self.held.promotion
        return found is not None and found.manifest_sha256 == self.model.bundle

    @property
    def service(self) -> str:
        if self.serves and self.held is not None:
            since = f" since {utc(self.held.at):%Y-%m-%d %H:%M}" if self.held.at else ""
            return f"in service{since}, by {self.held.by}"
        return "may serve" if self.model.may_serve else ""


def list_models(
    context: Context,
    strategy: Annotated[
        str | None, typer.Argument(metavar="STRATEGY", help="Of one strategy only.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> int | None:
    """List the models that the gate has decided on, and which of them is in service.

    A model that may serve was put into service by the gate before, and is promoted by the newest
    decision on it.

    \b
    Examples:
      vostok model list
      vostok model list demo_flow --json

    `vostok sql "FROM service"` shows every change of what is in service, by whom and why. The exit
    code is 1 where it can't be told what is in service.
    """
    lake = context.project.open_lake(create=False)
    rows, errors = [], []
    for name, instrument in _decided(lake, strategy):
        found, error = _rows(lake, name, instrument)
        rows += found
        errors += [error] if error else []
    if as_json:
        print_json(
            [
                {
                    "strategy": row.strategy,
                    "instrument": row.instrument,
                    "week": str(row.model.week),
                    "bundle": row.model.bundle,
                    "decision": row.model.decision,
                    "in_service": row.serves,
                    "may_serve": row.model.may_serve,
                }
                for row in rows
            ]
        )
    else:
        print_table(
            ["strategy", "instrument", "week", "bundle", "decision", "service"],
            [
                [
                    row.strategy,
                    row.instrument,
                    str(row.model.week),
                    row.model.bundle[:16],
                    row.model.decision,
                    row.service,
                ]
                for row in rows
            ],
        )
    for error in errors:
        typer.echo(f"Error: {error}", err=True)
    return BundleError.exit_code if errors else None


def serve(
    context: Context,
    strategy: StrategyArgument,
    instrument: InstrumentOption,
    week: Annotated[str, typer.Option(metavar="WEEK", help="The model's week: its Monday.")],
    why: WhyOption,
    by: ByOption = None,
    bundle: Annotated[
        str, typer.Option(metavar="HASH", help="First digits, where the week has several models.")
    ] = "",
) -> None:
    """Put a model back into service that the gate has put there before.

    For the way back from a newer model, or where the pointer was lost or damaged. Nothing is
    decided anew. Models of later weeks that are set aside by it stay so: the next to take over is
    what the gate promotes of a week after them.

    \b
    Example:
      vostok model serve demo_flow --instrument demo.spot.EDGE-USDT --week 2025-02-24 \\
        --why "the model after it trades nonsense"

    A running daemon follows within seconds and closes nothing that is open. It enters nothing by a
    model that is further past its week than live.model_grace.
    """
    from vostok_core.promotion import service

    lake, market = _place(context, instrument)
    at = time.time_ns() // 1_000
    chosen = parse_week(week)
    found = service.serve(
        lake, strategy, market, chosen, by=_who(by), why=why, at=at, bundle=bundle
    )
    name = found.manifest_sha256[:16]
    typer.echo(f"{strategy} on {market}: the model of {chosen}, {name}, is in service")


def withdraw(
    context: Context,
    strategy: StrategyArgument,
    instrument: InstrumentOption,
    why: WhyOption,
    by: ByOption = None,
) -> None:
    """Take the model in service out of it, until the gate promotes one of a later week.

    \b
    Example:
      vostok model withdraw demo_flow --instrument demo.spot.EDGE-USDT --why "fees have doubled"

    A running daemon enters nothing within seconds and closes nothing that is open. To keep it from
    trading whatever is promoted, throw its kill switch: `vostok-live kill`.
    """
    from vostok_core.promotion import service

    lake, market = _place(context, instrument)
    at = time.time_ns() // 1_000
    found = service.withdraw(lake, strategy, market, by=_who(by), why=why, at=at)
    was = "" if found is None else f"; the model of {found.week} was"
    typer.echo(f"{strategy} on {market}: nothing is in service{was}")


def _who(by: str | None) -> str:
    return by if by is not None else getpass.getuser()


def _place(context: Context, instrument: str) -> tuple[Lake, str]:
    project = context.project
    return project.open_lake(create=False), str(project.settings.instrument(instrument).id)


def _decided(lake: Lake, strategy: str | None) -> Iterator[tuple[str, str]]:
    """The strategies and instruments that the gate has decided on."""
    tables = ("gate_decisions", "promotions")
    names = {name for table in tables for name in lake.keys(table)}
    for name in sorted(names & {strategy} if strategy else names):
        for instrument in sorted({i for table in tables for i in lake.keys(table, strategy=name)}):
            yield name, instrument


def _rows(lake: Lake, strategy: str, instrument: str) -> tuple[list[_Row], BundleError | None]:
    from vostok_core.models.registry import service
    from vostok_core.promotion.service import candidates

    held, error = None, None
    try:
        held = service(lake, strategy, instrument)
    except BundleError as found:
        error = found
    models = candidates(lake, strategy, instrument)
    return [_Row(strategy, instrument, model, held) for model in models], error


command(app, "list")(list_models)
command(app, "serve")(serve)
command(app, "withdraw")(withdraw)
