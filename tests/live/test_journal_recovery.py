"""Killed or cut off at any moment, the journal gives back the engine that never stopped."""

from __future__ import annotations

import json
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.trading.test_engine_machine import CASH, RULES, SECOND
from tests.trading.test_engine_machine import EngineMachine as _EngineMachine
from vostok_core.market.ticks import LastTick
from vostok_core.times import DAY, MINUTE, day_of
from vostok_core.trading.account import Account
from vostok_core.trading.commands import (
    Alert,
    Cancel,
    Command,
    OrderRequest,
    Place,
    PlaceList,
    Replace,
    SetTimer,
    requests,
)
from vostok_core.trading.config import EngineConfig
from vostok_core.trading.engine import Engine
from vostok_core.trading.events import (
    BarClosed,
    Control,
    Decision,
    Event,
    Fill,
    OrderUpdate,
    Timer,
)
from vostok_live.errors import JournalError
from vostok_live.journal.reader import Reader
from vostok_live.journal.recovery import Recovered
from vostok_live.journal.rows import Begins, RunStart
from vostok_live.journal.writer import Journal
from vostok_live.seams import real_seams

CONFIG = EngineConfig(run="k1", horizon_us=600 * SECOND, take_profit=2.0, stop_loss=1.0)
BEGINS = Begins(
    "5m", 1_709_596_800_000_000, 12, LastTick(11, 3, 0.1 + 0.2, -1, 40), "hash", Decimal("0.125")
)
START = RunStart(
    "0.1.0", "trend", "binance.spot.BTC-USDT", "c0ffee", "b" * 64, CONFIG, RULES, BEGINS
)
BEGIN = 20_000 * DAY
KILLS = 20
SENDS = (Place, PlaceList, Cancel, Replace)

ROOT = Path(__file__).resolve().parents[2]


def recovered(journal: Journal, config: EngineConfig = CONFIG) -> Recovered:
    found = journal.recover(config, RULES)
    assert found is not None
    return found


# Every sequence of events, with stops in between


class JournalMachine(_EngineMachine):
    """The engine's own machine, whose engine dies now and then and comes back from the journal."""

    @initialize(
        entry_list=st.booleans(), replace_=st.booleans(), fraction=st.sampled_from([0.02, 0.9])
    )
    def open(self, entry_list: bool, replace_: bool, fraction: float) -> None:
        super().open(entry_list, replace_, fraction)
        # In memory where there is such a place: what a power cut leaves is another test's matter.
        memory = Path("/dev/shm")
        self.folder = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self.path = Path(self.folder.name) / "journal.sqlite"
        self.journal = Journal.open(self.path, real_seams())
        self.awaited: set[int] = set()
        self.begin()

    def begin(self) -> None:
        self.journal.begin_run(replace(START, config=self.config), self.engine.snapshot())

    def give(self, event: Event) -> None:
        event = replace(event, ts=self.now)
        twin = Engine.restore(self.config, RULES, self.engine.snapshot())
        super().give(event)
        commands = twin.handle(event)
        self.journal.append(event, commands, self.now)
        if isinstance(event, Timer):
            self.awaited = {ts for ts in self.awaited if ts > event.ts}
        self.awaited |= {command.ts for command in commands if isinstance(command, SetTimer)}

    @rule(kill=st.booleans(), name=st.sampled_from(["h", "h", "g"]))
    def stop(self, kill: bool, name: str) -> None:
        """The daemon stops, and starts again with the engine of the journal."""
        if kill:
            self.journal.abandon()
        else:
            self.journal.close()
        self.journal = Journal.open(self.path, real_seams())
        self.config = replace(self.config, run=name)
        found = recovered(self.journal, self.config)
        assert found.engine.snapshot() == self.engine.snapshot()
        assert list(found.timers) == sorted(self.awaited)
        assert {each.request.client_order_id for each in found.unsettled} == {
            name for name, order in self.engine.orders.items() if not order.settled
        }
        self.engine = found.engine
        self.begin()

    @rule()
    def keep(self) -> None:
        self.journal.snapshot(self.journal.seq, self.engine.snapshot())

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.abandon()
            self.folder.cleanup()


