"""The application: global options, and the commands in the order in which one meets them."""

from __future__ import annotations

from typing import Annotated

import typer

from vostok import __version__
from vostok.cli import (
    checks,
    data,
    fetching,
    lake,
    maintenance,
    models,
    repair,
    runs,
    strategies,
)
from vostok.cli.command import DebugOption, Globals, LakeOption

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"vostok {__version__}")
        raise typer.Exit


@app.callback(epilog="`vostok COMMAND --help` explains a command and shows examples.")
def options(
    ctx: typer.Context,
    lake: LakeOption = None,
    *,
    debug: DebugOption = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """From exchange ticks and news to a trading model that has earned promotion.

    \b
    Start here:
      vostok demo                     the whole path on synthetic markets, in minutes
      vostok doctor                   is everything in order?

    \b
    Then, with your own data:
      vostok fetch binance.spot.BTC-USDT --from DAY --to DAY
      vostok ingest DIR --instrument binance.spot.BTC-USDT --format binance-aggtrades
      vostok walk-forward STRATEGY --instrument ID --from WEEK --to WEEK
      vostok sql "SELECT * FROM promotions"

    Everything is written to the lake, a folder of Parquet files with its own Dagster instance: the
    one of --lake, else of VOSTOK_LAKE, else of vostok.toml.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by a check or the gate, 130 interrupted.
    """
    del version  # its callback has ended the process
    ctx.obj = Globals(lake, debug)


runs.register_demo(app)
fetching.register(app)
data.register(app)
repair.register(app)
runs.register(app)
app.add_typer(strategies.app, name="strategy")
app.add_typer(models.app, name="model")
app.add_typer(lake.app, name="lake")
app.add_typer(checks.app, name="check")
maintenance.register(app)
