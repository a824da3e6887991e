"""An event loop whose time is virtual, and nodes on it that can be killed as a process is.

`VirtualLoop` runs asyncio's own machinery, but its time passes only when nothing is left to do:
then it jumps to the next timer. A minute takes as long as what happens in it.

What runs on the loop belongs to the node in whose context it was started, or to none. A node that
is killed does nothing more: its callbacks are dropped, so none of its `finally` blocks run, and
what it had open stays as it was. Its tasks are kept, for a coroutine that is collected would run
its `finally` blocks after all.

The same program does the same again: tasks and futures are hashed by their number and not by their
address, since asyncio goes through sets of them.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from itertools import count
from typing import Any

_MOST_AT_ONCE = 500_000  # rounds of the loop at one time, after which it is held for stuck


class Deadlock(AssertionError):
    """Everybody waits, and nothing will ever happen."""


class Livelock(AssertionError):
    """Something goes on and on, and time does not."""


class Killed(BaseException):
    """Raised into code that has just been killed, to end it where it stands."""


class Node:
    """A process, as far as killing it goes.

    Args:
        name: For a person.

    Attributes:
        dead: Whether it was killed.
        on_death: Called once when it is.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.on_death: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._kept = 64

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine, and all that it starts, on this node."""
        context = copy_context()
        context.run(NODE.set, self)
        return asyncio.get_running_loop().create_task(coroutine, context=context)

    def kill(self) -> None:
        """End it, wherever it is."""
        if not self.dead:
            self.dead = True
            for each in self.on_death:
                each()

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold on to a task, for as long as it isn't done."""
        self._tasks.append(task)
        if len(self._tasks) > self._kept:
            self._tasks = [each for each in self._tasks if not each.done()]
            self._kept = 64 + 2 * len(self._tasks)

    def guarded(self, callback: Callable[..., object]) -> Callable[..., None]:
        """A callback that does nothing once the node is dead."""

        def run(*args: Any) -> None:
            if not self.dead:
                try:
                    callback(*args)
                except Killed:
                    assert self.dead, "only the dead are killed"

        return run


NODE: ContextVar[Node | None] = ContextVar("NODE", default=None)
"""The node that what runs now belongs to."""


class _Task(asyncio.Task[Any]):
    """A task that is hashed by its number."""

    def __init__(self, coroutine: Any, *, number: int, **options: Any) -> None:
        self.number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self.number


class _Future(asyncio.Future[Any]):
    """A future that is hashed by its number."""

    def __init__(self, *, number: int, loop: asyncio.AbstractEventLoop) -> None:
        self.number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number


class _Selector(selectors.BaseSelector):
    """Waits for nothing but the next timer, which it makes come at once."""

    def __init__(self) -> None:
        self.loop: VirtualLoop
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = _fd(fileobj)
        self._keys[fd] = selectors.SelectorKey(fileobj, fd, events, data)
        return self._keys[fd]

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(_fd(fileobj))

    def get_map(self) -> Any:
        return self._keys

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[_fd(fileobj)]

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock("everybody waits, and nothing will ever happen")
        self.loop.pass_time(timeout)
        return []


def _fd(fileobj: Any) -> int:
    return fileobj if isinstance(fileobj, int) else int(fileobj.fileno())


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module.

    Attributes:
        now: Seconds since it was made.
        steps: Callbacks that were asked for.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self._rounds = 0
        self._numbers = count()
        selector = _Selector()
        super().__init__(selector)
        selector.loop = self
        self._clock_resolution = 1e-9
        self.set_task_factory(self._task)

    def time(self) -> float:
        return self.now

    def pass_time(self, timeout: float) -> None:
        """Let time go on to the next timer; for a timer that is far, in steps."""
        if timeout <= 0.0:
            self._rounds += 1
            if self._rounds > _MOST_AT_ONCE:
                raise Livelock(f"{self._rounds} rounds, and it is still {self.now:.6f}")
            if self._scheduled:  # type: ignore[attr-defined]
                # A timer fires as soon as it is due within the clock's resolution: it is then.
                due = self._scheduled[0]._when  # type: ignore[attr-defined]
                if due < self.now + self._clock_resolution:
                    self.now = max(self.now, due)
            return
        self._rounds = 0
        # The difference of two times, added to the first, need not be the second.
        due = self._scheduled[0]._when  # type: ignore[attr-defined]
        self.now = due if due - self.now <= timeout else self.now + timeout

    def call_soon(
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        self.steps += 1
        return super().call_soon(_of_node(callback, context), *args, context=context)

    def call_at(
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return super().call_at(when, _of_node(callback, context), *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return _Future(number=next(self._numbers), loop=self)

    def run_in_executor(self, _executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        """Call it at once: threads would bring chance that no seed decides."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001, whatever it is, it is for who awaits it
            done.set_exception(error)
        return done

    def _task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Any,
        **options: Any,
    ) -> asyncio.Task[Any]:
        task = _Task(coroutine, number=next(self._numbers), loop=loop, **options)
        context = options.get("context")
        node = NODE.get() if context is None else context.get(NODE)
        if node is not None:
            node.keep(task)
        return task


def _of_node(callback: Any, context: Context | None) -> Any:
    node = NODE.get() if context is None else context.get(NODE)
    return callback if node is None else node.guarded(callback)


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
