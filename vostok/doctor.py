"""Looking for what would make a command fail, before it does."""

from __future__ import annotations

import importlib.metadata as packages
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import vostok
import vostok_core
from vostok.context import Context
from vostok_core.errors import VostokError
from vostok_core.lake.upkeep import leftovers

if TYPE_CHECKING:
    from vostok_core.lake.store import Lake

Status = Literal["ok", "warn", "fail"]

_CODE = Path(vostok.__file__).parents[1]
_GIGABYTE = 1_000_000_000
_WARN_FREE = 5 * _GIGABYTE
_FAIL_FREE = _GIGABYTE // 2


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, how it is, and what to do about it."""

    name: str
    status: Status
    detail: str
    hint: str = ""


def diagnose(context: Context) -> Iterator[Finding]:
    """Look at everything; a check that can't run says why."""
    yield check_python()
    yield check_dependencies()
    yield check_kernel_cache()
    yield check_clock()
    try:
        context.project  # noqa: B018  (reading it is the check)
    except VostokError as error:
        yield _failed("settings", error)
        return
    checks: list[tuple[str, Callable[[Context], Finding]]] = [
        ("settings", check_settings),
        ("strategies", check_strategies),
        ("lake", check_lake),
        ("disk", check_disk),
        ("temporary files", check_temporaries),
        ("dagster", check_dagster),
    ]
    for name, check in checks:
        try:
            yield check(context)
        except VostokError as error:
            yield _failed(name, error)


def check_python() -> Finding:
    """Python is the version that everything is pinned for."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] != (3, 11):
        return Finding("python", "fail", version, "Vostok runs on Python 3.11: make setup")
    return Finding("python", "ok", version)


def check_dependencies(constraints: Path = _CODE / "constraints.txt") -> Finding:
    """What is installed is what is pinned, and nothing that is needed is missing."""
    name = "dependencies"
    try:
        needs = packages.requires("vostok") or []
    except packages.PackageNotFoundError:
        return Finding(name, "warn", "the package vostok is not installed", "run make setup")
    missing = [need for need in map(_direct_need, needs) if need and _installed(need) is None]
    if missing:
        return Finding(name, "fail", f"missing: {', '.join(missing)}", "run make setup")
    if not constraints.is_file():
        return Finding(name, "ok", "all there; no constraints.txt to compare the versions with")
    other = []
    for line in constraints.read_text(encoding="utf-8").splitlines():
        package, pinned, wanted = line.partition("==")
        found = _installed(package) if pinned else None
        if found is not None and found != wanted:
            other.append(f"{package} {found}, not {wanted}")
    if other:
        shown = "; ".join(other[:3]) + (f" and {len(other) - 3} more" if len(other) > 3 else "")
        return Finding(name, "warn", shown, "run make setup for the versions that were tested")
    return Finding(name, "ok", "as pinned")


def check_kernel_cache() -> Finding:
    """Compiled kernels can be kept."""
    name = "kernel cache"
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(chosen) if chosen else Path(vostok_core.__file__).parent / "__pycache__"
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not os.access(existing, os.W_OK):
        return Finding(
            name,
            "warn",
            f"{folder} can't be written: kernels may be compiled at every start",
            "set NUMBA_CACHE_DIR to a folder that can",
        )
    return Finding(name, "ok", str(folder))


def check_clock(reference: Path | None = None) -> Finding:
    """The clock is not behind the files it has written."""
    newest = (reference or Path(vostok_core.__file__)).stat().st_mtime
    now = time.time()
    text = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < newest - 60:
        return Finding(
            "clock",
            "fail",
            f"{text} is earlier than the program's own files",
            "set the clock: days and weeks are partitions, and the newest is found by it",
        )
    return Finding("clock", "ok", text)


def check_settings(context: Context) -> Finding:
    """`vostok.toml` can be used."""
    settings = context.project.settings
    count = len(settings.instruments)
    if not count:
        return Finding(
            "settings",
            "warn",
            "vostok.toml names no instrument",
            "add [instruments.<id>] tables (docs/settings.md)",
        )
    return Finding("settings", "ok", f"{context.project.root}: {count} instruments")


def check_strategies(context: Context) -> Finding:
    """Every strategy file can be used."""
    project = context.project
    paths = project.strategy_files
    errors = []
    for path in paths:
        try:
            project.read_strategy(path)
        except VostokError as error:
            errors.append(error)
    if errors:
        found = _failed("strategies", errors[0])
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return Finding(found.name, found.status, found.detail + more, found.hint)
    if not paths:
        return Finding(
            "strategies", "warn", f"none in {project.strategies_folder}", "see docs/strategies.md"
        )
    return Finding("strategies", "ok", ", ".join(path.stem for path in paths))


def check_lake(context: Context) -> Finding:
    """The lake can be read and written, and is of a version that this program knows."""
    root = context.project.lake_root
    if not isinstance(root, Path):
        return _check_store(context)
    if not root.exists():
        place = next(folder for folder in root.parents if folder.exists())
        if not place.is_dir():
            return Finding("lake", "fail", f"{place} is a file", "choose another --lake")
        if not os.access(place, os.W_OK):
            return Finding("lake", "fail", f"{place} can't be written", "choose another --lake")
        return Finding("lake", "ok", f"{root} will be made by the first command that writes")
    if root.is_dir() and not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        return Finding("lake", "fail", f"{root} can't be read and written", "mend its permissions")
    if not (root / "vostok-lake.json").exists() and (not root.is_dir() or _holds_files(root)):
        return Finding(
            "lake",
            "warn",
            f"{root} is no lake, and not empty",
            "name another folder with --lake, unless this is meant",
        )
    if not (root / "vostok-lake.json").exists():
        return Finding("lake", "ok", f"{root} is empty")
    return Finding("lake", "ok", f"{root}: {_tables(context.project.open_lake(create=False))}")


def _check_store(context: Context) -> Finding:
    """The lake's object store answers, lets itself be written to, and refuses what it should."""
    project = context.project
    where = f"{project.lake_root}, with {project.lake_home} on this machine"
    if not project.has_lake:
        return Finding("lake", "ok", f"{where}: none yet; the first command that writes makes it")
    lake = project.open_lake(create=False)
    with lake.sole_writer("doctor"):  # a conditional write and another over it
        pass
    return Finding("lake", "ok", f"{where}: {_tables(lake)}; two writers can't undo each other")


