"""Errors of the daemon, below those of the library.

VostokError
└── JournalError                 exit code 1: the journal can't be opened, or can't be trusted
    └── JournalTaken             another process writes it
"""

from __future__ import annotations

from vostok_core.errors import VostokError


class JournalError(VostokError):
    """The journal can't be opened, read or written."""


class JournalTaken(JournalError):
    """Another process has the right to write the journal."""