JournalMachine.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestJournalMachine = JournalMachine.TestCase


# One long tape of trades, written until something happens to the writer


@cache
def tape() -> tuple[tuple[Event, list[Command]], ...]:
    """Events of many trades, half of them sold by a person, and the engine's answers."""
    engine = Engine(CONFIG, RULES, Account.opening(CASH))
    heard: list[tuple[Event, list[Command]]] = []
    trades = count(1)

    def hear(event: Event) -> list[Command]:
        heard.append((event, engine.handle(event)))
        return heard[-1][1]

    def fill(ts: int, order: OrderRequest, price: int) -> None:
        hear(Fill(ts, order.client_order_id, next(trades), price, order.qty, 7, "taker"))

    def tell(ts: int, status: Any, *orders: OrderRequest) -> None:
        for order in orders:
            hear(OrderUpdate(ts, order.client_order_id, status))

    for trade in range(150):
        at = BEGIN + trade * 20 * MINUTE
        decision = Decision(0.9, 0.5, 0.01, 100.0)
        (command, *_) = hear(BarClosed(at, 10_000, decision=decision))
        entry, *exits = requests(command)
        tell(at + 1, "open", entry)
        fill(at + 2, entry, 10_001)
        tell(at + 3, "open", *exits)
        hear(BarClosed(at + MINUTE, 10_010))
        if trade % 2:
            fill(at + MINUTE, exits[0], 10_200)
            tell(at + MINUTE, "expired", exits[1])
            continue
        (command, *_) = hear(Control(at + MINUTE, "flatten"))
        (sell,) = requests(command)
        tell(at + MINUTE, "canceled", *exits)
        fill(at + MINUTE, sell, 10_005)
        hear(Timer(at + 2 * MINUTE))
        hear(Control(at + 2 * MINUTE, "resume"))
    assert engine.counts["closed"] == 150
    return tuple(heard)


def engine_after(seq: int) -> Engine:
    """The engine that was never stopped, after so many events of the tape."""
    engine = Engine(CONFIG, RULES, Account.opening(CASH))
    for event, commands in tape()[:seq]:
        assert engine.handle(event) == commands
    return engine


class Seen(NamedTuple):
    trade_id: int
    ts: int
    price: float = 100.0
    qty: float = 1.0
    buyer_maker: bool = True
    first_id: int = -1
    last_id: int = -1
    seen: int = 0


class Child:
    """A process to kill, and what it says."""

    def __init__(self, pid: int, fifo: Path) -> None:
        self.pid = pid
        self.process = os.pidfd_open(pid)
        self.said = fifo.open()

    def kill(self) -> list[str]:
        """Kill it, and wait until everything it held is free; what it had said last."""
        signal.pidfd_send_signal(self.process, signal.SIGKILL)
        return self.end()

    def end(self) -> list[str]:
        """Wait for its end; what it had said last."""
        select.select([self.process], [], [])
        os.close(self.process)
        with self.said:
            return self.said.read().splitlines()


class Nursery:
    """A process that has imported everything and forks a child when asked to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children: list[Child] = []
        code = f"from {Nursery.__module__} import nurse; nurse()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def start(self, task: Callable[[Path, TextIO], object], path: Path) -> Child:
        fifo = self.folder / f"said-{len(self.children)}"
        os.mkfifo(fifo)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(task.__name__, path, fifo, sep="\t", file=self.process.stdin, flush=True)
        self.children.append(Child(int(self.process.stdout.readline()), fifo))
        return self.children[-1]

    def close(self) -> None:
        """End it, and the children of tests that failed."""
        for child in self.children:
            if not child.said.closed:
                child.kill()
        self.process.terminate()
        self.process.communicate()


def nurse() -> None:
    """What the nursery does: fork a child for every line."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    tape()
    for line in sys.stdin:
        task, path, fifo = line.rstrip("\n").split("\t")
        pid = os.fork()
        if pid == 0:
            with Path(fifo).open("w") as say:
                globals()[task](Path(path), say)
            os._exit(0)
        print(pid, flush=True)


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    opened = Nursery(tmp_path_factory.mktemp("nursery"))
    yield opened
    opened.close()


