"""Looking after the lake: what it takes, whether it is whole, and making it smaller."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vostok.cli.command import command
from vostok.cli.output import print_json, print_table
from vostok.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vostok_core.lake.store import Lake
    from vostok_core.lake.upkeep import Usage
    from vostok_core.project import Project

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="See what the lake takes and whether it is whole; make it smaller.",
)

TablesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="TABLE", help="Tables; by default all.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def du(
    context: Context,
    tables: TablesArgument = None,
    *,
    rows: Annotated[
        bool, typer.Option("--rows", help="Count rows too: opens the footer of every file.")
    ] = False,
    by_key: Annotated[
        bool,
        typer.Option("--by-key", help="A line for each instrument (or strategy, or first key)."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say how many files and bytes each table takes, and from which day to which it goes.

    \b
    Examples:
      vostok lake du
      vostok lake du ticks raw_trades --by-key --rows
      vostok lake du --json
    """
    from vostok_core.lake.upkeep import usage

    project = context.project
    lake = project.open_lake(create=False)
    found = [each for name in _tables(tables) for each in usage(lake, name, count_rows=rows)]
    beside = {} if tables else _beside(project)
    if as_json:
        print_json({"tables": [_usage_row(each) for each in found], "beside": beside})
        return
    if not by_key:
        groups: dict[str, list[Usage]] = defaultdict(list)
        for each in found:
            groups[each.table].append(each)
        found = [_sum(group) for group in groups.values()]
    found.sort(key=lambda each: -each.size)
    found.append(_total(found))
    columns: dict[str, list[str]] = {"table": [each.table for each in found]}
    if by_key:
        columns["key"] = [each.key for each in found]
    columns["files"] = [f"{each.files:,}" for each in found]
    columns["size"] = [spoken_bytes(each.size) for each in found]
    if rows:
        columns["rows"] = [f"{each.rows:,}" for each in found]
        columns["bytes/row"] = [
            f"{each.size / each.rows:.1f}" if each.rows else "" for each in found
        ]
    columns["first"] = [each.first or "" for each in found]
    columns["last"] = [each.last or "" for each in found]
    print_table(list(columns), list(zip(*columns.values(), strict=True)))
    for name, size in beside.items():
        typer.echo(f"beside the tables: {spoken_bytes(size):>9}  {name}")


def verify(context: Context, tables: TablesArgument = None, *, as_json: JsonOption = False) -> int:
    """Read every file again and compare it with the hash in its footer.

    Finds a flipped bit anywhere in a file, a file that was cut off, and landed rows whose ticks
    have gone; says how to mend each. Changes nothing.

    \b
    Examples:
      vostok lake verify
      vostok lake verify ticks bars --json

    Exits with 1 if anything is damaged.
    """
    from vostok_core.lake.verify import verify as look

    lake = context.project.open_lake(create=False)
    files, size, damaged = 0, 0, []
    for name in _tables(tables):
        with _progress(lake, name) as seen:
            for looked in look(lake, name):
                seen()
                files, size = files + 1, size + looked.size
                if looked.damage is not None:
                    damaged.append(looked)
    if as_json:
        rows = [
            {"table": d.table, "path": str(d.path), "damage": d.damage, "hint": d.hint}
            for d in damaged
        ]
        print_json({"files": files, "bytes": size, "damaged": rows})
    else:
        for each in damaged:
            hint = f" Hint: {each.hint}" if each.hint else ""
            typer.echo(f"Damaged: {each.path}: {each.damage}.{hint}", err=True)
        verdict = f"{len(damaged)} of them damaged" if damaged else "all whole"
        typer.echo(f"{files:,} files, {spoken_bytes(size)}: {verdict}")
    return 1 if damaged else 0


def compact(context: Context, tables: TablesArgument = None, *, as_json: JsonOption = False) -> int:
    """Write older files anew in the present encoding, and keep rows that stand twice once.

    Rows, hashes and footers stay as they are, so nothing becomes due again. A file is swapped whole
    if nobody has written it meanwhile; it can run beside anything, be stopped and begun again.

    \b
    Examples:
      vostok lake compact
      vostok lake compact raw_trades ticks

    Exits with 1 if a file could not be rewritten since it is damaged; it is left as it was.
    """
    from vostok_core.lake.catalog import refresh_catalog
    from vostok_pipelines.upkeep import compact_table

    lake = context.project.open_lake(create=False)
    found: list[dict[str, Any]] = []
    problems: list[str] = []
    for name in _tables(tables):
        before = after = files = 0
        with _progress(lake, name) as seen:
            for each in compact_table(lake, name, seen):
                if each.problem is not None:
                    problems.append(f"{each.path}: {each.problem}")
                    continue
                files, before, after = files + 1, before + each.before, after + each.after
        if files:
            found.append({"table": name, "files": files, "before": before, "after": after})
    if found:
        refresh_catalog(lake)
    if as_json:
        print_json({"rewritten": found, "problems": problems})
    elif found:
        cells = [
            [r["table"], f"{r['files']:,}", spoken_bytes(r["before"]), spoken_bytes(r["after"])]
            for r in found
        ]
        print_table(["table", "files rewritten", "before", "after"], cells)
    elif not problems:
        typer.echo("every file is in the present encoding, and no row stands twice")
    for problem in [] if as_json else problems:
        typer.echo(f"Left as it was: {problem}. Hint: `vostok lake verify` says more", err=True)
    return 1 if problems else 0


