"""Asking a server for files without being a nuisance.

All questions to a server go through one `Asker`, which spaces them out, asks only so many at once,
and stops asking altogether for as long as the server wants (429 and 418, and Retry-After). A server
that fails (5xx), or a connection that breaks, is asked again after a pause that doubles and is cut
by chance, so that many who were thrown off don't come back at once. Whoever brings something every
time is asked on; after a few tries without any progress it is an error.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Self

import aiohttp

from vostok_core.errors import FetchError

_AGENT = "vostok"
_SLOW_DOWN = (418, 429)
_TEMPORARY = (408, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524)


@dataclass(frozen=True)
class Pace:
    """How a server is asked. Times are in seconds.

    Attributes:
        jobs: Most questions at once.
        spacing: Least time between the beginnings of two questions.
        tries: Tries without any progress after which a question is given up.
        pause: Longest pause before the second try; it doubles with each further one.
        longest_pause: What it doubles up to.
        longest_wait: Longest wait that a server may ask for; if it asks for more, it is an error.
        connect: Longest time that a connection may take to be made.
        silence: Longest time that a server may say nothing in the middle of an answer.
    """

    jobs: int = 4
    spacing: float = 0.05
    tries: int = 6
    pause: float = 1.0
    longest_pause: float = 60.0
    longest_wait: float = 600.0
    connect: float = 30.0
    silence: float = 60.0


class NoAnswer(Exception):
    """No answer that can be used came; another try may get one.

    Args:
        why: What came instead, in words.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Asker:
    """Asks servers for files; all that it is asked for shares one pace.

    Args:
        pace: How.
        chance: Draws the pauses.
    """

    def __init__(self, pace: Pace | None = None, chance: random.Random | None = None) -> None:
        self.pace = pace or Pace()
        self._chance = chance or random.Random()  # noqa: S311  (no secret hangs on it)
        self._slots = asyncio.Semaphore(self.pace.jobs)
        self._turn = asyncio.Lock()
        self._not_before = 0.0
        self._banned: FetchError | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        pace = self.pace
        self._session = aiohttp.ClientSession(
            auto_decompress=False,  # files are wanted as they lie there
            connector=aiohttp.TCPConnector(limit=pace.jobs),
            headers={"User-Agent": _AGENT, "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=pace.connect, sock_read=pace.silence
            ),
            trust_env=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    @asynccontextmanager
    async def get(
        self, url: str, headers: dict[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One answer to one question, whose body is read inside the block.

        Yields:
            An answer with the status 200, 206, 404 or 416; others mean that the question was not
            answered.

        Raises:
            NoAnswer: There was none, or it broke off while the block read it.
            FetchError: The server doesn't want to be asked any more.
        """
        assert self._session is not None
        async with self._slots:
            await self._wait_for_turn()
            if self._banned is not None:
                raise self._banned
            try:
                async with self._session.get(url, headers=headers) as response:
                    self._look_at(url, response)
                    yield response
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                raise NoAnswer(_words(error)) from error

    async def rest(self, tries: int) -> None:
        """The pause before another try.

        Args:
            tries: How many were made in vain.
        """
        pace = self.pace
        longest = min(pace.pause * 2 ** (tries - 1), pace.longest_pause)
        await asyncio.sleep(longest * self._chance.uniform(0.5, 1.0))

    async def _wait_for_turn(self) -> None:
        async with self._turn:
            while (wait := self._not_before - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            self._not_before = time.monotonic() + self.pace.spacing

    def _look_at(self, url: str, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status in (200, 206, 404, 416):
            return
        if status in _SLOW_DOWN or (status == 503 and "Retry-After" in response.headers):
            self._slow_down(url, response)
            raise NoAnswer(f"the server asks to be asked less often ({status})")
        if status in _TEMPORARY:
            raise NoAnswer(f"the server failed ({status} {response.reason})")
        raise FetchError(
            f"the server refuses it: {status} {response.reason}",
            where=url,
            hint="check the address in [sources.urls] of vostok.toml, and try again later",
        )

    def _slow_down(self, url: str, response: aiohttp.ClientResponse) -> None:
        """Let nobody ask until the server wants to be asked again."""
        wait = retry_after(response.headers.get("Retry-After", ""))
        if wait is None:
            wait = self.pace.longest_pause
        if wait > self.pace.longest_wait:
            self._banned = FetchError(
                f"the server wants to be left alone for {wait:.0f} s ({response.status})",
                where=url,
                hint="it was asked too often from this address: ask again after that, with fewer "
                "--jobs; what has come is kept",
            )
            raise self._banned
        self._not_before = max(self._not_before, time.monotonic() + wait)


def retry_after(text: str, now: datetime | None = None) -> float | None:
    """Seconds that a header `Retry-After` asks to wait; None where it says nothing.

    Args:
        text: Its value, seconds or a date.
        now: The time that a date is compared with.
    """
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "nothing came for too long"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection could be made ({error.os_error.strerror or error.os_error})"
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        return "the connection broke off"
    return f"the connection failed ({error or type(error).__name__})"
