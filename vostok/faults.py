"""Any exception as an error that says what to do: ours as it is, the system's, or a defect."""

from __future__ import annotations

import os
import re

from vostok_core.errors import VostokError

_RUST = re.compile(r"\(os error (\d+)\)")


def explained(error: Exception) -> VostokError:
    """What a person is told about an exception."""
    if isinstance(error, VostokError):
        return error
    refused = _refused(error)
    if refused is not None:
        return VostokError(
            refused, hint="check its rights and the free space, or name another lake with --lake"
        )
    return VostokError(
        f"a defect of Vostok, not of your input: {type(error).__name__}: {error}",
        hint="run it again with --debug and report the traceback",
    )


def _refused(error: Exception) -> str | None:
    """What the system refused to do with a file, if that is what happened."""
    if isinstance(error, OSError):
        name, reason = error.filename, error.strerror or str(error)
    else:
        # Polars raises errors of its own, which quote the system's.
        number = _RUST.search(str(error))
        if number is None:
            return None
        name, reason = None, os.strerror(int(number[1]))
    return f"{name or 'a file'} can't be read or written: {reason}"