def write_tape(path: Path, say: TextIO) -> None:
    """Go on with the tape where the journal stands; tell the number of every event written."""
    journal = Journal.open(path, real_seams())
    found = journal.recover(CONFIG, RULES)
    journal.begin_run(START, (found.engine if found else engine_after(0)).snapshot())
    engine = recovered(journal).engine
    for event, commands in tape()[journal.seq :]:
        assert engine.handle(event) == commands
        if isinstance(event, Fill):
            journal.record_fill(event, commission="1", commission_asset="BNB", source="stream")
        journal.record_ticks(Seen(journal.seq * 9 + n, event.ts) for n in range(9))
        print(journal.append(event, commands, event.ts), file=say, flush=True)
        for command in commands:
            if isinstance(command, Place | PlaceList | Replace):
                sent = requests(command)[0].client_order_id
                journal.record_answer(journal.record_request(sent, "place"), "accepted")
        if journal.seq % 16 == 0:
            journal.snapshot(journal.seq, engine.snapshot())
    journal.close()


def test_writer_killed_twenty_times_leaves_every_event_it_said_was_written(
    tmp_path: Path, nursery: Nursery
) -> None:
    path = tmp_path / "journal.sqlite"
    rng = random.Random(20)
    seq = 0
    for kill in range(KILLS):
        child = nursery.start(write_tape, path)
        for _ in range(rng.randrange(1, 40)):
            seq = int(child.said.readline())
        seq = max([seq, *map(int, child.kill())])
        journal = Journal.open(path, real_seams())
        found = recovered(journal)
        # The kill may have come between an event that was written and word of it.
        assert seq <= found.seq <= seq + 1
        assert found.engine.snapshot() == engine_after(found.seq).snapshot()
        kept = [each.event for each in journal.events_after(0)]
        assert kept == [event for event, _ in tape()[: found.seq]]
        assert found.untold in ((), (tape()[found.seq][0],))
        if kill % 2:
            journal.close()
        else:
            journal.abandon()
    assert seq < len(tape()) - 1


def written_with_marks(path: Path, events: int) -> list[tuple[int, int, bool]]:
    """Write part of the tape; size of the log after each event, its number, whether synced."""
    journal = Journal.open(path, real_seams())
    log = path.with_name("journal.sqlite-wal")
    journal.begin_run(START, engine_after(0).snapshot())
    marks = [(log.stat().st_size, 0, True)]
    for event, commands in tape()[:events]:
        seq = journal.append(event, commands, event.ts)
        synced = isinstance(event, Control) or any(isinstance(c, SENDS) for c in commands)
        marks.append((log.stat().st_size, seq, synced))
    journal.abandon()
    return marks


@pytest.mark.parametrize("noise", [False, True], ids=["shorter", "garbled"])
def test_power_cut_at_any_byte_of_the_log_leaves_a_state_that_was_with_all_that_was_synced(
    tmp_path: Path, noise: bool
) -> None:
    path = tmp_path / "journal.sqlite"
    marks = written_with_marks(path, 60)
    log = path.with_name("journal.sqlite-wal").read_bytes()
    rng = random.Random(3)
    cuts = [rng.randrange(marks[0][0], len(log)) for _ in range(16)]
    cuts += [size + step for size, *_ in rng.sample(marks, 6) for step in (-1, 0)]
    for number, cut in enumerate(cuts):
        copy = tmp_path / str(number) / path.name
        copy.parent.mkdir()
        shutil.copy(path, copy)
        tail = rng.randbytes(len(log) - cut) if noise else b""
        copy.with_name("journal.sqlite-wal").write_bytes(log[:cut] + tail)
        with Journal.open(copy, real_seams()) as journal:
            if cut < marks[0][0]:
                assert journal.recover(CONFIG, RULES) is None
                continue
            found = recovered(journal)
        assert found.seq == max(seq for size, seq, _ in marks if size <= cut)
        assert found.seq >= max(seq for size, seq, synced in marks if synced and size <= cut)
        assert found.engine.snapshot() == engine_after(found.seq).snapshot()


