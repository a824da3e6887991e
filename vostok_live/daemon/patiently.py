"""Asking what only the exchange can say, until it says it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from vostok_live.feed.http import FeedError
from vostok_live.gateway.ccxt_port import Unreachable
from vostok_live.seams import Random
from vostok_live.service import logs

Result = TypeVar("Result")

_log = logging.getLogger(f"{logs.ROOT}.session")
_PAUSE, _LONGEST_PAUSE = 0.5, 30.0


async def patiently(random: Random, what: str, ask: Callable[[], Awaitable[Result]]) -> Result:
    """Ask until there is an answer.

    Args:
        random: Chance, for the pauses.
        what: Of whom, for the log.
        ask: Raises `Unreachable` or `FeedError` where no answer came.
    """
    pause = _PAUSE
    while True:
        try:
            return await ask()
        except (Unreachable, FeedError) as error:
            logs.event(_log, "warning", "no_answer", f"{what}: {error}")
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, _LONGEST_PAUSE)
