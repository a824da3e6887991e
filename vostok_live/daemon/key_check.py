"""What the key may do, asked once what is open is looked after."""

from __future__ import annotations

import logging

from vostok_core.trading.commands import Alert
from vostok_live.daemon.patiently import patiently
from vostok_live.daemon.plan import Plan
from vostok_live.daemon.trader import Trader
from vostok_live.gateway.ccxt_port import CcxtPort
from vostok_live.gateway.permission import check_permissions
from vostok_live.gateway.port import GatewayError
from vostok_live.seams import Random
from vostok_live.service import logs
from vostok_live.service.status import Reason

_log = logging.getLogger(f"{logs.ROOT}.session")
_CODE = "key"


class KeyCheck:
    """Keeps entries back until the key is known to be one that may trade and nothing more.

    Args:
        plan: Whose key.
        port: The exchange; open.
        trader: Says whether something is open.
        random: Chance, for the pauses between questions.
        doubts: Why nothing is entered, by code; `key` is among them at once.
    """

    def __init__(
        self,
        plan: Plan,
        port: CcxtPort,
        trader: Trader,
        random: Random,
        doubts: dict[str, Reason],
    ) -> None:
        self._port = port
        self._trader = trader
        self._random = random
        self._where = plan.venue.rest
        self._doubts = doubts
        doubts[_CODE] = Reason(_CODE, "it is not known what the key may do", "it is being asked")

    async def run(self) -> None:
        """Ask, until there is an answer.

        Raises:
            GatewayError: The key is refused, and nothing is open that it is needed for.
        """
        try:
            allowed = await patiently(self._random, "the key's permissions", self._port.permissions)
            warning = check_permissions(allowed, self._where)
        except GatewayError as error:
            if not self._trader.has_open:
                raise
            hint = "start the daemon again once that is mended: nothing is entered until then"
            said = hint if error.hint is None else f"{error.hint}; {hint}"
            self._doubts[_CODE] = Reason(_CODE, error.what, said)
            self._trader.alert(Alert("critical", _CODE, error.what))
            return
        del self._doubts[_CODE]
        if warning is not None:
            logs.event(_log, "warning", _CODE, warning)