def _tables(lake: Lake) -> str:
    from vostok_core.lake.tables import TABLES

    return f"{sum(1 for name in lake.objects.below('') if name in TABLES)} tables"


def check_disk(context: Context) -> Finding:
    """There is room for more partitions, and for what stays on this machine."""
    root = context.project.lake_home
    place = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / _GIGABYTE:.1f} GB free"
    if free < _FAIL_FREE:
        return Finding("disk", "fail", text, "make room, or move the lake with --lake")
    if free < _WARN_FREE:
        return Finding("disk", "warn", text, "make room before a long backfill")
    return Finding("disk", "ok", text)


def check_temporaries(context: Context) -> Finding:
    """No killed writer has left files behind; they are harmless but take room."""
    name = "temporary files"
    stale = list(leftovers(context.project.lake_home, time.time()))
    if stale:
        size = sum(path.stat().st_size for path in stale)
        return Finding(
            name,
            "warn",
            f"{len(stale)} left by killed writers, {size / 1e6:.1f} MB; the first: {stale[0]}",
            "`vostok lake gc` removes them",
        )
    return Finding(name, "ok", "none")


def check_dagster(context: Context) -> Finding:
    """The lake's Dagster instance answers."""
    home = context.project.dagster_home
    if not (home / "dagster.yaml").is_file():
        return Finding("dagster", "ok", "no instance yet; the first run makes it")
    import dagster as dg

    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            runs = instance.get_runs_count()
    except Exception as error:  # noqa: BLE001  (whatever its storage raises is the finding)
        return Finding(
            "dagster",
            "fail",
            f"the instance in {home} doesn't answer: {type(error).__name__}: {error}",
            "mend dagster.yaml at the project's root, or the rights of that folder; the lake needs "
            "none of the runs in it",
        )
    return Finding("dagster", "ok", f"{runs} runs in {home}")


def _failed(name: str, error: VostokError) -> Finding:
    text = error.what if error.where is None else f"{error.where}: {error.what}"
    return Finding(name, "fail", text, error.hint or "")


def _direct_need(requirement: str) -> str | None:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    return None if name is None or "extra ==" in requirement else name[0]


def _installed(package: str) -> str | None:
    try:
        return packages.version(package)
    except packages.PackageNotFoundError:
        return None


def _holds_files(folder: Path) -> bool:
    return any(entry.name != ".gitkeep" for entry in folder.iterdir())
