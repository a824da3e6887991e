"""`vostok-live`: the daemon, and what a person says to it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vostok_core.errors import Refused, VostokError
from vostok_live.options import DebugOption, ExchangeOption, LakeOption, find, reported
from vostok_live.recorder.cli import record

if TYPE_CHECKING:
    from vostok_core.trading.events import Action
    from vostok_live.daemon.plan import Plan

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

_SWITCH = 0.0005  # seconds that a thread may keep the interpreter

StrategyArgument = Annotated[
    str, typer.Argument(metavar="STRATEGY", help="Name of a strategy file.")
]
InstrumentOption = Annotated[
    str, typer.Option("--instrument", metavar="ID", help="Instrument of vostok.toml.")
]
RealOption = Annotated[bool, typer.Option("--real", help="Real money is meant.")]


@app.callback(epilog="`vostok-live COMMAND --help` explains a command and shows examples.")
def options() -> None:
    """Trade what was promoted: a small daemon, and the words that it listens to.

    \b
    It loads the model that the gate promoted, closes bars as trades come in, and trades one
    strategy on one instrument at one account. Everything is in its journal before it is done.
    Stopped or killed, it goes on from there; exits rest at the exchange meanwhile.

    \b
    On paper, at an exchange on this machine:
      vostok-exchange run --lake data_lake &
      eval "$(vostok-exchange key --lake data_lake)"
      vostok-live run demo_flow --instrument demo.spot.EDGE-USDT
      vostok-live monitor demo_flow --instrument demo.spot.EDGE-USDT

    \b
    Record what the market says, with or without a model:
      vostok-live record demo.spot.EDGE-USDT

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused (no model in service), 130 interrupted.
    """


@app.command()
def run(
    strategy: StrategyArgument,
    instrument: InstrumentOption,
    lake: LakeOption = None,
    exchange: ExchangeOption = None,
    *,
    real: RealOption = False,
    debug: DebugOption = False,
) -> None:
    """Trade until Ctrl-C or SIGTERM. Exits stay where they rest.

    Where nothing may be entered (no model in service, a lake that ends too long ago) it starts only
    if something is open, and sees to that alone.

    \b
    The account's key is read from BINANCE_APIKEY and BINANCE_SECRET, or from the files that
    BINANCE_APIKEY_FILE and BINANCE_SECRET_FILE name. Keep some BNB in the account, so that
    commission is not taken from what is bought. The key must not be allowed to withdraw.

    \b
    Examples:
      vostok-live run demo_flow --instrument demo.spot.EDGE-USDT
      vostok-live run my_strategy --instrument BTC/USDT --exchange testnet
      vostok-live run my_strategy --instrument BTC/USDT --exchange binance --real
    """
    with reported(debug=debug):
        _check_model(lake, strategy, instrument)
        plan = _plan(lake, strategy, instrument, exchange, real=real)
        from vostok_live.daemon.plan import JOURNAL
        from vostok_live.daemon.shipper import ship_daily
        from vostok_live.daemon.supervisor import Daemon
        from vostok_live.seams import real_seams
        from vostok_live.service.logs import logging_to
        from vostok_live.shipping import ship_changed

        plan.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = {"strategy": strategy, "instrument": str(plan.instrument.id)}

        # What runs beside the event loop (news, a model that is loaded) is not to hold it up.
        sys.setswitchinterval(_SWITCH)
        seams = real_seams()
        name = str(plan.instrument.id)
        arguments = [strategy, "--instrument", name, "--lake", str(plan.lake.root)]

        async def live() -> None:
            daemon = Daemon(plan, seams)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, daemon.stop)
            shipping = asyncio.ensure_future(ship_daily(arguments, seams.clock))
            try:
                await daemon.run()
            finally:
                shipping.cancel()
                await asyncio.gather(shipping, return_exceptions=True)

        with logging_to(plan.state, about, secrets=[plan.key.key, plan.key.secret]):
            asyncio.run(live())
            journal = plan.state / JOURNAL
            if not journal.exists():
                typer.echo("stopped before there was anything to write down")
                return
            try:
                written = ship_changed(journal, plan.lake, strategy, name)
            except VostokError as error:
                typer.echo(f"stopped in order, but the journal was not shipped: {error}", err=True)
            else:
                typer.echo(f"shipped {len(written)} partitions into {plan.lake.root}")


@app.command()
def status(
    strategy: StrategyArgument,
    instrument: InstrumentOption,
    lake: LakeOption = None,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="The document of docs/live-status.schema.json.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Say how the daemon stands, once.

    \b
    Examples:
      vostok-live status demo_flow --instrument demo.spot.EDGE-USDT
      vostok-live status demo_flow --instrument demo.spot.EDGE-USDT --json | jq .ready
    """
    with reported(debug=debug):
        from vostok_live.service import client
        from vostok_live.service.status import encode

        found = client.status(_state(lake, strategy, instrument))
        if as_json:
            typer.echo(json.dumps(json.loads(encode(found)), indent=1))
            return
        from rich.console import Console

        from vostok_live.monitor.once import render

        render(found, Console())


def _verb(action: Action, about: str) -> None:
    """Add a command that tells the daemon something."""

    def command(
        strategy: StrategyArgument,
        instrument: InstrumentOption,
        lake: LakeOption = None,
        *,
        debug: DebugOption = False,
    ) -> None:
        with reported(debug=debug):
            from vostok_live.daemon.plan import JOURNAL
            from vostok_live.seams import real_seams
            from vostok_live.switch import control

            state = _state(lake, strategy, instrument)
            typer.echo(asyncio.run(control(state, JOURNAL, action, real_seams())))

    example = f"vostok-live {action} demo_flow --instrument demo.spot.EDGE-USDT"
    command.__doc__ = f"{about}\n\n\b\nExample:\n  {example}\n"
    app.command(action)(command)


