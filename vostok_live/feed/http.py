"""Questions to the exchange's public endpoints, asked politely.

They change nothing there, so a question may be asked again. It is, a few times, when no answer came
or the exchange failed. Where the exchange says how long to wait (429, 418), nothing is asked
before; and a share of the minute's weight is left to orders, since the exchange counts by address.

Source: binance-spot-api-docs, rest-api.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Self, TypeVar

import aiohttp
import msgspec
from msgspec import Struct

from vostok_core.errors import VostokError
from vostok_live.feed.parse import Impossible
from vostok_live.seams import Seams

Result = TypeVar("Result")

_MINUTE = 60.0
_MINUTE_NS = 60_000_000_000


class FeedError(VostokError):
    """The exchange's market data can't be had."""


class Refusal(FeedError):
    """The exchange refuses to answer a question; `code` is its own."""

    code: int

    @classmethod
    def of(cls, path: str, code: int, text: str, where: str) -> Self:
        """What the exchange said."""
        error = cls(
            f"the exchange refuses GET {path}: {text} ({code})",
            where=where,
            hint="check the instrument's name in vostok.toml",
        )
        error.code = code
        return error


class _NoAnswer(Exception):
    """No answer that can be used; another try may get one."""


class _Refused(Struct):
    code: int
    msg: str


_refused = msgspec.json.Decoder(_Refused)


def retry_after(headers: Mapping[str, str] | None) -> float:
    """Seconds that an answer asks to wait; 0 where it says nothing of it."""
    text = (headers or {}).get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0


class Asker:
    """Asks one exchange.

    Args:
        url: Of the exchange, such as `https://api.binance.com`.
        session: Opens the connections.
        seams: Clock and chance.
        timeout: Seconds that an answer is waited for.
        tries: Times that a question is asked before it is given up.
        pause: Seconds before the second try, doubled before each further one.
        longest_wait: Seconds that are waited when the exchange asks for it; for more, it is an
            error at once.
        weight_share: Share of the minute's weight that is used before the next minute is waited
            for, whoever at this address used it.
    """

    def __init__(
        self,
        url: str,
        *,
        session: aiohttp.ClientSession,
        seams: Seams,
        timeout: float = 10.0,
        tries: int = 4,
        pause: float = 0.5,
        longest_wait: float = 120.0,
        weight_share: float = 0.8,
    ) -> None:
        self.url = url.rstrip("/")
        self.weight_used = 0
        self.weight_limit = 6_000
        self._session = session
        self._clock = seams.clock
        self._random = seams.random
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._tries = tries
        self._pause = pause
        self._longest_wait = longest_wait
        self._weight_share = weight_share
        self._not_before = float("-inf")

    async def get(
        self, path: str, params: Mapping[str, str | int], read: Callable[[bytes], Result]
    ) -> Result:
        """Ask until there is an answer that can be read.

        Args:
            path: Of the endpoint.
            params: Its parameters.
            read: Makes a value of an answer; it raises `msgspec.MsgspecError` or `Impossible` for
                one that can't be used.

        Raises:
            FeedError: There is none after some tries, the exchange refuses the question, or it
                wants no question for longer than is waited.
        """
        why = ""
        for attempt in range(self._tries):
            if attempt:
                pause = self._pause * 2.0 ** (attempt - 1)
                await asyncio.sleep(pause * self._random.uniform(0.5, 1.0))
            await self._turn(path)
            try:
                return read(await self._ask(path, params))
            except (_NoAnswer, aiohttp.ClientError, OSError) as error:
                why = str(error) or type(error).__name__
            except (msgspec.MsgspecError, Impossible) as error:
                why = f"an answer that can't be used: {error}"
        raise FeedError(
            f"no answer to GET {path} after {self._tries} tries: {why}",
            where=self.url,
            hint="check the connection to the exchange, and whether it is under maintenance",
        )

    async def _turn(self, path: str) -> None:
        """Wait until the exchange wants to be asked."""
        wait = self._not_before - asyncio.get_running_loop().time()
        if wait > self._longest_wait:
            raise FeedError(
                f"the exchange wants no question for another {wait:.0f} s (GET {path})",
                where=self.url,
                hint="wait; then look for what else sends requests from this address",
            )
        if wait > 0.0:
            await asyncio.sleep(wait)

    async def _ask(self, path: str, params: Mapping[str, str | int]) -> bytes:
        headers = {"X-MBX-TIME-UNIT": "MICROSECOND"}
        async with self._session.get(
            self.url + path, params=params, headers=headers, timeout=self._timeout
        ) as response:
            body = await response.read()
        now = asyncio.get_running_loop().time()
        used = response.headers.get("X-MBX-USED-WEIGHT-1M", "")
        if used.isdecimal():
            self.weight_used = int(used)
            if self.weight_used >= self.weight_limit * self._weight_share:
                self._not_before = max(self._not_before, now + self._rest_of_minute())
        if response.status == 200:
            return body
        if response.status in (418, 429):
            wait = retry_after(response.headers) or self._rest_of_minute()
            self._not_before = max(self._not_before, now + wait)
            raise _NoAnswer(f"too many requests (HTTP {response.status}); wait {wait:.0f} s")
        if response.status >= 500 or response.status == 403:
            raise _NoAnswer(f"HTTP {response.status}")
        try:
            refused = _refused.decode(body)
        except msgspec.MsgspecError:
            raise _NoAnswer(f"HTTP {response.status}") from None
        raise Refusal.of(path, refused.code, refused.msg, self.url)

    def _rest_of_minute(self) -> float:
        """Seconds until the exchange begins to count weight anew: at the wall's full minute."""
        return _MINUTE - self._clock.wall_ns() % _MINUTE_NS / 1e9
