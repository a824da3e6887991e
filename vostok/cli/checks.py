"""Checks that can refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vostok.cli.command import command
from vostok.cli.output import print_json, print_table
from vostok.context import Context
from vostok_core.errors import Refused

if TYPE_CHECKING:
    import numpy as np

    from vostok_core.features.registry import Pack
    from vostok_core.lake.store import Lake

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def checks() -> None:
    """Checks that can refuse.

    They exit with 3 when they find what must not be.
    """


def leaks(
    context: Context,
    pack: Annotated[
        str | None, typer.Argument(metavar="PACK", help="A feature pack; default: every one.")
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(
            min=10,
            metavar="N",
            help="Synthetic bars to use; default: the pack's longest warm-up and 600 more.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of bars and noise.")] = 1,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Try to make features look into the future.

    Cuts off and corrupts the bars after some bar, feeds bars one at a time, restarts, and
    overwrites memory: every value up to that bar must keep its bits, on every column and row. Runs
    on synthetic bars with gaps, silences and missing statistics, enough of them to fill the longest
    memory of a feature and more, and on the newest day in the lake, if any.

    \b
    Examples:
      vostok check leaks
      vostok check leaks core --rows 3000 --seed 7

    Prints what it examined and what it found, and exits with 3 when a feature leaks.
    """
    from vostok_core.features.leaks import check_pack, enough_rows, probe_rows
    from vostok_core.features.registry import pack as pack_of
    from vostok_core.features.registry import packs

    chosen = list(packs().values()) if pack is None else [pack_of(pack)]
    lake = _lake(context)
    examined: list[tuple[str, str, int, int]] = []
    found: list[tuple[str, str, str]] = []
    for each in chosen:
        count = enough_rows(each) if rows is None else rows
        sources = [("synthetic bars", probe_rows(each.inputs, count, seed))]
        sources += [] if lake is None else _newest(lake, each)
        for source, bars in sources:
            findings = check_pack(each, bars, seed=seed)
            examined.append((each.name, source, len(bars), len(findings)))
            found += [(each.name, source, str(finding)) for finding in findings]
    if as_json:
        print_json(
            {
                "examined": [
                    {"pack": p, "source": s, "rows": n, "findings": f} for p, s, n, f in examined
                ],
                "findings": [{"pack": p, "source": s, "finding": text} for p, s, text in found],
            }
        )
    else:
        print_table(
            ["pack", "on", "rows", "findings"], [[p, s, str(n), str(f)] for p, s, n, f in examined]
        )
        for name, source, text in found:
            typer.echo(f"{name}, {source}: {text}")
    if found:
        raise Refused(
            f"{len(found)} findings: a feature depends on what it can't know",
            hint="mend the kernel that the finding names; its row is where the bits differ",
        )


def _lake(context: Context) -> Lake | None:
    """The lake, if there is one: the check needs none."""
    project = context.project
    return project.open_lake(create=False) if project.has_lake else None


def _newest(lake: Lake, pack: Pack) -> list[tuple[str, np.ndarray]]:
    """The newest day of the pack's inputs in the lake, as rows."""
    from vostok_core.features.inputs import matrix

    keys = {"interval": "1m"} if pack.inputs == "bars" else {}
    days = [
        (day, instrument)
        for instrument in lake.keys(pack.inputs)
        for day in lake.days(pack.inputs, instrument=instrument, **keys)[-1:]
    ]
    if days:
        day, instrument = max(days)
        frame = lake.read(pack.inputs, instrument=instrument, **keys, date=day)
        return [(f"{instrument} {day}", matrix(frame, pack.fields))]
    return []


command(app, "leaks")(leaks)
