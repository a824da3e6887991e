"""Making a lake smaller: rows that stand twice are kept once, and what nobody needs goes.

What a file is needed for is known here, not in the lake: which landed parts a day is merged from,
and which files in its folders are unfinished downloads.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

from vostok_core.errors import Conflict, CorruptPartition
from vostok_core.lake.parquet import NOWHERE, PartitionInfo
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.lake.upkeep import Rewritten, compact, leftovers, whole
from vostok_core.market.days import parts_in_use
from vostok_core.market.kept_once import LANDED, keep_once, keeping
from vostok_core.project import Project
from vostok_core.settings import RetentionSettings
from vostok_core.times import parse_duration
from vostok_pipelines.fetching.rest import rest_folder

Kind = Literal["temporary", "unfinished", "replaced", "expired"]

KINDS: dict[Kind, str] = {
    "temporary": "temporary files of killed writers",
    "unfinished": "downloads that nobody went on with",
    "replaced": "landed rows that a later file took the place of",
    "expired": "days beyond their retention",
}


def compact_table(
    lake: Lake, name: str, seen: Callable[[], None] = lambda: None
) -> Iterator[Rewritten]:
    """Keep the rows of a table once and in the present encoding.

    Args:
        lake: The lake.
        name: The table.
        seen: Called after each file of the table.
    """
    for main, landed in LANDED.items():
        if landed == name:
            yield from _keep_once(lake, name, main)
    yield from compact(lake, name, seen)


def _keep_once(lake: Lake, name: str, main: str) -> Iterator[Rewritten]:
    """Make stubs of the landed parts whose rows stand in `ticks` (or `klines`) as well."""
    declared = table(name)
    for values in sorted({values for values, _ in lake.listed(name)}):
        keys: dict[str, Any] = dict(zip(declared.keys, values, strict=True))
        try:
            if not lake.exists(main, **keys):
                continue
            content = lake.info(main, **keys).content_hash
            if not any(
                part.kept_in is None and part.rows and part.content_hash == content
                for part in lake.parts(name, **keys)
            ):
                continue
            with keeping(lake, main, keys):
                info, rows = lake.load(main, **keys)
                if not whole(info, rows):
                    place = info.path
                    problem = "its content doesn't match the hash in its footer"
                    yield Rewritten(main, place, info.size, info.size, problem)
                    continue
                before = keep_once(lake, main, keys, info, rows)
            after = {part.name: part.size for part in lake.parts(name, **keys)}
        except Conflict:
            continue  # somebody is landing or merging the day, who keeps it once in turn
        except CorruptPartition as error:
            where = lake.partition(name, **keys)
            yield Rewritten(name, where, 0, 0, f"{error.what} ({error.where})")
            continue
        for part in before:
            yield Rewritten(name, part.path, part.size, after.get(part.name, part.size))


@dataclass(frozen=True)
class Garbage:
    """Something that nobody needs.

    Attributes:
        kind: Why.
        what: Its name, for people.
        size: Bytes that go with it.
        remove: Removes it; again without effect.
    """

    kind: Kind
    what: str
    size: int
    remove: Callable[[], None]


def find_garbage(project: Project, lake: Lake, now: datetime | None = None) -> Iterator[Garbage]:
    """What could go, as `[retention]` of vostok.toml says; nothing is changed.

    Args:
        project: The project.
        lake: Its lake.
        now: The time to judge by (UTC); by default now.

    Raises:
        CorruptPartition: A footer of a landed part doesn't read.
    """
    kept = project.settings.retention
    moment = now or datetime.now(UTC)
    for path in leftovers(project.lake_home, moment.timestamp()):
        yield _files("temporary", path)
    limit = moment.timestamp() - parse_duration(kept.unfinished) / 1e6
    yield from _unfinished(project, limit)
    for name in LANDED.values():
        yield from _replaced(lake, name, moment.timestamp() - parse_duration(kept.replaced) / 1e6)
    yield from _expired(lake, kept, moment.date())


def _unfinished(project: Project, limit: float) -> Iterator[Garbage]:
    """Downloads of files, and days asked for by REST, that nobody went on with since the limit."""
    archives = project.settings.sources.archives.values()
    for root in sorted({project.lake_home / folder for folder in archives}):
        for path in sorted(root.rglob(".*.part")):
            if _newest(path) < limit:
                yield _files("unfinished", path, path.with_name(f"{path.name}.json"))
    for folder in sorted(rest_folder(project).glob("*/*.part")):
        if _newest(folder) < limit:
            yield _files("unfinished", folder)


def _replaced(lake: Lake, name: str, limit: float) -> Iterator[Garbage]:
    """Parts out of use, when nothing has landed of their day since the limit.

    Their rows go and their footers stay: they tell that a file has landed before.
    """
    declared = table(name)
    newest: dict[tuple[str, ...], tuple[int, float]] = {}
    for values, stat in lake.listed(name):
        count, last = newest.get(values, (0, 0.0))
        newest[values] = count + 1, max(last, stat.modified / 1e9)
    for values, (count, last) in sorted(newest.items()):
        if count < 2 or last >= limit:
            continue
        keys: dict[str, Any] = dict(zip(declared.keys, values, strict=True))
        parts = lake.parts(name, **keys)
        used = {part.name for part in parts_in_use(parts)}
        for part in parts:
            if part.name not in used and part.kept_in is None and part.rows:
                yield Garbage("replaced", str(part.path), part.size, _forget(lake, name, part))


def _forget(lake: Lake, name: str, part: PartitionInfo) -> Callable[[], None]:
    def remove() -> None:
        with suppress(Conflict):  # it has landed again, and is in use
            lake.stub(name, part, NOWHERE)

    return remove


def _expired(lake: Lake, kept: RetentionSettings, today: date) -> Iterator[Garbage]:
    for name, duration in kept.tables.items():
        first = today - timedelta(microseconds=parse_duration(duration))
        for values, stat in lake.listed(name):
            if date.fromisoformat(values[-1]) < first:
                remove = partial(lake.objects.delete, stat.key)
                yield Garbage("expired", lake.objects.spoken(stat.key), stat.size, remove)


def _files(kind: Kind, *paths: Path) -> Garbage:
    """Files and folders that go together; the first gives them their name."""

    def remove() -> None:
        for path in paths:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    return Garbage(kind, str(paths[0]), sum(map(_size, paths)), remove)


def _newest(path: Path) -> float:
    """When anything of a file or folder was last written."""
    paths = [path, *path.rglob("*")] if path.is_dir() else [path]
    return max(p.stat().st_mtime for p in paths)


def _size(path: Path) -> int:
    paths = path.rglob("*") if path.is_dir() else [path]
    return sum(p.stat().st_size for p in paths if p.is_file())
