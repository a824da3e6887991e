"""Ships the journal when a day of market time is over, in a process of its own.

The daemon's own would be busy for as long as Parquet takes to write, and bars would close late.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence

from vostok_core.times import day_of
from vostok_live.seams import Clock
from vostok_live.service import logs

_log = logging.getLogger(f"{logs.ROOT}.shipper")
_EVERY = 60.0  # seconds
_PAUSE = 600.0  # seconds after a failure


async def ship_daily(arguments: Sequence[str], clock: Clock) -> None:
    """Ship after every midnight of market time, until cancelled; what fails is tried again.

    Args:
        arguments: Of `vostok-live ship`: strategy, instrument, lake.
        clock: Tells market time.
    """
    shipped = day_of(clock.market())
    while True:
        await asyncio.sleep(_EVERY)
        today = day_of(clock.market())
        if today == shipped:
            continue
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "vostok_live", "ship", *arguments, "--changed",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            logs.event(_log, "warning", "not_shipped", f"the process can't be started: {error}")
            await asyncio.sleep(_PAUSE)
            continue
        try:
            _, said = await process.communicate()
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise
        if process.returncode:
            logs.event(_log, "warning", "not_shipped", said.decode(errors="replace").strip())
            await asyncio.sleep(_PAUSE)
        else:
            logs.event(_log, "info", "shipped", f"the journal up to {today}")
            shipped = today