_verb("pause", "Enter nothing more; an open position is seen to its end.")
_verb("resume", "Enter again. Foreign trades and stray orders count as acknowledged.")
_verb("flatten", "Close the position at the market and pause.")
_verb(
    "kill",
    "Close the position and throw the kill switch, which holds over every restart.\n\n"
    "Where no daemon runs the switch is thrown in its journal: the position is closed when the "
    "daemon starts, and keeps its exits until then.",
)
_verb("reset", "Release the kill switch. Losses are measured from here on.")


@app.command()
def monitor(
    strategy: StrategyArgument,
    instrument: InstrumentOption,
    lake: LakeOption = None,
    *,
    once: Annotated[bool, typer.Option("--once", help="Print it once, as text.")] = False,
    debug: DebugOption = False,
) -> None:
    """Watch the daemon in the terminal: p pauses, r resumes, f flattens, q leaves.

    \b
    Examples:
      vostok-live monitor demo_flow --instrument demo.spot.EDGE-USDT
      vostok-live monitor demo_flow --instrument demo.spot.EDGE-USDT --once
    """
    with reported(debug=debug):
        state = _state(lake, strategy, instrument)
        if once:
            from rich.console import Console

            from vostok_live.monitor.once import render
            from vostok_live.service import client

            render(client.status(state), Console())
            return
        from vostok_live.monitor.app import run as watch

        watch(state)


@app.command()
def audit(
    strategy: StrategyArgument,
    instrument: InstrumentOption,
    lake: LakeOption = None,
    exchange: ExchangeOption = None,
    *,
    real: RealOption = False,
    debug: DebugOption = False,
) -> None:
    """Compare the journal with the exchange's own books; exits with 3 where they differ.

    \b
    Example:
      vostok-live audit demo_flow --instrument demo.spot.EDGE-USDT
    """
    with reported(debug=debug):
        from vostok_live.audit import audit as compare
        from vostok_live.seams import real_seams

        found = asyncio.run(
            compare(_plan(lake, strategy, instrument, exchange, real=real), real_seams())
        )
        for name, value in dataclasses.asdict(found).items():
            shown = ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else value
            typer.echo(f"{name.replace('_', ' '):15} {shown}")
        typer.echo("the journal and the exchange say the same" if found.clean else "THEY DIFFER")
        if not found.clean:
            raise typer.Exit(Refused.exit_code)


@app.command()
def ship(
    strategy: StrategyArgument,
    instrument: InstrumentOption,
    lake: LakeOption = None,
    *,
    changed: Annotated[
        bool, typer.Option("--changed", help="Look only where rows have come since the last time.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Copy the journal into the lake's tables live_*, day by day; a running daemon goes on.

    \b
    Example:
      vostok-live ship demo_flow --instrument demo.spot.EDGE-USDT
      vostok sql "FROM live_fills"
    """
    with reported(debug=debug):
        from vostok_live import shipping
        from vostok_live.daemon.plan import JOURNAL, state_folder

        os.nice(10)  # a daemon that trades goes first
        project = find(lake)
        market = project.settings.instrument(instrument)
        journal = state_folder(project, strategy, market) / JOURNAL
        send = shipping.ship_changed if changed else shipping.ship
        shipped_to = project.open_lake(create=False)
        written = send(journal, shipped_to, strategy, str(market.id))
        for info in written:
            typer.echo(f"{info.rows:>9,} rows  {shipped_to.name_of(info)}")
        if not written:
            typer.echo("nothing has changed since it was shipped last")


app.add_typer(record, name="record")


@app.command()
def doctor(
    strategy: StrategyArgument,
    instrument: InstrumentOption,
    lake: LakeOption = None,
    exchange: ExchangeOption = None,
    *,
    real: RealOption = False,
    debug: DebugOption = False,
) -> None:
    """Check everything that `run` needs, and change nothing.

    \b
    Example:
      vostok-live doctor demo_flow --instrument demo.spot.EDGE-USDT
    """
    with reported(debug=debug):
        from vostok_live.doctor import examine

        sound = True
        for finding in examine(find(lake), strategy, instrument, exchange, os.environ, real=real):
            typer.echo(str(finding))
            sound &= finding.ok
        if not sound:
            raise typer.Exit(1)


def main() -> None:
    """Run the command line on the arguments of this process."""
    app(prog_name="vostok-live")


def _plan(
    lake: Path | None, strategy: str, instrument: str, exchange: str | None, *, real: bool
) -> Plan:
    from vostok_live.daemon.plan import find_named, make_plan
    from vostok_live.daemon.venue import find_key, find_venue

    project = find(lake)
    find_named(project, strategy, instrument)  # before an exchange or a key is asked for
    venue = find_venue(exchange, project.lake_home, real=real)
    return make_plan(version("vostok"), project, strategy, instrument, venue, find_key(os.environ))


def _check_model(lake: Path | None, strategy: str, instrument: str) -> None:
    """Refuse a first start without a model that can be trusted, before anything else is asked for.

    Where there is a journal something may be open, which is to be seen to all the same.
    """
    from vostok_live.daemon.model import Model
    from vostok_live.daemon.plan import JOURNAL, find_named, state_folder

    project = find(lake)
    found, market = find_named(project, strategy, instrument)
    if not (state_folder(project, strategy, market) / JOURNAL).exists():
        Model.load(found, strategy, str(market.id))


def _state(lake: Path | None, strategy: str, instrument: str) -> Path:
    from vostok_live.daemon.plan import state_folder

    project = find(lake)
    return state_folder(project, strategy, project.settings.instrument(instrument))


if __name__ == "__main__":
    main()
