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


def gravest(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that a person should hear of, where several came at once."""
    found: list[BaseException] = []
    rest: list[BaseException] = [group]
    while rest:
        error = rest.pop(0)
        if isinstance(error, BaseExceptionGroup):
            rest += error.exceptions
        else:
            found.append(error)
    for kind in (JournalError, VostokError, Exception):
        for error in found:
            if isinstance(error, kind):
                return error
    return found[0]
