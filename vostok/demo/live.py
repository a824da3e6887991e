"""The live half of the demo: the promoted model trades an exchange that continues its history.

An embedded exchange goes on where the history ends, at accelerated market time. The daemon trades
it on paper, is killed while it holds a position, and goes on. Then its journal is held against the
exchange's own books, shipped into the lake, and told again by a batch process of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from decimal import Decimal

import polars as pl

from vostok import __version__
from vostok.demo import world
from vostok.demo.clean import archive_root, feed_path
from vostok.demo.result import LiveResult, ParityResult, ReconciliationResult
from vostok_core.errors import VostokError
from vostok_core.lake.atomic import replacing
from vostok_core.lake.exchanges import ADDRESS_FILE, SETUP_FILE, demo_exchange
from vostok_core.lake.store import Lake
from vostok_core.live.parity import Proof
from vostok_core.project import Project
from vostok_core.times import MINUTE, day_start, utc
from vostok_exchange.settings import Key, Setup, demo_account
from vostok_live.audit import Audit, audit
from vostok_live.daemon.plan import JOURNAL, Plan, make_plan, state_folder
from vostok_live.daemon.venue import KEY, SECRET, find_venue
from vostok_live.gateway.access import ApiKey
from vostok_live.journal.reader import Reader
from vostok_live.seams import real_seams
from vostok_live.service import client
from vostok_live.service.status import Status
from vostok_live.shipping import ship
from vostok_pipelines.jobs import day_assets
from vostok_pipelines.launch import Launcher, environment

SPEED = 720.0
"""Seconds of market time in a second: a day takes two minutes."""
TRIPS_BEFORE_KILL, TRIPS = 2, 5
DAY = world.SERVICE_WEEK
_LONGEST = 240.0  # seconds for each half of the trading
_BNB_PRICE = Decimal(600)
_RESTING = ("take_profit", "stop_loss")
_SETTINGS = {
    # Durations of the wall; a second of it is twelve minutes of this market.
    "VOSTOK_LIVE__GRACE": "50ms",
    "VOSTOK_LIVE__DECIDE_WITHIN": "500ms",
    "VOSTOK_LIVE__POLL": "2s",
    "VOSTOK_LIVE__COMPARE_EVERY": "5s",
}

Tell = Callable[[str, float], None]
"""Called with what is being done, and how much of the whole is done."""


@dataclass(frozen=True)
class Lived:
    """What the live half found."""

    live: LiveResult
    parity: ParityResult
    reconciliation: ReconciliationResult
    run_ids: tuple[str, ...]


def trade(project: Project, seed: int, tell: Tell) -> Lived:
    """Let the promoted model trade, and prove what it did.

    Args:
        project: Whose lake holds the promoted model.
        seed: Seed of the world.
        tell: Told what goes on.

    Raises:
        VostokError: Something ended by itself, or took too long.
    """
    instrument = project.settings.instrument(world.EDGE)
    state = state_folder(project, world.STRATEGY, instrument)
    key = ApiKey(secrets.token_hex(32), secrets.token_hex(32))
    tell("opening the exchange", 0.0)
    with _exchange(project, seed, key) as url:
        venue = find_venue(url, project.lake_root, real=False)
        plan = make_plan(__version__, project, world.STRATEGY, world.EDGE, venue, key)
        killed = _until_killed(project, plan, tell)
        ended = _until_done(project, plan, tell)
        tell("asking the exchange", 0.75)
        found = asyncio.run(audit(plan, real_seams()))
        _keep_feed(project, url)
    tell("shipping the journal", 0.8)
    lake = project.open_lake()
    ship(state / JOURNAL, lake, world.STRATEGY, world.EDGE)
    tell("the archive's own record", 0.85)
    launcher = Launcher(project)
    runs = [
        launcher.materialize_dates(["news", "sentiment_scores"], DAY, DAY),
        launcher.materialize_days(day_assets(project, world.EDGE), world.EDGE, DAY, DAY),
    ]
    tell("telling it again in batch", 0.9)
    run_id = _prove(project)
    tell("done", 1.0)
    return Lived(
        live=_result(plan, killed, ended, found),
        parity=read_parity(lake),
        reconciliation=read_reconciliation(lake),
        run_ids=(*(run.run_id for run in runs), run_id),
    )


# Processes


@contextmanager
def _exchange(project: Project, seed: int, key: ApiKey) -> Iterator[str]:
    """An exchange that goes on where the history ends; its address."""
    folder = demo_exchange(project.lake_root)
    setup = Setup(
        seed=seed,
        first_day=world.FIRST_DAY,
        start=day_start(DAY),
        markets=world.markets(project.settings),
        accounts=(demo_account([Key(key.key, key.secret)]),),
        bnb_prices={"USDT": _BNB_PRICE},
    )
    folder.mkdir(parents=True, exist_ok=True)
    setup.write(folder / SETUP_FILE)
    arguments = ["run", "--state", folder, "--archive", archive_root(project), "--port", "0"]
    with _process(
        "exchange", ["-m", "vostok_exchange", *arguments, "--speed", SPEED], project, {}
    ) as process:
        address = folder / ADDRESS_FILE
        _wait("the exchange", address.exists, [process], 120.0)
        yield str(json.loads(address.read_text())["url"])


@contextmanager
def _daemon(project: Project, plan: Plan) -> Iterator[subprocess.Popen[bytes]]:
    arguments = [
        "-m", "vostok_live", "run", plan.strategy, "--instrument", world.EDGE,
        "--exchange", plan.venue.rest,
    ]  # fmt: skip
    given = {**_SETTINGS, KEY: plan.key.key, SECRET: plan.key.secret}
    with _process("daemon", arguments, project, given) as process:
        yield process


@contextmanager
def _process(
    name: str, arguments: Sequence[object], project: Project, given: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A program under a warden, so that it ends with this process however that ends."""
    log = project.lake_root / "live" / f"demo-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        warden = subprocess.Popen(  # noqa: S603 (our own modules, our own arguments)
            [sys.executable, "-m", "vostok.warden", sys.executable, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=environment(project) | given,
            cwd=project.root,
            start_new_session=True,  # Ctrl-C is for this process alone
        )
    try:
        yield warden
    finally:
        assert warden.stdin is not None
        warden.stdin.close()
        warden.wait()


