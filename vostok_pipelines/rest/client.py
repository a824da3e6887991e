"""One exchange, asked through ccxt: as fast as it allows, and again where no answer came.

ccxt knows addresses, symbols, what each question costs and which of its errors an answer means. How
to wait is decided here, on a clock that nobody sets back: by the cost of questions, as long as the
exchange asks for (429, 418), into the next minute once a share of the minute's weight is used, and
longer each time where an answer fails to come. An answer that is no JSON is none: ccxt would make
an empty page of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from typing import Any, TypeVar
from urllib.parse import urlsplit

from vostok_core.errors import FetchError
from vostok_pipelines.rest.slim import exchange_class
from vostok_pipelines.rest.trades import Unusable

Answer = TypeVar("Answer")

_WEIGHT = "X-MBX-USED-WEIGHT-1M"
_HELD = (418, 429)
_FOREVER = (401, 403, 404, 451)

_silent = logging.getLogger("vostok_pipelines.rest.ccxt")
_silent.setLevel(logging.WARNING)


@dataclass(frozen=True)
class Patience:
    """How long an exchange is put up with.

    Attributes:
        tries: Times that a question is asked before it is given up.
        pause: Seconds before the second try, doubled before each further one.
        longest_pause: What that doubling ends at.
        held: Seconds to wait where the exchange holds us off and doesn't say for how long.
        longest_hold: Longest time that is waited for when the exchange asks for it, seconds.
        timeout: Seconds that an answer is waited for.
        pace: Share of the time between two questions, as ccxt knows it, that is kept; less is only
            for an exchange of one's own.
        weight_share: Share of a minute's weight after which the next minute is waited for.
    """

    tries: int = 8
    pause: float = 0.5
    longest_pause: float = 30.0
    held: float = 60.0
    longest_hold: float = 600.0
    timeout: float = 20.0
    pace: float = 1.0
    weight_share: float = 0.8


class ExchangeRefuses(FetchError):
    """The exchange refuses, and would again: nothing more is asked of it."""


class _NoAnswer(Exception):
    """No answer that can be used; another try may get one."""


class Client:
    """Asks one exchange.

    Args:
        exchange: Its name in ccxt.
        url: Where it is, instead of where ccxt knows it.
        patience: How long it is put up with.
        random: Spreads the pauses.

    Attributes:
        ccxt: The exchange as ccxt has it.
        weight: Weight that this address may use in a minute, where the exchange counts so.
        received: Bytes of all answers.
        asked: Questions that were put, repeated ones counted.
    """

    def __init__(
        self,
        exchange: str,
        *,
        url: str | None = None,
        patience: Patience | None = None,
        random: Random | None = None,
    ) -> None:
        self.exchange = exchange
        self.patience = patience or Patience()
        self.weight = 6_000
        self.received = 0
        self.asked = 0
        self._url = url
        self._random = random or Random()  # noqa: S311, it spreads pauses
        self._free = float("-inf")
        self._held_until = float("-inf")
        self._status = 0
        self.ccxt: Any = None

    async def open(self) -> None:
        """Make ccxt's exchange.

        Raises:
            UsageError: ccxt has none of this name.
        """
        client = exchange_class(self.exchange)(
            {
                "enableRateLimit": True,
                "timeout": int(self.patience.timeout * 1_000),
                "logger": _silent,
                "aiohttp_trust_env": self._url is None,
                "options": {"maxRetriesOnFailure": 0, "warnOnFetchCurrencies": False},
            }
        )
        if self._url is not None:
            client.urls["api"] = _pointed(client.urls["api"], self._url.rstrip("/"))
        client.has["fetchCurrencies"] = False
        client.timeout_on_exit = 0
        client.throttle = self._throttle
        client.on_rest_response = self._heard
        client.parse_json = self._parsed(client)
        self.ccxt = client

    async def aclose(self) -> None:
        """Close the connections."""
        if self.ccxt is not None:
            await self.ccxt.close()
            self.ccxt = None

    async def ask(
        self, question: Callable[[Any], Awaitable[Any]], read: Callable[[Any], Answer]
    ) -> Answer:
        """Ask until there is an answer that can be read.

        Args:
            question: Asks ccxt's exchange.
            read: Makes a value of the answer; it raises `Unusable` where that can't be right.

        Raises:
            ExchangeRefuses: It refuses the question, or wants none for longer than is waited.
            FetchError: There is no such answer after some tries.
        """
        why = ""
        for attempt in range(self.patience.tries):
            if attempt:
                await self.rest(attempt)
            await self._turn()
            try:
                return read(await self._put(question))
            except (_NoAnswer, Unusable) as error:
                why = str(error)
        raise FetchError(
            f"no answer after {self.patience.tries} tries: {why}",
            where=self.place,
            hint="see whether the exchange is up, and ask again: what has come is kept",
        )

    async def rest(self, attempt: int) -> None:
        """Wait before a further try."""
        pause = min(self.patience.pause * 2.0 ** (attempt - 1), self.patience.longest_pause)
        await asyncio.sleep(pause * self._random.uniform(0.5, 1.0))

    @property
    def place(self) -> str:
        """The exchange, and where it is if that is not where ccxt knows it."""
        return self.exchange if self._url is None else f"{self.exchange} at {self._url}"

    async def _put(self, question: Callable[[Any], Awaitable[Any]]) -> Any:
        """Put a question once."""
        from ccxt.base import errors

        self._status = 0
        self.asked += 1
        try:
            return await question(self.ccxt)
        except (errors.RateLimitExceeded, errors.DDoSProtection) as error:
            if self._status not in _HELD:  # it said so in an answer that is no error by its status
                self._hold(self.patience.held)
            raise _NoAnswer(f"too many requests ({_shortened(error)})") from None
        except (
            errors.BadSymbol,
            errors.NotSupported,
            errors.ArgumentsRequired,
            errors.AuthenticationError,
            errors.PermissionDenied,
        ) as error:
            raise self._refused(_shortened(error)) from None
        except errors.BaseError as error:
            if self._status in _FOREVER:
                raise self._refused(f"HTTP {self._status}, {_shortened(error)}") from None
            cause = error.__cause__
            why = f"{type(cause).__name__}" if cause is not None else _shortened(error)
            raise _NoAnswer(why) from None
        except (OSError, ValueError, TypeError, LookupError, ArithmeticError) as error:
            # An answer of another form than ccxt knows breaks it anywhere.
            raise _NoAnswer(f"ccxt can't read the answer ({type(error).__name__})") from None

    def _refused(self, why: str) -> ExchangeRefuses:
        return ExchangeRefuses(
            f"the exchange refuses: {why}",
            where=self.place,
            hint="check the instrument's name in vostok.toml, and whether the exchange serves "
            "this place",
        )

    async def _turn(self) -> None:
        """Wait until the exchange wants to be asked."""
        wait = self._held_until - asyncio.get_running_loop().time()
        if wait > self.patience.longest_hold:
            raise ExchangeRefuses(
                f"the exchange wants no question for another {wait:.0f} s",
                where=self.place,
                hint="wait, and ask again: what has come is kept; see what else sends requests "
                "from this address",
            )
        if wait > 0.0:
            await asyncio.sleep(wait + self._random.uniform(0.0, self.patience.pause))

    async def _throttle(self, cost: float | None = None) -> None:
        """Take the place of ccxt's throttler, which a clock that is set back puts to sleep."""
        now = asyncio.get_running_loop().time()
        start = max(now, self._free)
        length = (1.0 if cost is None else cost) * self.ccxt.rateLimit / 1_000
        self._free = start + length * self.patience.pace
        if start > now:
            await asyncio.sleep(start - now)

    def _heard(
        self,
        status: int,
        reason: str,  # noqa: ARG002, ccxt's own hook has these
        url: str,  # noqa: ARG002
        method: str,  # noqa: ARG002
        headers: Mapping[str, str],
        body: str,
        *_: object,
    ) -> str:
        self._status = status
        self.received += len(body)
        plain = {name.upper(): value for name, value in headers.items()}
        if status in _HELD:
            self._hold(_seconds(plain.get("RETRY-AFTER")) or self.patience.held)
        used = plain.get(_WEIGHT, "")
        if used.isdecimal() and int(used) >= self.weight * self.patience.weight_share:
            self._hold(60.0 - time.time() % 60.0)
        return body.strip()

    def _parsed(self, client: Any) -> Callable[[str], Any]:
        def parse(text: str) -> Any:
            try:
                return client.on_json_response(text)
            except ValueError:
                if self._status < 300:
                    raise _NoAnswer(f"the answer is no JSON ({text[:40]!r})") from None
                return None

        return parse

    def _hold(self, seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        self._held_until = max(self._held_until, until)


def _pointed(addresses: Any, url: str) -> Any:
    """ccxt's addresses, at another host."""
    if isinstance(addresses, str):
        return url + urlsplit(addresses).path
    if isinstance(addresses, dict):
        return {name: _pointed(address, url) for name, address in addresses.items()}
    return addresses


def _seconds(text: str | None) -> float:
    """Seconds that a header `Retry-After` asks to wait, as a number or a date; 0 for nothing."""
    if text is None:
        return 0.0
    if text.strip().isdecimal():
        return float(text)
    with suppress(ValueError, TypeError):  # no date, or one without a zone
        then = parsedate_to_datetime(text)
        return max((then - datetime.now(UTC)).total_seconds(), 0.0)
    return 0.0


def _shortened(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}…"
