"""What is said against a request: Binance's code and text, and an HTTP status.

These are answers, not errors of ours: they never leave the protocol.
"""

from __future__ import annotations

from typing import Any

from vostok_exchange.orders import Rejection


class Fault(Exception):
    """A request is refused.

    Args:
        code: Binance's code.
        msg: Binance's text.
        status: HTTP status.
        data: What the answer holds besides, under `data`.
        wait: Seconds after which to try again (`Retry-After`).
    """

    def __init__(
        self,
        code: int,
        msg: str,
        status: int = 400,
        *,
        data: dict[str, Any] | None = None,
        wait: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {msg}")
        self.code = code
        self.msg = msg
        self.status = status
        self.data = data
        self.wait = wait

    def forget(self) -> None:
        """Let go of the frames it came through: many faults are constants, and raised often."""
        self.__traceback__ = self.__context__ = None

    @property
    def payload(self) -> dict[str, Any]:
        """The answer."""
        payload: dict[str, Any] = {"code": self.code, "msg": self.msg}
        return payload if self.data is None else {**payload, "data": self.data}


def refused(rejection: Rejection) -> Fault:
    """What the venue said against it."""
    return Fault(rejection.code, rejection.msg)


def missing(name: str) -> Fault:
    """A parameter that must be sent was not."""
    return Fault(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def one_needed(first: str, second: str) -> Fault:
    """One of two parameters must be sent, and neither was."""
    return Fault(-1102, f"Param '{first}' or '{second}' must be sent, but both were empty/null!")


def not_required(name: str) -> Fault:
    """A parameter was sent that makes no sense here."""
    return Fault(-1106, f"Parameter '{name}' sent when not required.")


def invalid(name: str) -> Fault:
    """A parameter's value can't be used."""
    return Fault(-1130, f"Data sent for parameter '{name}' is not valid.")


def unsupported(what: str) -> Fault:
    """A kind of order that the symbol doesn't take."""
    return Fault(-1013, f"{what} orders are not supported for this symbol.")


BAD_COMBINATION = Fault(-1128, "Combination of optional parameters invalid.")
BAD_SYMBOL = Fault(-1121, "Invalid symbol.")
