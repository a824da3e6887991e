"""Looking at strategy files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vostok.cli.command import command
from vostok.cli.output import print_json, print_table
from vostok.context import Context
from vostok_core.errors import StrategyError, UnknownName, VostokError

if TYPE_CHECKING:
    from vostok_core.strategy import Strategy

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List, show and check strategy files.",
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def list_strategies(context: Context, *, as_json: JsonOption = False) -> int | None:
    """List the strategies of the project.

    \b
    Examples:
      vostok strategy list
      vostok strategy list --json

    Files that can't be used are said last, and the exit code is then 2.
    """
    project = context.project
    if as_json:
        print_json([{"name": s.name, **s.resolved()} for s in project.strategies.values()])
    else:
        _print_strategies(project.strategies.values())
    for error in project.unusable_strategies.values():
        typer.echo(f"Error: {error}", err=True)
    return StrategyError.exit_code if project.unusable_strategies else None


def _print_strategies(strategies: Iterable[Strategy]) -> None:
    print_table(
        ["strategy", "interval", "features", "gate", "instruments"],
        [
            [
                s.name,
                s.file.interval,
                ", ".join(s.file.features.packs),
                s.file.gate.profile,
                ", ".join(s.file.instruments),
            ]
            for s in strategies
        ],
    )


def show(
    context: Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a strategy.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Show a strategy with every default filled in.

    \b
    Examples:
      vostok strategy show demo_flow
      vostok strategy show demo_flow --json

    docs/strategies.md says what each setting means.
    """
    strategy = context.project.strategy(name)
    if as_json:
        print_json({"name": strategy.name, **strategy.resolved()})
        return
    settings = strategy.resolved()
    typer.echo(f"{strategy.name}: {settings.pop('description')}\n")
    print_table(["setting", "value"], [[key, value] for key, value in _flat(settings)])


def check(
    context: Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME_OR_FILE", help="Strategies or files; default: all."),
    ] = None,
) -> int | None:
    """Check strategy files: every setting, and the names that they refer to.

    \b
    Examples:
      vostok strategy check
      vostok strategy check strategies/mine.toml

    Prints a line for each file, with what to write instead where something is wrong, and exits
    with 2 then.
    """
    project = context.project
    folder = project.strategies_folder
    paths = [_path(folder, name) for name in names or []] or project.strategy_files
    if not paths:
        raise UnknownName("there is no strategy to check", where=folder, hint="write one there")
    failed = False
    for path in paths:
        try:
            strategy = project.read_strategy(path)
        except VostokError as error:
            failed = True
            typer.echo(f"Error: {error}", err=True)
        else:
            typer.echo(f"{strategy.name}: ok")
    return StrategyError.exit_code if failed else None


def _path(folder: Path, name: str) -> Path:
    path = Path(name)
    return path if path.suffix == ".toml" else folder / f"{name}.toml"


def _flat(settings: dict[str, object], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            rows.append((prefix + key, ", ".join(map(str, value))))
        else:
            rows.append((prefix + key, str(value)))
    return rows


command(app, "list")(list_strategies)
command(app, "show")(show)
command(app, "check")(check)
