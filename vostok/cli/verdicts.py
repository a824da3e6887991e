"""What parity decided of days, told in a line each."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from vostok_core.lake.store import Lake

_PARITY = "/parity"


def print_verdicts(
    lake: Lake, assets: Iterable[str], instrument: str | None, days: Iterable[date]
) -> None:
    """Print what the lake says of parity on each day, where that is among some assets."""
    if instrument is None:
        return
    days = list(days)
    for strategy in (name.removesuffix(_PARITY) for name in assets if name.endswith(_PARITY)):
        for day in days:
            typer.echo(
                f"{strategy} on {instrument}, {day}: {verdict(lake, strategy, instrument, day)}"
            )


def verdict(lake: Lake, strategy: str, instrument: str, day: date) -> str:
    """What the table `parity` says of a day, in words."""
    from vostok_core.live.parity import Proof

    frame = lake.read("parity", strategy=strategy, instrument=instrument, date=day)
    proof = Proof.of(day, frame)
    tallies = proof.tallies.values()
    compared, equal, untold = (
        sum(getattr(tally, what) for tally in tallies) for what in ("compared", "equal", "untold")
    )
    if proof.holds:
        return f"holds: {compared:,} values compared, every bit equal"
    rows = frame.to_dicts()
    left = f"{untold:,} could not be told again"
    if proof.verdict == "differs":
        first = min((row for row in rows if row["first_ts"]), key=lambda row: row["first_ts"])
        also = f", and {left}" if untold else ""
        return f"DIFFERS: {compared - equal:,} of {compared:,} values{also}; {_difference(first)}"
    if not untold:
        return "untold: there was nothing to compare"
    why = "; ".join(dict.fromkeys(row["why"] for row in rows if row["untold"] and row["why"]))
    return f"untold: {left}, {compared:,} values compared and every bit equal: {why}"


def _difference(row: dict[str, Any]) -> str:
    why = f" ({row['why']})" if row["why"] else ""
    return (
        f"the first in {row['kind']} at {row['first_ts']:%Y-%m-%d %H:%M:%S}, {row['place']}: live "
        f"{row['live']}, batch {row['batch']}{why}"
    )
