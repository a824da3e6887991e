"""What goes wrong at some time: connections, the daemon, its clock, and what a person does."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from tests.simulation.disk import Side
from vostok_core.trading.events import Action

if TYPE_CHECKING:
    from tests.simulation.world import World

_SIDES: tuple[Side, ...] = ("before", "after")
_CLOCK = 0.4  # seconds by which the daemon's clock may be off, on either side
_UNDO: dict[Action, tuple[Action, ...]] = {
    "pause": ("resume",),
    "flatten": ("resume",),
    "kill": ("reset", "resume"),
    "reset": ("resume",),
}


class Chaos:
    """Lets kinds of events strike, as the storm says.

    Args:
        world: Where.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._storm = world.storm

    async def run(self, kind: str) -> None:
        """Let a kind strike again and again, until the storm is over."""
        storm = self._storm
        while not storm.over:
            await asyncio.sleep(storm.pause(kind))
            if not storm.over:
                await getattr(self, f"_{kind}")(storm.chance(kind))

    async def _reset(self, chance: random.Random) -> None:
        wires = [wire for wire in self._world.network.wires if chance.random() < 0.6]
        self._storm.struck("reset", f"wires {[wire.number for wire in wires]}")
        for wire in wires:
            wire.reset()

    async def _half_open(self, chance: random.Random) -> None:
        wires = [wire for wire in self._world.network.wires if chance.random() < 0.5]
        self._storm.struck("half_open", f"wires {[wire.number for wire in wires]}", lasts=15.0)
        for wire in wires:
            wire.hole = True

    async def _refusal(self, chance: random.Random) -> None:
        lasts = chance.uniform(1.0, 12.0)
        self._storm.struck("refusal", f"for {lasts:.1f} s", lasts=lasts)
        self._world.closed_until = self._world.loop.time() + lasts
        for wire in self._world.network.wires:
            wire.reset()
        await asyncio.sleep(lasts)

    async def _partition(self, chance: random.Random) -> None:
        lasts = chance.uniform(2.0, 15.0)
        self._storm.struck("partition", f"for {lasts:.1f} s", lasts=lasts + 10.0)
        until = self._world.loop.time() + lasts
        while self._world.loop.time() < until and not self._storm.over:
            for wire in self._world.network.wires:
                wire.hole = True
            await asyncio.sleep(0.2)

    async def _kill(self, chance: random.Random) -> None:
        if self._world.node is not None and not self._world.node.dead:
            silently = chance.random() < 0.3
            self._world.died("kill", "and the machine with it" if silently else "")
            if silently:  # nobody is left who would tell the exchange
                for wire in self._world.network.wires:
                    wire.hole = True
            self._world.node.kill()

    async def _kill_at_commit(self, chance: random.Random) -> None:
        disk = self._world.disk
        disk.least = chance.choice((1, 1, 2, 2, 3, 5))
        disk.armed = chance.choice(_SIDES)

    async def _stop(self, chance: random.Random) -> None:  # noqa: ARG002, all kinds have it
        if await self._world.stop():
            self._storm.struck("stop", "in order")

    async def _withdraw(self, chance: random.Random) -> None:
        lasts = chance.uniform(1.0, 25.0)
        self._storm.struck("withdraw", f"for {lasts:.1f} s")
        self._world.service.withdraw()
        await asyncio.sleep(lasts)
        await self._world.promote()

    async def _refresh(self, chance: random.Random) -> None:  # noqa: ARG002
        self._storm.struck("refresh", "")
        self._world.service.refresh()

    async def _clock(self, chance: random.Random) -> None:
        to = chance.uniform(-_CLOCK, _CLOCK)
        self._storm.struck("clock", f"off by {to:+.3f} s")
        self._world.clock.off_ns = int(to * 1e9)

    async def _control(self, chance: random.Random) -> None:
        action: Action = chance.choice(("pause", "flatten", "kill", "kill", "reset"))
        if await self._world.ask(action):
            self._storm.struck("control", action)
        if action == "kill" and "kill" in self._storm.kinds and chance.random() < 0.5:
            await asyncio.sleep(chance.uniform(0.0, 2.0))
            await self._kill(chance)  # the switch must outlive the daemon
        await asyncio.sleep(chance.uniform(3.0, 25.0))
        for undo in _UNDO[action]:
            while not self._storm.over and not await self._world.ask(undo):
                await asyncio.sleep(1.0)
