"""What the recorder keeps beside the lake's tables, for whoever looks at it from outside.

    recorder/<instrument>/lock                        held while somebody records it
    recorder/<instrument>/heartbeat.json              how the recording stands, every few seconds
    recorder/<instrument>/20250106T14-9f31c2ab.frames a segment: what was received in an hour
    recorder/<instrument>/kept/….frames.gz            segments that have landed, where they are kept

A segment is there until all of it has landed, so a day that one is named for is not whole yet.
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

HEARTBEAT = "heartbeat.json"
LOCK = "lock"
KEPT = "kept"
SUFFIX = ".frames"

_NAME = re.compile(r"(\d{8}T\d{2})-[0-9a-f]{8}")


def segment_name(hour: datetime, mark: str) -> str:
    """The name of a segment that begins in an hour of market time; `mark` tells it from others."""
    return f"{hour:%Y%m%dT%H}-{mark}"


def segment_hour(path: Path) -> datetime | None:
    """The hour that a segment began in; None for a file that is no segment."""
    match = _NAME.fullmatch(path.name.removesuffix(SUFFIX))
    if match is None or not path.name.endswith(SUFFIX):
        return None
    with suppress(ValueError):
        return datetime.strptime(match[1], "%Y%m%dT%H").replace(tzinfo=UTC)
    return None


def segments(folder: Path) -> list[Path]:
    """The segments of an instrument that have not landed, the oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if segment_hour(path) is not None)


def open_days(folder: Path) -> set[date]:
    """The days of an instrument that segments which have not landed are named for."""
    hours = map(segment_hour, segments(folder))
    return {hour.date() for hour in hours if hour is not None}


def instruments(root: Path) -> Iterator[tuple[str, Path]]:
    """The instruments that were ever recorded, and the folder of each."""
    if root.is_dir():
        for folder in sorted(root.iterdir()):
            if (folder / LOCK).exists():
                yield folder.name, folder


def is_held(folder: Path) -> bool:
    """Whether a process records an instrument now."""
    try:
        with (folder / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def read_heartbeat(folder: Path) -> Mapping[str, Any] | None:
    """What the recording of an instrument last said of itself; None if nothing that reads."""
    try:
        found = json.loads((folder / HEARTBEAT).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
