"""Follows the promoted pointer while the daemon runs."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from vostok_core.errors import BundleError, Refused
from vostok_core.models.registry import serve_command
from vostok_core.trading.commands import Alert
from vostok_live.daemon.model import Model, in_service
from vostok_live.daemon.plan import Plan
from vostok_live.daemon.readiness import Readiness
from vostok_live.daemon.trader import Trader
from vostok_live.service import logs
from vostok_live.service.status import Reason

_log = logging.getLogger(f"{logs.ROOT}.model")
_EVERY = 2.0  # seconds
_CODE = "model"
_UNSURE = "unsure"  # no hash: whatever the pointer says next is looked at, the same model too


class ModelWatch:
    """Puts what is promoted into service from the next bar on, and stops entries where nothing is.

    A refresh of the same configuration takes over at once; exits of an open position stay what they
    are. A model of another configuration sees other features or trades otherwise, so the daemon is
    to be started anew for it; until then it enters nothing.

    Args:
        plan: Whose model.
        trader: Decides by one.
        readiness: Says why nothing is entered.
    """

    def __init__(self, plan: Plan, trader: Trader, readiness: Readiness) -> None:
        assert trader.model is not None, "it was started with a model"
        self._plan = plan
        self._trader = trader
        self._readiness = readiness
        self._decides: Model = trader.model
        self._seen: str | None = trader.model.sha256

    async def run(self) -> None:
        """Look every now and then, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            await self.look()

    async def _look_up(self, name: str) -> str | None:
        plan = self._plan
        if isinstance(plan.lake.root, Path):
            return in_service(plan.lake, plan.strategy, name)
        # A folder answers at once; an object store may take its time, and trades come meanwhile.
        return await asyncio.to_thread(in_service, plan.lake, plan.strategy, name)

    async def look(self) -> None:
        """Look at the pointer once. What is wrong with the model stops entries, and nothing else.

        Raises:
            JournalError: What a person is told of it can't be written down.
        """
        plan, name = self._plan, str(self._plan.instrument.id)
        model = None
        try:
            found = await self._look_up(name)
            if found == self._seen:
                return
            if found not in (None, self._decides.sha256):
                model = await asyncio.to_thread(Model.load, plan.lake, plan.strategy, name)
        except (BundleError, Refused) as error:
            self._seen = _UNSURE
            self._stop(f"the promoted model can't be trusted: {error.what}", str(error.hint))
            return
        except Exception as error:  # noqa: BLE001, whatever it is, what is open goes on
            self._seen = _UNSURE
            what = f"the promoted model can't be read ({type(error).__name__}: {error})"
            if self._stop(what, "see daemon.log; it is tried again by itself"):
                logs.event(_log, "error", _CODE, what)
            return
        self._seen = found
        if model is not None:
            self._take(model)
        elif found is None:
            self._stop(
                "no model is in service any more",
                f"let the gate promote one, or run {serve_command(plan.strategy, name)} for one "
                "that it has promoted",
            )
        else:
            self._readiness.others.pop(_CODE, None)

    def _take(self, model: Model) -> None:
        trader = self._trader
        week = model.bundle.manifest.week
        if model.takes_over_from(self._decides):
            trader.swap(model)
            self._decides = model
            self._readiness.others.pop(_CODE, None)
            said = f"the model of week {week}, {model.sha256[:16]}, decides from the next bar on"
            trader.alert(Alert("info", "model_swapped", said))
        else:
            self._stop(
                f"the promoted model of week {week} is of another configuration",
                "start the daemon again: it closes nothing that is open",
            )

    def _stop(self, what: str, hint: str) -> bool:
        """Enter nothing; whether that is news."""
        reason = Reason(_CODE, what, hint)
        if self._readiness.others.get(_CODE) == reason:
            return False
        self._readiness.others[_CODE] = reason
        self._trader.alert(Alert("warning", _CODE, what))
        return True
