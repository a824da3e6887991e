"""Errors of the operator's side, below those of the library.

VostokError
└── ServiceError                 exit code 1: the daemon can't be spoken to, or refuses
    └── NotRunning               no daemon answers for a state folder
"""

from __future__ import annotations

from vostok_core.errors import VostokError


class ServiceError(VostokError):
    """The daemon can't be spoken to, or what it answers can't be used."""


class NotRunning(ServiceError):
    """No daemon answers for a state folder."""
