"""Launching Dagster runs on the lake's persistent instance, from a command instead of the UI.

A run covers one instrument and one contiguous range of partitions, with its stages chained inside:
launching costs seconds, so a run a day would cost hours over a history.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.instance.ref import InstanceRef
from sqlalchemy.exc import DBAPIError

from vostok_core.errors import DataError, UnknownName, UsageError, VostokError
from vostok_core.lake.atomic import replacing
from vostok_core.project import LAKE_VARIABLE, PROJECT_VARIABLE, Project
from vostok_core.times import week_of
from vostok_pipelines.definitions import build_definitions
from vostok_pipelines.jobs import packs_of
from vostok_pipelines.leases import fail_dead_runs, lease, opening
from vostok_pipelines.partitions import Partitions, date_key, range_tags, week_key

_SEE_RUN = "`make ui` shows the run with its log"
_SEE_DOCTOR = "`vostok doctor` looks for the cause; the lake itself needs none of these files"
_STORAGE_HINTS = {
    "locked": "another program holds it: let it end, or stop `vostok ui`, and run this again",
    "full": "make room on the disk, or name another lake with --lake",
    "disk I/O": "see whether the disk is full or failing, or name another lake with --lake",
    "readonly": "make the folder and the files in it writable, or name another lake with --lake",
    "unable to open": "make the folder and the files in it readable and writable",
}
"""What SQLite says -> what to do."""

_NO_COPIES = {
    "module": "dagster._core.storage.noop_compute_log_manager",
    "class": "NoOpComputeLogManager",
}


@dataclass(frozen=True)
class RunResult:
    """One Dagster run that succeeded."""

    run_id: str
    assets: tuple[str, ...]


def prepare_instance(project: Project) -> Path:
    """Make the lake's Dagster home hold the project's `dagster.yaml`, and return the home."""
    home = project.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    source = project.root / "dagster.yaml"
    target = home / "dagster.yaml"
    if source.is_file() and (not target.is_file() or source.read_bytes() != target.read_bytes()):
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
    return home


def environment(project: Project, *, launching: bool = True) -> dict[str, str]:
    """Variables that make other processes use this project, lake and instance.

    The instance has its tables then, so that processes may open it at once.

    Args:
        project: The project.
        launching: Whether there may be a daemon that is launching runs of this lake; see
            `fail_dead_runs`.
    """
    home = prepare_instance(project)
    with _storage_errors(home), _opened(home, launching=launching):
        pass
    return {
        **os.environ,
        "DAGSTER_HOME": str(home),
        LAKE_VARIABLE: str(project.lake_root),
        PROJECT_VARIABLE: str(project.root),
    }


class Launcher:
    """Launches runs in this process, one after another, on the lake's instance."""

    def __init__(self, project: Project) -> None:
        self.project = project

    @cached_property
    def definitions(self) -> dg.Definitions:
        return build_definitions(self.project)

    @cached_property
    def _assets(self) -> dict[str, dg.AssetKey]:
        graph = self.definitions.resolve_asset_graph()
        return {key.to_user_string(): key for key in graph.materializable_asset_keys}

    @cached_property
    def _days(self) -> dg.PartitionsDefinition:
        return Partitions.of(self.project.settings).date

    def check(self) -> None:
        """Read all that a run needs but the lake, so that what is wrong is known before it starts.

        Raises:
            UnknownName: `vostok.toml` names something that nobody declared.
        """
        self.definitions.resolve_asset_graph()

    def resolve(self, name: str, instrument: str | None = None) -> list[str]:
        """Full names of the assets that a name means: itself, or all below a prefix.

        Args:
            name: An asset, or a prefix; `features` means feature packs.
            instrument: Whose; of all packs, only those that are kept for it are meant.

        Raises:
            UnknownName: There is no such asset.
            StrategyError: It is of a strategy whose file can't be used.
        """
        if name == "features" and instrument is not None:
            return [f"features/{pack}" for pack in packs_of(self.project, instrument)]
        found = [key for key in self._assets if key == name or key.startswith(f"{name}/")]
        if not found:
            strategy = name.split("/", maxsplit=1)[0]
            if strategy in self.project.unusable_strategies:
                self.project.strategy(strategy)  # raises what is wrong with its file
            raise UnknownName.of("asset", name, self._assets)
        return found

    def has_day(self, day: date) -> bool:
        """Whether a day is a partition: not before the calendar's start, and over."""
        return self._days.has_partition_key(str(day))

    @property
    def calendar(self) -> str:
        """Which days are partitions, in words."""
        start = self.project.settings.calendar.start
        return f"days run from calendar.start = {start} of vostok.toml through yesterday (UTC)"

    def materialize_days(
        self, names: Sequence[str], instrument: str, first: date, last: date
    ) -> RunResult:
        """One run of daily assets for an instrument, from `first` through `last`."""
        return self._run(names, date_key(first, instrument), date_key(last, instrument))

    def materialize_dates(self, names: Sequence[str], first: date, last: date) -> RunResult:
        """One run of assets that have no instrument (news), from `first` through `last`."""
        return self._run(names, str(first), str(last))

    def materialize_weeks(
        self, names: Sequence[str], instrument: str, first: date, last: date
    ) -> RunResult:
        """One run of weekly assets for an instrument, from week `first` through week `last`.

        Raises:
            UsageError: One is not a Monday.
        """
        for day in (first, last):
            if day != week_of(day):
                raise UsageError(
                    f"{names[0]} has no partition {day}: that is a {day:%A}, and a week is named "
                    "by its Monday",
                    hint=f"write {week_of(day)} for the week that holds it",
                )
        return self._run(names, week_key(first, instrument), week_key(last, instrument))

    def materialize(
        self, names: Sequence[str], instrument: str | None, first: date, last: date
    ) -> RunResult:
        """One run of assets that are partitioned alike, whichever way that is.

        Raises:
            UsageError: They aren't partitioned alike, or a range that they can't have.
            VostokError: What an asset raised.
        """
        if last < first:
            raise UsageError(
                f"the range ends on {last}, before it begins on {first}", hint="swap them"
            )
        resolved = [full for name in names for full in self.resolve(name, instrument)]
        kinds = {self._kind(name) for name in resolved}
        if len(kinds) > 1:
            raise UsageError(
                f"{', '.join(resolved)} are not partitioned alike",
                hint="materialize daily and weekly assets by separate commands",
            )
        kind = kinds.pop()
        if kind == "date":
            return self.materialize_dates(resolved, first, last)
        if instrument is None:
            raise UsageError(f"{resolved[0]} needs an instrument", hint="add --instrument ID")
        if kind == "week":
            return self.materialize_weeks(resolved, instrument, first, last)
        return self.materialize_days(resolved, instrument, first, last)

    def _kind(self, name: str) -> str:
        partitions = self.definitions.resolve_asset_graph().get(self._assets[name]).partitions_def
        if isinstance(partitions, dg.MultiPartitionsDefinition):
            return "week" if "week" in partitions.partition_dimension_names else "day"
        return "date"

    def _run(self, names: Sequence[str], first_key: str, last_key: str) -> RunResult:
        keys = {self._assets[full] for name in names for full in self.resolve(name)}
        job = self.definitions.resolve_implicit_global_asset_job_def()
        self._check_keys(keys, first_key, last_key)
        raised: list[tuple[str, BaseException]] = []

        @dg.failure_hook(name="keep_the_error")
        def keep(context: dg.HookContext) -> None:
            if context.op_exception is not None:
                raised.append((context.step_key, context.op_exception))

        with self._instance() as instance, self._leased(instance) as run_id:
            result = job.with_hooks({keep}).execute_in_process(
                instance=instance,
                asset_selection=sorted(keys),
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                tags=range_tags(first_key, last_key),
                run_id=run_id,
                raise_on_error=False,
            )
        run = f"run {result.run_id[:8]}"
        if raised:
            step, error = raised[0]
            raise error.within(f"{run}, {step}") if isinstance(error, VostokError) else error
        made = tuple(sorted(key.to_user_string() for key in keys))
        if not result.success:
            raise DataError(f"{', '.join(made)} failed", where=run, hint=_SEE_RUN)
        skipped = sorted(
            {e.step_key for e in result.all_events if e.is_step_skipped and e.step_key}
        )
        if skipped:
            raise DataError(
                f"the run did not make {', '.join(skipped)}, since nothing came before them",
                where=run,
                hint=_SEE_RUN,
            )
        return RunResult(result.run_id, made)

    def _check_keys(self, keys: set[dg.AssetKey], first_key: str, last_key: str) -> None:
        graph = self.definitions.resolve_asset_graph()
        for key in keys:
            partitions = graph.get(key).partitions_def
            if partitions is None:
                continue
            for partition in (first_key, last_key):
                if not partitions.has_partition_key(partition):
                    raise UsageError(
                        f"{key.to_user_string()} has no partition {partition}",
                        hint=f"{self.calendar}, weeks through the one that has begun",
                    )

    @contextmanager
    def _instance(self) -> Iterator[dg.DagsterInstance]:
        self.project.open_lake()
        home = prepare_instance(self.project)
        os.environ["DAGSTER_HOME"] = str(home)
        with _storage_errors(home), _opened(home) as instance:
            yield instance

    @contextmanager
    def _leased(self, instance: dg.DagsterInstance) -> Iterator[str]:
        """The id of a run whose lease is held; if it doesn't end by itself, it is marked failed."""
        home, run_id = self.project.dagster_home, str(uuid.uuid4())
        try:
            with _interruptible(), lease(home, run_id):
                yield run_id
        except BaseException:
            with opening(home):
                fail_dead_runs(instance, home)
            raise