# Other processes


def hold(path: Path, say: TextIO) -> None:
    """Write one event and go on holding the journal."""
    journal = Journal.open(path, real_seams())
    journal.begin_run(START, {})
    print(journal.append(BarClosed(BEGIN, 1), [], BEGIN), file=say, flush=True)
    signal.pause()


def test_second_writer_is_refused_while_the_first_lives_and_let_in_after_its_kill(
    tmp_path: Path, nursery: Nursery
) -> None:
    path = tmp_path / "journal.sqlite"
    holder = nursery.start(hold, path)
    assert holder.said.readline() == "1\n"
    with pytest.raises(JournalError, match=f"is being written by process {holder.pid} on "):
        Journal.open(path, real_seams())
    with Reader.open(path) as reader:
        assert reader.seq == 1
    holder.kill()
    with Journal.open(path, real_seams()) as journal:
        assert journal.seq == 1


def fill_up(path: Path, say: TextIO) -> None:
    """Write until the system takes no more; tell how far it came, and what was said then."""
    journal = Journal.open(path, real_seams())
    journal.begin_run(START, {})
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    told: list[object] = []
    for _ in range(2):
        try:
            while True:
                journal.append(BarClosed(BEGIN, 1), [Alert("info", "a", "words " * 500)], BEGIN)
        except JournalError as error:
            told.append(error.to_json())
    print(json.dumps([journal.seq, *told]), file=say)
    journal.close()


def test_write_that_the_system_refuses_ends_the_journal_and_loses_nothing_before_it(
    tmp_path: Path, nursery: Nursery
) -> None:
    path = tmp_path / "journal.sqlite"
    (said,) = nursery.start(fill_up, path).end()
    seq, first, second = json.loads(said)
    assert seq > 10
    assert "writing the journal failed (disk I/O error, SQLITE_IOERR_WRITE)" in first["what"]
    assert first["hint"].startswith("see what the system's log says of the disk")
    assert second["what"].startswith("the journal takes nothing more since JournalError: ")
    with Journal.open(path, real_seams()) as journal:
        assert journal.seq == len(journal.events_after(0)) == seq


def write_without_end(path: Path, _say: TextIO) -> None:
    """Event n has n % 4 commands, and seven ticks are written before it."""
    journal = Journal.open(path, real_seams())
    journal.begin_run(START, {})
    while True:
        seq = journal.seq + 1
        journal.record_ticks(Seen(seq * 7 + n, BEGIN) for n in range(7))
        journal.append(BarClosed(BEGIN, 1), [SetTimer(seq)] * (seq % 4), BEGIN)
        if seq % 64 == 0:
            journal.snapshot(seq, {"after": seq})


def test_reader_sees_one_moment_of_a_journal_that_grows_and_the_next_a_later_one(
    tmp_path: Path, nursery: Nursery
) -> None:
    growing = tmp_path / "journal.sqlite"
    Journal.open(growing, real_seams()).close()
    child = nursery.start(write_without_end, growing)
    day = day_of(BEGIN)
    seen = [0]
    while seen[-1] < 400:
        with Reader.open(growing) as reader:
            events = reader.read_events(day)["seq"]
            commands = reader.read_commands(day)["seq"]
            ticks = len(reader.read_ticks(START.instrument, day)["trade_id"])
            kept = reader.last_snapshot()
            assert reader.seq == len(events)
        seq = len(events)
        assert events == list(range(1, seq + 1))
        assert commands == [n for n in events for _ in range(n % 4)]
        assert ticks in (7 * seq, 7 * seq + 7)
        assert kept is None or kept[0] in (seq // 64 * 64, seq // 64 * 64 - 64)
        assert seq >= seen[-1]
        seen.append(seq)
    assert len(set(seen)) > 2
    child.kill()
