"""What the gate decided of weeks, and what came of it, told in lines."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

import typer

from vostok_core.errors import Refused

if TYPE_CHECKING:
    from vostok_core.lake.store import Lake

_PROMOTION = "/promotion"


def print_decisions(
    lake: Lake, assets: Iterable[str], instrument: str | None, weeks: Iterable[date]
) -> int | None:
    """Print the gate's decision on each week, where promotions are among some assets.

    Returns:
        The exit code of a refusal if there is one, or None.
    """
    if instrument is None:
        return None
    weeks = list(weeks)
    code = None
    for strategy in (name.removesuffix(_PROMOTION) for name in assets if name.endswith(_PROMOTION)):
        for week in weeks:
            said, refused = decided(lake, strategy, instrument, week)
            typer.echo(f"{strategy} on {instrument}, {week}: {said}")
            code = Refused.exit_code if refused else code
    return code


def decided(lake: Lake, strategy: str, instrument: str, week: date) -> tuple[str, bool]:
    """What the table `promotions` says of a week, and what is in service, in words; and whether
    it is a refusal."""
    from vostok_core.promotion.service import standing

    rows = lake.read("promotions", strategy=strategy, instrument=instrument, week=week)
    failed = rows.filter(verdict="fail")["rule"].to_list()
    refused = rows["decision"][0] == "refused"
    said = (
        f"refused: {len(failed)} of {rows.height} rules fail ({', '.join(failed)})"
        if refused
        else f"promoted: all {rows.height} rules hold"
    )
    return f"{said}; {standing(lake, strategy, instrument, week)}", refused
