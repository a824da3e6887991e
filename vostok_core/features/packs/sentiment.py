"""The pack `sentiment`: how news about the instrument has sounded lately."""

from __future__ import annotations

from vostok_core.features.kernels.news import decayed, newest
from vostok_core.features.registry import Pack, register

SENTIMENT = register(
    Pack(
        name="sentiment",
        version="1",
        description="Tone and number of news items, decaying with the minutes since they came.",
        inputs="sentiment",
        kernels=(decayed(60), decayed(360), newest(1440)),
    )
)
