"""Market time at any speed, on a monotonic clock that the test winds."""

from __future__ import annotations

import asyncio

import pytest

from vostok_exchange.clock import MarketClock, SteppedClock


class Wound:
    """Seconds that pass only while somebody sleeps, and always a little short of what was asked."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += max(seconds * 0.75, 1e-7)


@pytest.mark.parametrize(("speed", "market"), [(1.0, 2_500_000), (60.0, 150_000_000)])
def test_market_time_runs_at_its_speed(speed: float, market: int) -> None:
    wound = Wound()
    clock = MarketClock(10**15, speed, wound.monotonic, wound.sleep)
    assert clock.now() == 10**15
    wound.seconds += 2.5
    assert clock.now() == 10**15 + market


def test_sleeping_goes_on_until_the_time_has_come() -> None:
    wound = Wound()
    clock = MarketClock(0, 100.0, wound.monotonic, wound.sleep)

    async def sleep() -> None:
        await clock.sleep_until(50_000_000)
        assert clock.now() >= 50_000_000
        await clock.sleep_until(50_000_000)

    asyncio.run(sleep())
    assert wound.slept[0] == pytest.approx(0.5)
    assert len(wound.slept) > 2
    assert wound.seconds - 1_000.0 == pytest.approx(0.5, abs=1e-6)


def test_the_real_clock_is_the_default() -> None:
    async def sleep() -> int:
        clock = MarketClock(7, 1e6)
        await clock.sleep_until(5_000)
        return clock.now()

    assert asyncio.run(sleep()) >= 5_000


def test_a_stepped_clock_wakes_who_is_due_in_order_of_time() -> None:
    async def run() -> None:
        clock = SteppedClock(100)
        woken: list[str] = []

        async def wait(name: str, ts: int) -> None:
            await clock.sleep_until(ts)
            woken.append(f"{name} at {clock.now()}")

        given_up = asyncio.create_task(wait("given up", 150))
        names = {"late": 300, "first": 120, "again": 120, "second": 200, "past": 90}
        tasks = [asyncio.create_task(wait(name, ts)) for name, ts in names.items()]
        await tasks[-1]
        assert woken == ["past at 100"]
        given_up.cancel()
        clock.step_to(119)
        await asyncio.sleep(0)
        assert woken == ["past at 100"]
        clock.step_to(200)
        await asyncio.gather(*tasks[1:4])
        assert woken[1:] == ["first at 200", "again at 200", "second at 200"]
        clock.step_to(300)
        await tasks[0]
        assert woken[4:] == ["late at 300"]
        with pytest.raises(AssertionError, match="goes forward"):
            clock.step_to(299)

    asyncio.run(run())