@contextmanager
def _opened(home: Path, *, launching: bool = True) -> Iterator[dg.DagsterInstance]:
    """The instance, with all its tables, and no run of a process that has gone."""
    with ExitStack() as stack:
        with opening(home):
            instance = stack.enter_context(_instance_of(home))
            fail_dead_runs(instance, home, launching=launching)
            # Each storage makes its tables when it is first asked; two at once would both do it.
            instance.all_asset_keys()
            instance.all_instigator_state()
        yield instance


def _instance_of(home: Path) -> dg.DagsterInstance:
    """The instance of a home, for runs in this process.

    By default Dagster copies what a step prints into files, by four processes beside it. Ctrl-C in
    a terminal reaches these too, and they answer it with tracebacks. What a run in this process
    prints is seen where the command was called.
    """
    ref = InstanceRef.from_dir(str(home))
    if ref.compute_logs_data.class_name == "LocalComputeLogManager":
        ref = InstanceRef.from_dir(str(home), overrides={"compute_logs": _NO_COPIES})
    return dg.DagsterInstance.from_ref(ref)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Make certain that Ctrl-C or SIGTERM ends in `KeyboardInterrupt`.

    While a run goes on, Dagster's own handlers are in force. They turn an interrupted step into a
    failed one, and forget a signal that comes after the last step.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone hears signals
        yield
        return
    heard, wake = socket.socketpair()
    with heard, wake:
        heard.settimeout(0)
        wake.settimeout(0)
        before = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        try:
            yield
            with suppress(BlockingIOError):
                if {signal.SIGINT, signal.SIGTERM} & set(heard.recv(4096)):
                    raise KeyboardInterrupt
        except DagsterExecutionInterruptedError:
            raise KeyboardInterrupt from None
        finally:
            signal.set_wakeup_fd(before)


@contextmanager
def _storage_errors(home: Path) -> Iterator[None]:
    """Say what is the matter with Dagster's database in words that a person can act on."""
    try:
        yield
    except DBAPIError as error:
        text = str(error.orig)
        hint = next((hint for word, hint in _STORAGE_HINTS.items() if word in text), _SEE_DOCTOR)
        raise VostokError(
            f"Dagster's database can't be used: {text}", where=home, hint=hint
        ) from error
