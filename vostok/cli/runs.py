"""Commands that launch Dagster: the demo, runs over a range, the walk-forward, and the web page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vostok.cli.command import command
from vostok.cli.decisions import print_decisions
from vostok.cli.output import print_table, warn_of_unusable
from vostok.cli.verdicts import print_verdicts
from vostok.context import Context
from vostok_core.errors import Refused, UsageError
from vostok_core.times import days, parse_day, parse_week, weeks

if TYPE_CHECKING:
    from datetime import date

    import polars as pl


def register_demo(app: typer.Typer) -> None:
    """Add `demo`, which comes first."""
    command(app, "demo")(demo)


def register(app: typer.Typer) -> None:
    """Add the other commands of this module."""
    command(app, "materialize")(materialize)
    command(app, "walk-forward")(walk_forward)
    command(app, "ui")(ui)


def demo(
    context: Context,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the synthetic world.")] = 1,
    json_path: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Also write the results as JSON to FILE."),
    ] = None,
) -> int:
    """Show the whole path on two synthetic markets.

    One has an edge planted in it, the other has none. Writes weeks of trades and news for both,
    runs them through Dagster from raw files to weekly models, backtests and the promotion gate, and
    prints the gate's decisions with their reasons.
    The market with the planted edge should be promoted and the martingale refused, by the same
    bounds. Then the promoted model trades an exchange that goes on where the history ends, on
    paper and 720 times as fast: it is killed while it holds a position, goes on, its journal is
    held against the exchange's books, and a batch computes everything again, bit for bit.
    It takes some minutes, and can run again.

    \b
    Examples:
      vostok demo
      vostok demo --seed 7 --json results.json
      vostok demo --lake /tmp/demo

    Results go to the lake; the HTML report's path and a query to try are printed at the end.
    """
    from vostok.demo.run import run_demo
    from vostok.demo.world import STRATEGY

    project = context.project
    if STRATEGY not in project.unusable_strategies:  # which is an error, and not only left out
        warn_of_unusable(project)
    return run_demo(project, seed, json_path)


def materialize(
    context: Context,
    assets: Annotated[
        str,
        typer.Argument(
            metavar="ASSET[,ASSET...]",
            help="Assets, e.g. bars, features/core, STRATEGY/model; `features` means the packs "
            "that are kept for the instrument.",
        ),
    ],
    first: Annotated[str, typer.Option("--from", metavar="DATE", help="First day or week.")],
    last: Annotated[str, typer.Option("--to", metavar="DATE", help="Last day or week.")],
    instrument: Annotated[
        str | None,
        typer.Option(metavar="ID[,ID...]", help="Instruments; not needed for news."),
    ] = None,
) -> int | None:
    """Make partitions of assets, through Dagster.

    One run for each instrument covers the whole range, with the assets chained in it. Daily assets
    take days; a strategy's weekly assets (model, predictions, backtest, promotion) take weeks,
    named by their Monday. A partition that exists is made again and swapped in whole. For parity
    the verdict on each day is printed. Of promotions the gate's decision on each week is printed,
    and what is in service then; the exit code is 3 when it refuses one.

    \b
    Examples:
      vostok materialize bars,features/core --instrument BTC/USDT --from 2025-01-01 --to 2025-01-31
      vostok materialize demo_flow/model --instrument demo.spot.EDGE-USDT \\
        --from 2025-01-06 --to 2025-01-20

    Results go to the lake; `vostok ui` shows the runs with logs and metadata.
    """
    project = context.project
    since, until = parse_range(first, last)
    chosen: list[str | None] = [None]
    if instrument is not None:
        chosen = [str(project.settings.instrument(name).id) for name in split_names(instrument)]
    from vostok_pipelines.launch import Launcher

    launcher, names = Launcher(project), split_names(assets)
    for name in names:
        launcher.resolve(name)
    warn_of_unusable(project)
    code = None
    for name in chosen:
        result = launcher.materialize(names, name, since, until)
        what = ", ".join(result.assets)
        typer.echo(f"{name or 'all'} {since} to {until}: {what}: run {result.run_id}")
        print_verdicts(project.open_lake(), result.assets, name, days(since, until))
        refused = print_decisions(project.open_lake(), result.assets, name, weeks(since, until))
        code = refused or code
    return code


def walk_forward(
    context: Context,
    strategy: Annotated[str, typer.Argument(metavar="STRATEGY", help="Name of a strategy file.")],
    instrument: Annotated[str, typer.Option(metavar="ID", help="Instrument of vostok.toml.")],
    first: Annotated[str, typer.Option("--from", metavar="WEEK", help="First week: its Monday.")],
    last: Annotated[str, typer.Option("--to", metavar="WEEK", help="Last week: its Monday.")],
) -> int | None:
    """Walk a strategy forward and let the gate decide.

    For every week a model is trained on what was known before its Monday, and predicts the week.
    The predictions together are the out-of-sample path; the engine trades it tick by tick, costs
    inside, and the gate judges the result. The instrument's features must be there (`vostok
    ingest` makes them), the training weeks before the first week included.

    \b
    Example:
      vostok walk-forward eos_flow --instrument kraken.spot.EOS-USD \\
        --from 2018-05-28 --to 2018-05-28

    Prints the gate's table and exits with 3 when it refuses. Predictions, backtest, trial and
    decision go to the lake; the report's path is printed.
    """
    project = context.project
    since, until = parse_week(first), parse_week(last)
    check_order(since, until)
    chosen = project.strategy(strategy)
    market = project.settings.instrument(instrument)
    if str(market.id) not in chosen.file.instruments:
        raise UsageError(
            f"{chosen.name} doesn't trade {market.id}",
            hint=f"add it to the instruments of strategies/{chosen.name}.toml, so that schedules "
            "and the gate know of it",
        )
    lake = project.open_lake(create=False)
    warn_of_unusable(project)
    from vostok.walk_forward import walk_forward as walk
    from vostok_core.promotion.service import standing
    from vostok_pipelines.launch import Launcher
    from vostok_pipelines.promotion import report_path

    week = walk(
        Launcher(project),
        chosen,
        market,
        since,
        until,
        lambda stage, run: typer.echo(f"{stage}: run {run.run_id}"),
    )
    place = {"strategy": chosen.name, "instrument": str(market.id), "week": week}
    decision = lake.read("promotions", **place)
    code = print_decision(decision, f"{chosen.name} on {market.id}")
    judged = lake.read("backtest_daily", columns=["date"], **place)["date"].to_list()
    earlier = ", earlier predictions included" if judged[0] < since else ""
    typer.echo(f"judged: {judged[0]} to {judged[-1]}{earlier}; kept as of {week}, the Monday after")
    typer.echo(f"model of {week}: {standing(lake, chosen.name, str(market.id), week)}")
    typer.echo(f"report: {report_path(lake, chosen.name, str(market.id), week)}")
    return code


def print_decision(rows: pl.DataFrame, title: str) -> int | None:
    """Print a gate decision, rule by rule.

    Returns:
        The exit code of a refusal, or None.
    """
    first = rows.row(0, named=True)
    typer.echo(f"{title}: {first['decision']}")
    typer.echo(
        f"gate profile {first['profile']} ({first['profile_hash'][:16]}), configuration "
        f"{first['configuration']}, trials {first['trials']}"
    )
    print_table(
        ["rule", "value", "bound", "verdict", "reason"],
        [
            [
                row["rule"],
                f"{row['value']:.4g}",
                f"{row['comparison']} {row['bound']:.4g}",
                row["verdict"],
                row["reason"],
            ]
            for row in rows.iter_rows(named=True)
        ],
    )
    return Refused.exit_code if first["decision"] == "refused" else None


def ui(
    context: Context,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web page.")] = 3000,
) -> int:
    """Start Dagster's web page and daemon, until Ctrl-C.

    The page shows the assets from raw files to promotions, their partitions, checks, runs and
    logs. The daemon runs the schedules and the sensor that are switched on there.

    \b
    Examples:
      vostok ui
      vostok ui --port 3001 --lake /tmp/demo

    The page is served on this machine only, at http://127.0.0.1:PORT.
    """
    from vostok.ui import serve

    warn_of_unusable(context.project)
    return serve(context.project, port)


def split_names(text: str) -> list[str]:
    """Names separated by commas, each once, in order.

    Raises:
        UsageError: There is none.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UsageError(f"{text!r} names nothing", hint="separate names by commas, as in a,b")
    return names


def parse_range(first: str, last: str) -> tuple[date, date]:
    """Two days, in order.

    Raises:
        UsageError: One is not a day, or the last lies before the first.
    """
    since, until = parse_day(first), parse_day(last)
    check_order(since, until)
    return since, until


def check_order(first: date, last: date) -> None:
    """Refuse a range that ends before it begins.

    Raises:
        UsageError: It does.
    """
    if last < first:
        raise UsageError(
            f"--to {last} lies before --from {first}", hint="give the earlier one to --from"
        )
