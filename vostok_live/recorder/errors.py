"""Errors of the recorder, below those of the library.

VostokError
└── RecorderError                exit code 1: a recording can't be kept
    └── RecorderTaken            another process records the instrument
"""

from __future__ import annotations

from vostok_core.errors import VostokError


class RecorderError(VostokError):
    """What comes can't be written down, or what was can't be landed."""


class RecorderTaken(RecorderError):
    """Another process records the instrument."""
