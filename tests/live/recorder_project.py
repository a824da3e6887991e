"""A project whose instruments are recorded, and recorders of it that are quick about everything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vostok_core.market.instrument import Instrument
from vostok_core.project import Project, find_project
from vostok_live.recorder.landing import land_segments
from vostok_live.recorder.plan import RecorderPlan, make_plan
from vostok_live.recorder.recorder import Recorder, Timing
from vostok_live.seams import Seams, real_seams

ABC, XYZ = "demo.spot.ABC-USDT", "demo.spot.XYZ-USDT"
SETTINGS = f"""
[calendar]
start = 2025-03-30

[recorder]
instruments = ["{ABC}", "{XYZ}"]

[instruments."{ABC}"]
tick = "agg_trade"
price_tick = "0.01"
quantity_step = "0.001"
max_silence = "30m"

[instruments."{XYZ}"]
tick = "trade"
price_tick = "0.01"
quantity_step = "0.001"
max_silence = "30m"
"""
QUICK = Timing(sync=0.05, beat=0.1, clock=1.0, land_again=0.2, grace=0.01)


def make_project(root: Path) -> Project:
    """A project with two instruments that are recorded, and an empty lake."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "vostok.toml").write_text(SETTINGS)
    project = find_project(root, {})
    project.open_lake()
    return project


def land_inline(project: Project) -> Callable[[Sequence[Instrument]], Any]:
    """Lands in this process, as the recorder's own does in another."""

    async def land(instruments: Sequence[Instrument]) -> str:
        for instrument in instruments:
            folder = project.recorder_folder / str(instrument.id)
            await asyncio.to_thread(
                land_segments, project.open_lake(), instrument, folder, keep=False
            )
        return ""

    return land


def recorder(project: Project, url: str, seams: Seams | None = None, **options: Any) -> Recorder:
    """A recorder of both instruments, quick about everything."""
    plan: RecorderPlan = make_plan(project, (), url)
    given = {"timing": QUICK, "version": "test"} | options
    return Recorder(plan, seams or real_seams(), land_inline(project), **given)


def land(project: Project) -> None:
    """Land all that was left."""
    lake = project.open_lake()
    for name in (ABC, XYZ):
        instrument = project.settings.instrument(name)
        land_segments(lake, instrument, project.recorder_folder / name, keep=False)
