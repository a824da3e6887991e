"""`vostok-live record`: recording, how recordings stand, and landing what was left."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from vostok_core.errors import UsageError, VostokError
from vostok_live.options import DebugOption, LakeOption, find, reported

if TYPE_CHECKING:
    from vostok_core.market.instrument import Instrument
    from vostok_core.project import Project
    from vostok_live.recorder.landing import Landing

_LOG = "recorder.log"
_START = "start"


class _Group(TyperGroup):
    """What is no other command's name is an instrument to be recorded."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in self.commands:
            args = [_START, *args]
        return super().parse_args(ctx, args)


record = typer.Typer(
    cls=_Group,
    rich_markup_mode=None,
    help="Record trades, best prices and the depth of the book; see how recordings stand.",
)

InstrumentsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INSTRUMENT",
        help="Instruments of vostok.toml; by default those of [recorder] instruments.",
        show_default=False,
    ),
]


ExchangeOption = Annotated[
    str | None,
    typer.Option(
        "--exchange",
        metavar="NAME",
        help="binance, testnet, or the address of an embedded exchange; by default binance for its "
        "instruments, and for others the one that runs on the lake.",
    ),
]


@record.command(_START)
def start(
    instruments: InstrumentsArgument = None,
    lake: LakeOption = None,
    exchange: ExchangeOption = None,
    replay: Annotated[
        list[Path] | None,
        typer.Option(
            "--replay",
            metavar="FILE",
            help="Land a capture instead of recording: `<nanoseconds> <frame>` on each line, plain "
            "or .gz; can be given several times.",
        ),
    ] = None,
    *,
    keep: Annotated[
        bool | None,
        typer.Option(
            "--keep/--no-keep",
            help="Keep what has landed, compressed, frame by frame; by default as [recorder] keep.",
            show_default=False,
        ),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Record trades, best prices and the book's depth, until Ctrl-C or SIGTERM.

    Every frame is on its way to the disk before the next is looked at: LAKE/recorder/INSTRUMENT.
    An hour that is over is landed in the lake, as parts of raw_trades, raw_quotes, raw_depth and
    recordings. Connections that end are replaced, and trades that were missed are fetched by id;
    what can't be fetched is written down as missing. Killed or stopped, it goes on from there when
    it is started again. No key is needed.

    \b
    Examples:
      vostok-live record BTC/USDT                         as vostok.toml names it
      vostok-live record BTC/USDT ETH/USDT --keep         several, on shared connections
      vostok-live record                                  those of [recorder] instruments
      vostok-live record demo.spot.EDGE-USDT              an exchange on this machine
      vostok-live record BTC/USDT --replay capture.gz     a capture, through the same parser

    \b
    While it runs, and afterwards:
      vostok-live record status
      vostok-live record land BTC/USDT                    what a recorder left that was killed
      vostok sql "FROM recordings ORDER BY ts DESC"
      vostok sql "SELECT count(*), max(ts) FROM raw_quotes"
    """
    with reported(debug=debug):
        project = find(lake)
        if replay:
            _replay(project, instruments or (), replay)
        else:
            _record(project, instruments or (), exchange, keep=keep)


@record.command()
def status(
    instruments: InstrumentsArgument = None,
    lake: LakeOption = None,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="The document of docs/recorder-status.schema.json.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Say how recordings stand, those that have stopped too.

    \b
    Examples:
      vostok-live record status
      vostok-live record status BTC/USDT --json | jq .recordings[0].alive
    """
    with reported(debug=debug):
        from vostok_live.recorder.status import encode, read_status
        from vostok_live.recorder.words import render
        from vostok_live.seams import real_seams

        project = find(lake)
        only = [str(project.settings.instrument(name).id) for name in instruments or ()]
        found = read_status(project.recorder_folder, real_seams().clock.wall_ns() // 1_000, only)
        if as_json:
            import msgspec

            typer.echo(msgspec.json.format(encode(found), indent=1).decode())
            return
        if not found.recordings:
            typer.echo("nothing was ever recorded here; `vostok-live record --help` shows how")
            return
        from rich.console import Console

        render(found, Console())


@record.command()
def land(
    instruments: InstrumentsArgument = None,
    lake: LakeOption = None,
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep what has landed, compressed, frame by frame.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing where all is well.")] = False,
    debug: DebugOption = False,
) -> None:
    """Land what was recorded and nobody writes any more; a recorder does this by itself.

    \b
    Examples:
      vostok-live record land BTC/USDT
      vostok-live record land
    """
    with reported(debug=debug):
        from vostok_live.recorder.plan import chosen

        os.nice(10)  # a recorder that listens goes first
        project = find(lake)
        landed = _land(project, chosen(project, instruments or ()), keep=keep)
        if landed and not quiet:
            _show(project, landed)
        elif not quiet:
            typer.echo("nothing is left to land")


def _record(
    project: Project, names: Sequence[str], exchange: str | None, *, keep: bool | None
) -> None:
    from vostok_live.recorder.lease import unwritable
    from vostok_live.recorder.plan import make_plan
    from vostok_live.recorder.recorder import Recorder
    from vostok_live.seams import real_seams
    from vostok_live.service.logs import logging_to

    plan = make_plan(project, names, exchange)
    project.open_lake()
    keep = plan.settings.keep if keep is None else keep
    instruments = list(plan.instruments.values())
    folder = plan.folder(instruments[0])
    arguments = [*map(str, (each.id for each in instruments)), "--lake", str(project.lake_root)]
    arguments += ["--keep"] if keep else []

    async def beside(_: Sequence[Instrument]) -> str:
        return await _land_beside(arguments)

    async def run() -> None:
        recorder = Recorder(plan, real_seams(), beside, version=version("vostok"))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, recorder.stop)
        await recorder.run()

    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(logging_to(folder, {"recorder": os.getpid()}, name=_LOG))
        except OSError as error:
            raise unwritable(folder, error) from error
        asyncio.run(run())
        try:
            landed = _land(project, instruments, keep=keep)
        except VostokError as error:
            typer.echo(f"stopped in order, but not all was landed: {error}", err=True)
        else:
            _show(project, landed)


async def _land_beside(arguments: Sequence[str]) -> str:
    """Land in a process of its own: Parquet would keep the frames waiting."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "vostok_live", "record", "land", *arguments, "--quiet",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        return f"the process that lands can't be started: {error}"
    try:
        _, said = await process.communicate()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    if not process.returncode:
        return ""
    return said.decode(errors="replace").strip() or f"it ended with {process.returncode}"


def _land(project: Project, instruments: Sequence[Instrument], *, keep: bool) -> list[Landing]:
    from vostok_live.recorder.landing import land_segments

    lake = project.open_lake()
    found: list[Landing] = []
    failed: VostokError | None = None
    for instrument in instruments:
        folder = project.recorder_folder / str(instrument.id)
        try:
            found += land_segments(lake, instrument, folder, keep=keep)
        except VostokError as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return found


def _replay(project: Project, names: Sequence[str], files: Sequence[Path]) -> None:
    from vostok_live.recorder.landing import land_capture
    from vostok_live.recorder.plan import chosen, recordable

    instruments = chosen(project, names)
    if len(instruments) != 1:
        raise UsageError(
            f"a capture is landed for one instrument, and {len(instruments)} were named",
            hint="name the one whose trades and book it holds",
        )
    recordable(instruments[0])
    lake = project.open_lake()
    for file in files:
        _show(project, [land_capture(lake, instruments[0], file)])


def _show(project: Project, landed: Sequence[Landing]) -> None:
    for each in landed:
        rows = ", ".join(f"{count:,} {name}" for name, count in each.rows.items() if count)
        days = " and ".join(map(str, each.days)) or "no day"
        other = f", {each.other:,} events of other symbols left out" if each.other else ""
        typer.echo(f"{each.path.name}: {each.lines:,} lines, {days}: {rows or 'no rows'}{other}")
    total = len(landed)
    typer.echo(f"landed {total} {'file' if total == 1 else 'files'} in {project.lake_root}")