def _wait(
    what: str,
    true: Callable[[], bool],
    processes: Sequence[subprocess.Popen[bytes]],
    seconds: float,
) -> None:
    """Wait for something that processes bring about.

    Raises:
        VostokError: One of them ended, or it took too long.
    """
    end = time.monotonic() + seconds
    while not true():
        if any(process.poll() is not None for process in processes):
            raise VostokError(
                f"{what} ended by itself", hint="its log is in the lake's folder `live`"
            )
        if time.monotonic() > end:
            raise VostokError(
                f"{what} took more than {seconds:.0f} s",
                hint="run the demo again when the machine has less to do",
            )
        time.sleep(0.1)


# What happens


@dataclass(frozen=True)
class _Killed:
    """What there was when the daemon was killed."""

    status: Status
    events: int


def _until_killed(project: Project, plan: Plan, tell: Tell) -> _Killed:
    """Trade until a position is open, and kill the daemon then."""
    with _daemon(project, plan) as process:
        seen: list[Status] = []

        def holding() -> bool:
            status = _status(plan)
            if status is None:
                return False
            tell(_described(status), 0.05 + 0.25 * min(_progress(status), 1.0))
            if status.money.closed >= TRIPS_BEFORE_KILL and status.position is not None:
                seen.append(status)
            return bool(seen)

        _wait("the daemon", holding, [process], _LONGEST)
        os.kill(seen[0].pid, signal.SIGKILL)
        process.wait()
    with Reader.open(plan.state / JOURNAL) as reader:
        return _Killed(seen[0], reader.seq)


def _until_done(project: Project, plan: Plan, tell: Tell) -> Status:
    """Go on until enough was traded and the day is over; then close the position and stop."""
    over = day_start(DAY + timedelta(days=1)) + 5 * MINUTE
    with _daemon(project, plan) as process:
        seen: list[Status] = []

        def done() -> bool:
            status = _status(plan)
            if status is None or status.run < 2:
                return False
            tell(_described(status), 0.3 + 0.4 * min(_progress(status), 1.0))
            seen[:] = [status]
            return status.money.closed >= TRIPS and _rested(status) > 0 and status.market_ts >= over

        def flat() -> bool:
            status = _status(plan)
            seen[:] = [status] if status is not None else []
            return bool(seen) and seen[0].state == "flat" and not seen[0].orders

        _wait("the daemon", done, [process], _LONGEST)
        client.control(plan.state, "flatten")
        _wait("closing the position", flat, [process], 30.0)
        os.kill(seen[0].pid, signal.SIGTERM)
        if process.wait():
            raise VostokError(
                f"the daemon ended with {process.returncode} when it was stopped",
                hint="its log is in the lake's folder `live`",
            )
        return seen[0]


