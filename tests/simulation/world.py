"""One schedule: an exchange, a way to it, a daemon on a node that is killed, and a storm.

For some virtual seconds everything goes wrong that `faults` knows. Then all is well but for the
connections, which are silent from then on: to notice is the daemon's own affair. Within a minute
and a half everything must be in order (`invariants`).
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.live.gateway_server import KEY
from tests.simulation.chaos import Chaos
from tests.simulation.disk import Disk
from tests.simulation.faults import KINDS, Storm, WireTap
from tests.simulation.invariants import Broken, Observed, Witness, judge
from tests.simulation.loop import Killed, Node, VirtualLoop
from tests.simulation.network import MemoryConnector, Network
from tests.simulation.place import START, URL, Place, setup
from tests.simulation.project import WAYS, Service, last_price, plan
from tests.simulation.schedule import Outcome, Schedule, WorldClock
from tests.simulation.trace import Trace
from vostok_core.errors import Refused, VostokError
from vostok_core.trading.events import Action
from vostok_exchange.events import Event, ExecutionReport
from vostok_exchange.protocol.calls import Call
from vostok_live.daemon.plan import JOURNAL
from vostok_live.daemon.supervisor import Daemon
from vostok_live.seams import Seams
from vostok_live.service.errors import NotRunning
from vostok_live.service.logs import ROOT as LOGS
from vostok_live.switch import throw

SETTLE = 90.0
"""Virtual seconds within which all must be in order again."""
_FIRST_LOOK = 20.0  # seconds: what was under way when the storm ended has arrived by then
_CALM_AFTER = 25.0  # seconds without a fault after which the way counts as healthy
_COVER_WITHIN = 5.0  # seconds; the engine's
_GRACE = 3.0  # seconds that a position may be uncovered beyond `cover_within`, to sell it


class World:
    """A schedule, while it runs.

    Args:
        loop: Where time passes.
        schedule: What is run.
        folder: Of the project, and for the exchange.
        show: Called with every line of the trace; None to show nothing.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        schedule: Schedule,
        folder: Path,
        *,
        show: Callable[[str], None] | None = None,
    ) -> None:
        chance = random.Random(f"{schedule.seed}/world")
        self.way = chance.choice(WAYS)
        speed = chance.choice((30.0, 60.0, 120.0))
        lists = chance.random() < 0.7
        self.schedule = schedule
        self.loop = loop
        self.trace = Trace(loop.time, show)
        self.observed = Observed()
        self.storm = Storm(schedule.seed, schedule.chosen(), loop.time, self._struck)
        self.network = Network(
            loop,
            random.Random(f"{schedule.seed}/latency"),
            mean=chance.choice((0.004, 0.02, 0.08)),
            tail=chance.choice((0.0, 0.01, 0.03)),
        )
        self.network.tap = lambda wire: WireTap(
            wire, self.storm, self._request, self._heard, lists=lists
        )
        self.network.admit = self._admit
        self.network.swallowed = self._swallowed
        self.plan = plan(folder / "project", self.way, URL, KEY)
        self.disk = Disk(
            loop.time, lambda when: self.died("kill_at_commit", when), self.plan.lake.root
        )
        self.service = Service(self.plan)
        self.witness = Witness(self.plan.state / JOURNAL)
        self.clock = WorldClock(self._wall_ns)
        self.place = Place(
            folder / "exchange",
            setup(chance.randrange(1_000_000), 50.0 / speed, last_price(folder / "project")),
            speed,
            self._wall_ns,
            loop.time,
            self._hold,
        )
        self.life: Daemon | None = None
        self.node: Node | None = None
        self.born = 0.0
        self._chance = chance
        self.closed_until = 0.0
        self._stopping = False
        self._promoted = -math.inf
        self._tasks: list[asyncio.Task[Any]] = []

    # The schedule

    async def run(self) -> Outcome:
        """Run it and judge."""
        self._watch_errors()
        await self.place.open(self.network, self._hear)
        self.trace.say("world", f"{self.way}, market time goes {self.place.speed:g} times as fast")
        self._spawn(self._keep_alive())
        self._spawn(self._pump())
        self._spawn(self._watch_cover())
        for kind in self.storm.kinds:
            if KINDS[kind].place == "event":
                self._spawn(Chaos(self).run(kind))
        settled = -1.0
        failures: list[str] = []
        try:
            await self._until(self.schedule.seconds)
            await self._heal()
            settled, failures = await self._settle()
        except Broken as broken:
            failures = [str(broken)]
        for each in failures:
            self.trace.say("judge", each)
        tally = self.storm.tally + self.observed.tally
        tally.update(
            orders=len(self.place.orders()),
            fills=len(self.place.fills()),
            trades=self.witness.count("ticks"),
            bars=self.witness.count("cuts"),
        )
        return Outcome(
            seed=self.schedule.seed,
            kinds=self.storm.kinds,
            failures=tuple(failures),
            fingerprint=self.trace.stamp(*self.witness.contents()),
            settled=settled,
            virtual=self.loop.time(),
            tally=tally,
            lines=tuple(self.trace.lines),
        )

    async def _heal(self) -> None:
        """The storm is over. Connections are not what they seem, and nothing new is entered."""
        self.storm.over = True
        self.disk.armed = None
        self.clock.off_ns = 0
        self.closed_until = 0.0
        for wire in self.network.wires:
            wire.hole = True
        self.observed.healed = self.loop.time()
        if self.service.withdrawn:
            await self.promote()
        self.trace.say("world", "the storm is over; every connection is silent")
        while not await self.ask("pause"):
            self._check()
            await asyncio.sleep(0.5)
            if self.loop.time() > self.observed.healed + SETTLE:
                raise Broken("the daemon takes no word from a person")

    async def _settle(self) -> tuple[float, list[str]]:
        """Wait until all is in order; when it was, or what was not in the end."""
        await self._until(self.observed.healed + _FIRST_LOOK)
        while True:
            failures = judge(self.place, self.plan, self.observed, self.storm)
            after = self.loop.time() - self.observed.healed
            if not failures:
                self.trace.say("judge", f"all is in order {after:.0f} s after the storm")
                return after, []
            if after >= SETTLE:
                return -1.0, failures
            await self._until(self.loop.time() + 2.0)

    async def _until(self, time: float) -> None:
        """Let time pass; what broke meanwhile is raised."""
        while (left := time - self.loop.time()) > 0.0:
            await asyncio.sleep(min(left, 1.0))
            self._check()

    def _check(self) -> None:
        """See to it that nothing is broken that must never be."""
        if self.observed.broken:
            raise Broken("; ".join(self.observed.broken))
        for task in self._tasks:
            if task.done() and (error := task.exception()) is not None:
                raise Broken(f"{type(error).__name__}: {error}") from error

    def _spawn(self, coroutine: Any) -> None:
        self._tasks.append(self.loop.create_task(coroutine))

    # The daemon

    async def _keep_alive(self) -> None:
        """Start the daemon, and again whenever it has ended, as a service manager does."""
        lives = 0
        while True:
            lives += 1
            self.observed.tally["lives"] += 1
            chance = random.Random(f"{self.schedule.seed}/life/{lives}")
            seams = Seams(
                self.clock, chance, lambda: MemoryConnector(self.network), self.disk.connect
            )
            ended = asyncio.Event()
            self.node = node = Node(f"daemon {lives}")
            node.on_death.append(ended.set)
            self.clock.boot()
            self.life = Daemon(self.plan, seams, serve=False)
            self.born = self.loop.time()
            self.observed.lives.append((self.born, math.inf))
            self.trace.say("world", f"{node.name} is started")
            task = node.start(self.life.run())
            task.add_done_callback(lambda _, ended=ended: ended.set())
            await ended.wait()
            if not node.dead:
                self._by_itself(task)
                node.kill()
            self.observed.lives[-1] = (self.born, self.loop.time())
            self.life = None
            await asyncio.sleep(chance.uniform(0.0, 8.0))

    def _by_itself(self, task: asyncio.Task[Any]) -> None:
        """The daemon has ended: it was asked to, has no model to decide by, or is mistaken."""
        error = None if task.cancelled() else task.exception()
        reasons = list(_leaves(error))
        if self._stopping and not reasons:
            self._stopping = False
            return
        self.trace.say("world", f"the daemon has ended by itself: {reasons!r}")
        self.observed.tally["ended_by_itself"] += 1
        allowed = self.service.withdrawn or self.loop.time() < self._promoted + 5.0
        if not (allowed and reasons and all(isinstance(each, Refused) for each in reasons)):
            self.observed.broken.append(f"the daemon has ended by itself: {reasons!r}")

    async def stop(self) -> bool:
        """Stop the daemon in order; whether one ran."""
        life, node = self.life, self.node
        if life is None or node is None or node.dead:
            return False
        self.trace.say("person", "stops it")
        self._stopping = True
        life.stop()
        while self.life is life:
            await asyncio.sleep(0.1)
        self._stopping = False
        return True

    async def promote(self) -> None:
        """A model is in service again; a daemon that sees to exits alone is started anew."""
        self.trace.say("person", "promotes a model again")
        self.service.promote()
        self._promoted = self.loop.time()
        session = None if self.life is None else self.life.session
        if self.life is not None and (session is None or session.barred is not None):
            await self.stop()

    async def _throw(self) -> bool:
        """Throw the kill switch while no daemon runs; whether there was a journal for it."""
        clock = WorldClock(self._wall_ns)
        seams = Seams(clock, random.Random(0), self._no_connector, self.disk.connect)
        asked = clock.wall_ns() // 1_000
        try:
            throw(self.plan.state / JOURNAL, seams, VostokError("none runs", hint=""))
        except NotRunning:
            return False
        self.trace.say("person", "kill, while no daemon runs")
        self.observed.controls.append((asked, "kill"))
        self.observed.tally["thrown"] += 1
        return True

    @staticmethod
    def _no_connector() -> Any:
        raise AssertionError("a switch opens no connection")

    async def ask(self, action: Action) -> bool:
        """Ask the daemon for something; whether it says that it has done it."""
        life, node = self.life, self.node
        if life is None or node is None or node.dead:
            return action == "kill" and self.life is None and await self._throw()
        done: asyncio.Future[bool] = self.loop.create_future()

        def told(task: asyncio.Task[Any]) -> None:
            error = task.exception()
            if error is not None and not isinstance(error, VostokError | Killed):
                self.observed.broken.append(f"{action}: {type(error).__name__}: {error}")
            if not done.done():
                done.set_result(error is None)

        node.on_death.append(lambda: done.done() or done.set_result(False))
        node.start(life.control(action, "simulation")).add_done_callback(told)
        asked = self.clock.wall_ns() // 1_000
        if not await done:
            if node.dead and action == "reset":
                # It may have been done; whoever gave no answer may enter again.
                self.observed.controls.append((asked, action))
            return False
        self.trace.say("person", action)
        self.observed.controls.append((self.clock.wall_ns() // 1_000, action))
        self.observed.tally[f"asked_{action}"] += 1
        return True

    def died(self, kind: str, how: str) -> None:
        """The daemon is killed now."""
        self.storm.struck(kind, how, lasts=10.0)

    # The way

    async def _admit(self) -> None:
        """A connection is about to be made."""
        if self.loop.time() < self.closed_until:
            raise ConnectionRefusedError(111, "connection refused")

    def _swallowed(self, data: bytes) -> None:
        """A request goes into a hole, on a connection that seemed to be whole."""
        if data.startswith((b"GET ", b"POST ", b"PUT ", b"DELETE ")):
            now = self.loop.time()
            self.storm.troubles.append((now, now + 10.0))

    # What the exchange sees

    def _request(self, line: str, kind: str) -> None:
        """A request leaves the daemon."""
        method, _, target = line.partition(" ")
        path = target.partition("?")[0]
        self.observed.tally["requests"] += 1
        if method != "GET" or kind:
            self.trace.say("wire", f"{method} {path} {kind}".rstrip())

    async def _hold(self, call: Call) -> None:
        """A request to place or cancel has come to the exchange."""
        names = [v for k, v in call.parameters.values.items() if k in _NAMES]
        self.trace.say("exchange", f"is asked: {' '.join(names)}")
        for name in names:
            self.observed.arrived(name, known=self.witness.knows(name))
        if self.storm.strikes("queued", 3.0):
            lasts = self.storm.chance("queued").uniform(0.0, 6.0)
            self.storm.struck("queued", f"{lasts:.1f} s", lasts=lasts)
            await asyncio.sleep(lasts)

    def _heard(self, stream: str) -> None:
        """Something of a stream goes to the daemon."""
        self.observed.heard[stream].append(self.loop.time())

    def _hear(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, ExecutionReport):
                order = event.order
                self.trace.say(
                    "exchange",
                    f"{event.execution} {order.client_order_id} {order.side} {order.type} "
                    f"{order.status} {order.filled}/{order.qty}",
                )

    # What is watched all the time

    async def _pump(self) -> None:
        """Fail where the exchange itself does."""
        await self.place.server.wait()

    async def _watch_cover(self) -> None:
        """How long a position is without a stop while nothing is in the way."""
        since: float | None = None
        bound = _COVER_WITHIN + _GRACE
        while True:
            await asyncio.sleep(0.5)
            now = self.loop.time()
            quiet = max(
                [self.born, self.observed.healed, *(end for _, end in self.storm.troubles[-8:])]
            )
            if self.life is None or now < quiet + _CALM_AFTER or self.place.covered():
                since = None
                continue
            since = now if since is None else since
            self.observed.uncovered = max(self.observed.uncovered, now - since)
            if now - since > bound:
                held = self.place.position()
                raise Broken(f"{held} lots have been without a stop for {now - since:.1f} s")

    def _watch_errors(self) -> None:
        """What is logged goes into the trace; what nobody has caught is a mistake."""
        logs = logging.getLogger()
        logs.handlers = [_Logged(self.trace, self.observed, str(self.plan.project.root))]
        logging.getLogger(LOGS).setLevel(logging.INFO)

        def heard(_: Any, context: dict[str, Any]) -> None:
            self.observed.broken.append(f"{context['message']}: {context.get('exception')!r}")

        self.loop.set_exception_handler(heard)

    def _struck(self, kind: str, what: str) -> None:
        self.trace.say("fault", f"{kind}: {what}")

    def _wall_ns(self) -> int:
        return START * 1_000 + int(self.loop.time() * 1e9)


class _Logged(logging.Handler):
    """Puts what is logged into the trace; an error of aiohttp's or asyncio's is a mistake."""

    def __init__(self, trace: Trace, observed: Observed, folder: str) -> None:
        super().__init__(logging.INFO)
        self._folder = folder  # another one each time, so not in the trace
        self._trace = trace
        self._observed = observed

    def emit(self, record: logging.LogRecord) -> None:
        ours = record.name.startswith(LOGS)
        said = record.getMessage().replace(self._folder, "")
        who = record.name.removeprefix(f"{LOGS}.")
        self._trace.say("daemon" if ours else "log", f"{who}: {said}")
        if record.levelno >= logging.ERROR and not ours:
            why = "" if record.exc_info is None else f" {record.exc_info[1]!r}"
            self._observed.broken.append(f"log: {said}{why}")


_NAMES = frozenset(
    {
        "newClientOrderId",
        "aboveClientOrderId",
        "belowClientOrderId",
        "workingClientOrderId",
        "pendingAboveClientOrderId",
        "pendingBelowClientOrderId",
    }
)


def _leaves(error: BaseException | None) -> Iterable[BaseException]:
    """The errors in a group, or the one that it is."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    elif error is not None:
        yield error
