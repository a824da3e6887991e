"""Who asks: API keys, HMAC-SHA256 signatures and the window of time in which a request counts.

Binance, rest-api.md, "Request Security": what is signed is the query followed by the body, exactly
as sent, percent-encoded; by the WebSocket API, `name=value` sorted by name and joined by `&`. The
times are the wall's.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from vostok_core.times import MILLISECOND, SECOND
from vostok_exchange.protocol.faults import Fault, missing
from vostok_exchange.protocol.parameters import DECIMAL, TEXT, TIME, Parameters
from vostok_exchange.settings import AccountSetup, Key

BAD_FORMAT = Fault(-2014, "API-key format invalid.", 401)
BAD_KEY = Fault(-2015, "Invalid API-key, IP, or permissions for action.", 401)
BAD_SIGNATURE = Fault(-1022, "Signature for this request is not valid.")
TOO_LATE = Fault(-1021, "Timestamp for this request is outside of the recvWindow.")
TOO_EARLY = Fault(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
BAD_WINDOW = Fault(-1131, "recvWindow must be less than 60000.")

_WINDOW = 5_000 * MILLISECOND
_LONGEST_WINDOW = 60_000 * MILLISECOND
_FORMAT = re.compile(r"[A-Za-z0-9]{64}")
_SIGNATURE = re.compile(r"&signature=[^&]*|^signature=[^&]*&?")


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose key it is."""

    uid: int
    key: Key


@dataclass(frozen=True, slots=True)
class Validity:
    """When a request counts, microseconds of the wall."""

    timestamp: int
    window: int

    def check(self, now: int) -> None:
        """At its arrival.

        Raises:
            Fault: It is too old, or from the future.
        """
        if self.timestamp >= now + SECOND:
            raise TOO_EARLY
        self.check_again(now)

    def check_again(self, now: int) -> None:
        """Right before it is handed to the matching engine.

        Raises:
            Fault: It has become too old.
        """
        if now - self.timestamp > self.window:
            raise TOO_LATE


class Keyring:
    """Every API key.

    Args:
        accounts: Who has which.
    """

    def __init__(self, accounts: Iterable[AccountSetup]) -> None:
        self._holders = {
            key.key: Holder(account.uid, key) for account in accounts for key in account.keys
        }

    def holder(self, key: str | None) -> Holder:
        """Whose key it is.

        Raises:
            Fault: It has not the form of a key, or is nobody's.
        """
        if key is None or not _FORMAT.fullmatch(key):
            raise BAD_FORMAT
        holder = self._holders.get(key)
        if holder is None:
            raise BAD_KEY
        return holder

    def revoke(self, key: str) -> None:
        """From now on it is nobody's."""
        del self._holders[key]


def signed_query(query: str, body: str) -> str:
    """What is signed of a request by REST: everything as sent, but the signature.

    Raises:
        Fault: It isn't percent-encoded, so it can't have been signed.
    """
    payload = _SIGNATURE.sub("", query) + _SIGNATURE.sub("", body)
    if not payload.isascii():
        raise BAD_SIGNATURE
    return payload


def signed_values(values: Mapping[str, str]) -> str:
    """What is signed of a request by the WebSocket API."""
    return "&".join(f"{name}={values[name]}" for name in sorted(values) if name != "signature")


def verify(holder: Holder, payload: str, parameters: Parameters, now: int) -> Validity:
    """Check a request's signature and its window of time.

    Args:
        holder: Who claims to have sent it.
        payload: What is signed.
        parameters: What it says; `signature`, `timestamp` and `recvWindow` are read.
        now: The wall's time, microseconds.

    Raises:
        Fault: Something of it is wrong.
    """
    timestamp = parameters.required("timestamp", TIME)
    window = parameters.optional("recvWindow", DECIMAL)
    signature = parameters.required("signature", TEXT)
    microseconds = _WINDOW if window is None else _microseconds(window)
    expected = hmac.new(holder.key.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.lower().encode()):
        raise BAD_SIGNATURE
    validity = Validity(timestamp, microseconds)
    validity.check(now)
    return validity


def _microseconds(window: Decimal) -> int:
    microseconds = window * MILLISECOND
    if microseconds > _LONGEST_WINDOW:
        raise BAD_WINDOW
    if microseconds != microseconds.to_integral_value():
        raise missing("recvWindow")
    return int(microseconds)
