"""Virtual time, and nodes that are killed."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.simulation.loop import Deadlock, Livelock, Node, VirtualLoop, run


def test_an_hour_takes_no_time() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(asyncio.sleep(seconds) for seconds in (3_600.0, 0.1, 7.25)))
        return loop.time()

    begun = time.monotonic()
    assert run(main) == 3_600.0
    assert time.monotonic() - begun < 5.0


def test_timers_ring_at_their_very_times_and_in_order() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        rung: list[float] = []
        for at in (0.3, 0.1, 0.2, 90_000.7):
            loop.call_at(at, lambda: rung.append(loop.time()))
        await asyncio.sleep(90_001.0)
        return rung

    assert run(main) == [0.1, 0.2, 0.3, 90_000.7]


def test_waiting_for_nothing_is_a_deadlock() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run(main)


def test_going_on_without_time_is_a_livelock(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    monkeypatch.setattr("tests.simulation.loop._MOST_AT_ONCE", 1_000)
    with pytest.raises(Livelock):
        run(main)


def test_threads_are_not_used() -> None:
    async def main() -> tuple[int, str]:
        loop = asyncio.get_running_loop()
        here = await asyncio.to_thread(lambda: id(asyncio.get_running_loop()))
        assert here == id(loop)

        def fail() -> None:
            raise ValueError("as asked")

        with pytest.raises(ValueError, match="as asked"):
            await loop.run_in_executor(None, fail)
        return here, "done"

    assert run(main)[1] == "done"


def test_a_dead_node_does_nothing_more_and_cleans_nothing_up() -> None:
    done: list[str] = []
    kept: list[Any] = []

    async def work() -> None:
        try:
            await inner()
        finally:
            done.append("finally")

    async def inner() -> None:
        asyncio.get_running_loop().call_later(5.0, done.append, "timer")
        asyncio.create_task(child())  # noqa: RUF006, the node keeps it
        await asyncio.sleep(2.0)
        done.append("woken")

    async def child() -> None:
        await asyncio.sleep(0.5)
        done.append("child")
        await asyncio.sleep(10.0)
        done.append("child's end")

    async def main() -> None:
        node = Node("a")
        kept.append(node)
        node.on_death.append(lambda: done.append("dies"))
        node.start(work())
        await asyncio.sleep(1.0)
        node.kill()
        node.kill()
        await asyncio.sleep(60.0)
        assert done == ["child", "dies"]

    loop = VirtualLoop()
    loop.run_until_complete(main())
    assert done == ["child", "dies"]
    loop.close()


def test_tasks_are_gone_through_in_the_order_of_their_making() -> None:
    async def main() -> list[str]:
        ended: list[str] = []

        async def wait(name: str) -> None:
            try:
                await asyncio.sleep(100.0)
            finally:
                ended.append(name)

        async def fail() -> None:
            await asyncio.sleep(1.0)
            raise ValueError

        async def together() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(wait(f"{number}"))
                group.create_task(fail())

        with pytest.raises(ExceptionGroup):
            await together()
        return ended

    # By address, it would be another order almost each time.
    assert run(main) == run(main)