def gc(
    context: Context,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would go, and remove nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove what nobody needs any more.

    That is temporary files of killed writers (after an hour), downloads that nobody went on with,
    landed rows that a later file took the place of, and days of the tables that have an age in
    [retention] of vostok.toml. Nothing goes that something else in the lake is made from.

    \b
    Examples:
      vostok lake gc --dry-run
      vostok lake gc --json
    """
    from vostok_core.lake.catalog import refresh_catalog
    from vostok_pipelines.upkeep import KINDS, Garbage, find_garbage

    project = context.project
    lake = project.open_lake(create=False)
    found: dict[str, list[Garbage]] = {kind: [] for kind in KINDS}
    for each in find_garbage(project, lake):
        found[each.kind].append(each)
        if not dry_run:
            each.remove()
    if not dry_run and found["expired"]:
        refresh_catalog(lake)
    if as_json:
        print_json(
            {
                "removed": not dry_run,
                "found": [
                    {"kind": each.kind, "what": each.what, "bytes": each.size}
                    for group in found.values()
                    for each in group
                ],
            }
        )
        return
    if not any(found.values()):
        typer.echo("nothing is there that could go")
        return
    for kind, group in found.items():
        if group and dry_run:
            for each in group:
                typer.echo(f"  {each.what}")
        if group:
            size = spoken_bytes(sum(each.size for each in group))
            does = "would remove" if dry_run else "removed"
            typer.echo(f"{does} {KINDS[kind]}: {len(group):,}, {size}")  # type: ignore[index]


def _tables(names: Sequence[str] | None) -> list[str]:
    from vostok_core.lake.tables import TABLES, table

    return [table(name).name for name in dict.fromkeys(names)] if names else list(TABLES)


@contextmanager
def _progress(lake: Lake, name: str) -> Iterator[Callable[[], None]]:
    """Show how many of a table's files were seen; gives what to call after each."""
    from rich.console import Console

    from vostok.progress import showing

    total = len(lake.listed(name))
    with showing(Console(stderr=True)) as bars:
        task = bars.add_task(name, total=total, visible=total > 0)
        yield lambda: bars.advance(task)


def _usage_row(each: Usage) -> dict[str, object]:
    row = {
        "table": each.table,
        "key": each.key,
        "files": each.files,
        "bytes": each.size,
        "days": each.days,
        "first": each.first,
        "last": each.last,
    }
    return row if each.rows is None else row | {"rows": each.rows}


def _sum(group: Sequence[Usage]) -> Usage:
    from vostok_core.lake.upkeep import Usage

    return Usage(
        group[0].table,
        "",
        sum(each.files for each in group),
        sum(each.size for each in group),
        max(each.days for each in group),
        min((each.first for each in group if each.first), default=None),
        max((each.last for each in group if each.last), default=None),
        None if group[0].rows is None else sum(each.rows or 0 for each in group),
    )


def _total(found: Sequence[Usage]) -> Usage:
    from vostok_core.lake.upkeep import Usage

    if not found:
        return Usage("total", "", 0, 0, 0, None, None, 0)
    return replace(_sum(found), table="total", first=None, last=None)


def _beside(project: Project) -> dict[str, int]:
    """Folders of the lake (or of its home on this machine) that are no tables, and their bytes."""
    from vostok_core.lake.tables import TABLES

    home = project.lake_home
    found = {}
    for entry in sorted(home.iterdir()) if home.is_dir() else ():
        if entry.is_dir() and entry.name not in TABLES:
            size = sum(path.stat().st_size for path in entry.rglob("*") if path.is_file())
            found[str(entry)] = size
    return found


def spoken_bytes(size: int) -> str:
    """A number of bytes as people read it."""
    amount, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):  # noqa: B007
        if amount < 1000:
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


for _command, _name in ((du, "du"), (verify, "verify"), (compact, "compact"), (gc, "gc")):
    command(app, _name)(_command)
