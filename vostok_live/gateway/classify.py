"""What an answer that is no success means, and what it means that there is no answer.

The exchange's code and the HTTP status decide, and of an error its cause; never the class that a
library made of them, since those mix what was refused with what nobody knows. Whatever is not
listed as refused, throttled or never sent counts as unknown.

Source: binance-spot-api-docs, errors.md and rest-api.md ("HTTP Return Codes").
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import aiohttp

from vostok_live.gateway.port import Meaning, NeverSent, Outcome, Rejected, Throttled, Unknown

DEFAULT_WAIT = 60.0
"""Seconds that are waited where the exchange throttles and doesn't say for how long."""


class Rule(NamedTuple):
    """What a code means where its text contains `text`; the first rule that fits counts."""

    code: int
    text: str
    outcome: Literal["rejected", "unknown", "throttled"]
    meaning: Meaning = "refused"


RULES = (
    Rule(-1000, "", "unknown"),
    Rule(-1001, "", "unknown"),
    Rule(-1002, "", "rejected", "key"),
    Rule(-1003, "", "throttled"),
    Rule(-1006, "", "unknown"),
    Rule(-1007, "", "unknown"),
    Rule(-1008, "", "unknown"),
    Rule(-1013, "Market is closed", "rejected", "closed"),
    Rule(-1013, "", "rejected"),
    Rule(-1015, "", "throttled"),
    Rule(-1021, "", "rejected", "clock"),
    Rule(-1022, "", "rejected", "key"),
    # Our ids are never used twice: whoever sent it first, the order is there.
    Rule(-2010, "Duplicate order sent", "unknown"),
    Rule(-2010, "Market is closed", "rejected", "closed"),
    Rule(-2010, "", "rejected"),
    Rule(-2011, "Unknown order", "rejected", "gone"),
    Rule(-2011, "", "rejected"),
    Rule(-2013, "", "rejected", "gone"),
    Rule(-2018, "Order list does not exist", "rejected", "gone"),
    Rule(-2014, "", "rejected", "key"),
    Rule(-2015, "", "rejected", "key"),
)
"""Codes with a meaning of their own; any other that comes with a 4xx status is a refusal."""


def refusal(
    status: int,
    code: int | None,
    text: str,
    *,
    retry_after: float | None,
    signed_ms: int,
) -> Rejected | Unknown | Throttled:
    """What an answer that is no success says of the request.

    Args:
        status: Of the HTTP response.
        code: The exchange's; None where the body has none, so that it may be anybody's.
        text: The exchange's words.
        retry_after: Seconds, where a header says so.
        signed_ms: Time that the request was signed with.
    """
    # The firewall (403) and the limits (418, 429) stand before everything else.
    if status in (403, 418, 429):
        wait = DEFAULT_WAIT if retry_after is None else retry_after
        return Throttled(text, wait, code, status)
    # A failing server can't know what its other half did, whatever code it gives.
    if code is None or not 400 <= status < 500:
        return Unknown(text, signed_ms, code, status)
    rule = next((r for r in RULES if r.code == code and r.text in text), None)
    if rule is None:
        return Rejected(code, text, status)
    match rule.outcome:
        case "throttled":
            wait = DEFAULT_WAIT if retry_after is None else retry_after
            return Throttled(text, wait, code, status)
        case "unknown":
            return Unknown(text, signed_ms, code, status)
        case "rejected":
            return Rejected(code, text, status, rule.meaning)


def failure(error: BaseException, *, signed_ms: int) -> Outcome:
    """What an error on the way says of the request.

    Only an error from before there was a connection proves that nothing was sent; "refused"
    later and "reset after it was sent" look alike. No text of it is passed on: it may hold the
    signed address.

    Args:
        error: What was raised; where it has a cause, that counts.
        signed_ms: Time that the request was signed with.
    """
    cause = error.__cause__ or error
    if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return NeverSent(_name(cause))
    return Unknown(_name(cause), signed_ms)


def _name(error: BaseException) -> str:
    """The kind of an error, and what the system says of it."""
    words = getattr(error, "strerror", None)
    kind = type(error).__name__
    return f"{kind}: {words}" if words else kind