def _progress(status: Status) -> float:
    begin, end = day_start(DAY), day_start(DAY + timedelta(days=1))
    return max(status.market_ts - begin, 0) / (end - begin)


def _described(status: Status) -> str:
    return (
        f"live: {utc(status.market_ts):%a %H:%M}, {status.state}, {status.money.closed} round "
        f"trips, equity {status.money.equity:,.0f}"
    )


def _status(plan: Plan) -> Status | None:
    try:
        return client.status(plan.state)
    except VostokError:  # it is starting, or has just gone
        return None


def _rested(status: Status) -> int:
    """Of the newest round trips, those that ended by an exit resting at the exchange."""
    return sum(each.reason in _RESTING for each in status.trades)


def _keep_feed(project: Project, url: str) -> None:
    """Put the news that the exchange published where the lake reads them."""
    with urllib.request.urlopen(f"{url}/feed.xml", timeout=30) as answer:  # noqa: S310, loopback
        content = answer.read()
    with replacing(feed_path(project)) as temporary:
        temporary.write_bytes(content)


def _prove(project: Project) -> str:
    """Parity and reconciliation, by a process of its own; the Dagster run that did it."""
    names = f"{world.STRATEGY}/parity,{world.STRATEGY}/reconciliation"
    done = subprocess.run(  # noqa: S603 (our own modules, our own arguments)
        [
            sys.executable, "-m", "vostok", "materialize", names, "--instrument", world.EDGE,
            "--from", str(DAY), "--to", str(DAY),
        ],
        env=environment(project),
        cwd=project.root,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    found = re.search(r"run ([0-9a-f-]{36})", done.stdout)
    if done.returncode or found is None:
        raise VostokError(
            f"the batch process failed: {done.stderr.strip().splitlines()[-1:]}",
            hint="`make ui` shows its run",
        )
    return found[1]


# What is told of it


def _result(plan: Plan, killed: _Killed, ended: Status, found: Audit) -> LiveResult:
    with Reader.open(plan.state / JOURNAL) as reader:
        closed = reader.closed()
        events = reader.seq
    position = killed.status.position
    assert position is not None
    return LiveResult(
        exchange=plan.venue.name,
        speed=SPEED,
        market_from=str(DAY),
        market_to=f"{utc(ended.market_ts):%Y-%m-%dT%H:%M:%SZ}",
        round_trips=len(closed),
        by_resting_exit=sum(each.reason in _RESTING for each in closed),
        exits=dict(Counter(each.reason for each in closed)),
        equity_from=ended.money.opening,
        equity_to=ended.money.equity,
        killed_holding=position.qty,
        events_before_kill=killed.events,
        events=events,
        reconciled=found.clean,
        audit={
            name: [str(each) for each in value] if isinstance(value, tuple) else str(value)
            for name, value in asdict(found).items()
        },
    )


def read_parity(lake: Lake, day: date = DAY) -> ParityResult:
    """The proof of a day as it stands in the lake."""
    frame = lake.read("parity", strategy=world.STRATEGY, instrument=world.EDGE, date=day)
    rows = {row["kind"]: row for row in frame.iter_rows(named=True)}
    return ParityResult(
        equal=Proof.of(day, frame).holds,
        features_compared=rows["features"]["compared"],
        features_equal=rows["features"]["equal"],
        decisions_compared=rows["decisions"]["compared"],
        decisions_equal=rows["decisions"]["equal"],
        kinds={kind: (row["compared"], row["equal"]) for kind, row in rows.items()},
    )


def read_reconciliation(lake: Lake, day: date = DAY) -> ReconciliationResult:
    """What honestly differs on a day, as it stands in the lake."""
    frame = lake.read("reconciliation", strategy=world.STRATEGY, instrument=world.EDGE, date=day)
    kinds = frame.group_by("kind").agg(
        pl.col("count").sum(),
        pl.col("difference").filter(pl.col("difference").is_not_nan()).mean().alias("mean"),
        pl.col("unit").first(),
    )
    return ReconciliationResult(
        findings={
            row["kind"]: {"count": row["count"], "mean": row["mean"], "unit": row["unit"]}
            for row in kinds.sort("kind").iter_rows(named=True)
        }
    )
