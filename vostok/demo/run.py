"""Running the demo and telling a person what happened."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import Progress, TaskID

from vostok.demo import world
from vostok.demo.clean import archive_root, feed_path, forget
from vostok.demo.live import trade
from vostok.demo.result import DemoResult, Status, read_promotion
from vostok.demo.tell import tell
from vostok.demo.worker import STAGES
from vostok.faults import explained
from vostok.progress import showing
from vostok_core.errors import UsageError, VostokError
from vostok_core.lake.catalog import refresh_catalog
from vostok_core.project import Project
from vostok_exchange.feed import write_feed
from vostok_exchange.world import write_history
from vostok_pipelines.launch import Launcher, environment
from vostok_pipelines.promotion import refresh_index


def run_demo(project: Project, seed: int, json_path: Path | None = None) -> int:
    """Write a world, walk it, judge it, and say what came of it.

    Args:
        project: Where to do it; the demo's own instruments are made anew in its lake.
        seed: Seed of the world.
        json_path: File to write the result to.

    Returns:
        0 when the pipeline ran through, whatever the gate decided.

    Raises:
        UsageError: The lake is not a folder.
    """
    if not isinstance(project.lake_root, Path):
        raise UsageError(
            "the demo writes its exchange and its files beside its lake, so that must be a folder",
            hint="name one with --lake",
        )
    began = time.monotonic()
    result = DemoResult(seed)
    with _kept(result, json_path):
        _run(project, result)
    tell(Console(), project, result, time.monotonic() - began)
    return 0


def _run(project: Project, result: DemoResult) -> None:
    console = Console()
    project.strategy(world.STRATEGY)  # what is wrong with it is said before anything is removed
    lake = project.open_lake()
    forget(project, lake)
    console.print(
        f"[bold]Vostok demo[/bold], seed {result.seed}: {world.WEEKS} weeks of two markets that "
        f"differ in one thing.\n  {world.EDGE}  planted edge {world.PLANTED_EDGE:g}: the next "
        f"minute drifts by {world.PLANTED_EDGE:g} of its volatility for every unit of past "
        f"order-flow surprise\n  {world.NULL}  a martingale: nothing predicts it\n"
    )
    with _interruptible(), showing(console) as progress:
        _timed(result, "history", lambda: _write_world(project, result.seed, progress))
        _timed(result, "news", lambda: _news(project, result, progress))
        _walk(project, result, progress)
    for market in world.markets(project.settings):
        promotion, result.gate_profile_hash = read_promotion(
            lake,
            world.STRATEGY,
            str(market.instrument.id),
            world.SERVICE_WEEK,
            market.spec.edge,
        )
        result.promotions.append(promotion)
    if result.decision(world.EDGE) == "promoted":
        with _interruptible(), showing(console) as progress:
            _timed(result, "live", lambda: _trade(project, result, progress))
    result.report = str(refresh_index(lake, project.strategy(world.STRATEGY)))
    refresh_catalog(lake)


def _trade(project: Project, result: DemoResult, progress: Progress) -> None:
    """The promoted model at the exchange."""
    task = progress.add_task("live", total=1.0)
    lived = trade(
        project,
        result.seed,
        lambda what, done: progress.update(task, description=what, completed=done),
    )
    result.live, result.parity = lived.live, lived.parity
    result.reconciliation = lived.reconciliation
    result.run_ids += lived.run_ids


@contextmanager
def _kept(result: DemoResult, path: Path | None) -> Iterator[None]:
    """Keep the file of the result true, from before the demo begins until it has ended."""

    def keep(status: Status, error: str | None = None) -> None:
        result.status, result.error = status, error
        if status != "done":  # nobody should take a part for the whole
            result.promotions = []
            result.live = result.parity = result.reconciliation = None
        if path is not None:
            result.write(path)

    keep("running")  # a path that can't be written is better known now
    try:
        yield
        keep("done")
    except KeyboardInterrupt:
        keep("interrupted")
        raise
    except Exception as error:
        keep("failed", str(explained(error)))
        raise


def _write_world(project: Project, seed: int, progress: Progress) -> None:
    markets = world.markets(project.settings)
    task = progress.add_task("history: trades and news", total=len(markets) * world.WEEKS * 7)
    archive = archive_root(project)
    headlines = []
    for market in markets:
        history = write_history(
            market,
            archive,
            world.FIRST_DAY,
            world.LAST_DAY,
            seed,
            lambda _day, _trades: progress.advance(task),
        )
        headlines += history.news
    write_feed(feed_path(project), headlines)


def _news(project: Project, result: DemoResult, progress: Progress) -> None:
    task = progress.add_task("news and scores", total=1)
    run = Launcher(project).materialize_dates(
        ["news", "sentiment_scores"], world.FIRST_DAY, world.LAST_DAY
    )
    result.run_ids.append(run.run_id)
    progress.advance(task)


def _walk(project: Project, result: DemoResult, progress: Progress) -> None:
    """Both instruments at once, each in a worker process."""
    events: Queue[tuple[str, dict[str, Any] | None]] = Queue()
    instruments = (world.EDGE, world.NULL)
    tasks = {name: progress.add_task(f"{name}: starting", total=STAGES) for name in instruments}
    workers: dict[str, subprocess.Popen[str]] = {}
    listeners: list[threading.Thread] = []
    try:
        for name in instruments:
            workers[name] = _start(project, name)
            listener = threading.Thread(target=_listen, args=(name, workers[name], events))
            listener.start()
            listeners.append(listener)
        running = set(instruments)
        while running:
            try:
                name, event = events.get(timeout=0.5)
            except Empty:
                continue
            if event is None:
                running.discard(name)
                if workers[name].wait() != 0:
                    raise VostokError(
                        f"the worker of {name} ended with {workers[name].returncode}",
                        hint="`make ui` shows its runs; it may have run out of memory",
                    )
                continue
            _heed(event, name, tasks[name], result, progress)
    finally:
        _stop(list(workers.values()), listeners)


def _heed(
    event: dict[str, Any], name: str, task: TaskID, result: DemoResult, progress: Progress
) -> None:
    if event["event"] == "error":
        error = VostokError.from_json(event["error"]).within(name)
        error.add_note(f"In its worker:\n{event['traceback']}")
        raise error
    stage = event["stage"]
    if event["event"] == "start":
        progress.update(task, description=f"{name}: {stage}")
        return
    progress.update(task, description=f"{name}: {stage} done", advance=1)
    result.run_ids.append(event["run_id"])
    result.stages[stage] = max(result.stages.get(stage, 0.0), event["seconds"])


def _start(project: Project, instrument: str) -> subprocess.Popen[str]:
    """A worker under a warden, so that it ends with this process however that ends."""
    threads = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    worker = [sys.executable, "-m", "vostok.demo.worker", instrument]
    return subprocess.Popen(  # noqa: S603 (our own modules, our own arguments)
        [sys.executable, "-m", "vostok.warden", *worker],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(project) | threads,
        cwd=project.root,
        start_new_session=True,  # Ctrl-C is for this process, which ends the workers
    )


def _listen(
    name: str, worker: subprocess.Popen[str], events: Queue[tuple[str, dict[str, Any] | None]]
) -> None:
    assert worker.stdout is not None
    with worker.stdout as lines:
        for line in lines:
            if line.startswith("{"):
                events.put((name, json.loads(line)))
    events.put((name, None))


def _stop(workers: list[subprocess.Popen[str]], listeners: list[threading.Thread]) -> None:
    """End every worker for certain. A second Ctrl-C has to wait for that."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.close()
        for worker in workers:
            worker.wait()
        for listener in listeners:
            listener.join()
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does, workers and all."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _timed(result: DemoResult, name: str, step: Any) -> None:
    began = time.monotonic()
    step()
    result.stages[name] = round(time.monotonic() - began, 2)
