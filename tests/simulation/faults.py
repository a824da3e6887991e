"""What can go wrong, when it does, and how it is done to the bytes on a wire.

Each kind of fault has chance of its own, so that leaving one out changes as little as possible of
the others. `Storm` says whether one strikes; `WireTap` is the tap of a connection in a storm: it
loses, delays and repeats requests, answers and frames, and puts answers of its own in their place,
which the real parsers then read.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from tests.simulation.network import Tap, Wire

Place = Literal["request", "frame", "event"]


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        place: Where it strikes: a request, a frame of a stream, or all at some time.
        rate: Its share of requests or frames; for the third, seconds between two, on average.
        what: What it does.
    """

    place: Place
    rate: float
    what: str


KINDS: dict[str, Kind] = {
    "request_lost": Kind("request", 0.03, "a request never arrives; the connection may break"),
    "answer_lost": Kind("request", 0.04, "a request is carried out, its answer never arrives"),
    "late": Kind("request", 0.05, "a request is up to 8 s under way; the client may not wait"),
    "queued": Kind("request", 0.04, "the exchange holds a request up to 6 s before it is matched"),
    "refused_before": Kind("request", 0.02, "502, 503 or 504 for an answer; nothing is done"),
    "failed_after": Kind("request", 0.03, "carried out, and answered with -1007, 502 or 503"),
    "throttled": Kind("request", 0.008, "429 or 418 with Retry-After; nothing is done"),
    "cut_short": Kind("request", 0.01, "an answer breaks off in its middle"),
    "frame_lost": Kind("frame", 0.012, "a frame of a stream is left out"),
    "frame_twice": Kind("frame", 0.012, "a frame comes twice"),
    "frame_late": Kind("frame", 0.012, "a frame comes up to 3 s late, after the next ones"),
    "frame_garbled": Kind("frame", 0.004, "a frame that is no JSON"),
    "reset": Kind("event", 40.0, "connections break"),
    "half_open": Kind("event", 50.0, "connections go silent, and nobody is told"),
    "refusal": Kind("event", 60.0, "for up to 12 s no connection is taken"),
    "partition": Kind("event", 80.0, "for up to 15 s nothing gets through, in either direction"),
    "kill": Kind("event", 40.0, "kill -9, and a start up to 8 s later"),
    "kill_at_commit": Kind("event", 50.0, "kill -9 right before or after a commit of the journal"),
    "clock": Kind("event", 60.0, "the daemon's clock is set, by up to 0.4 s"),
    "control": Kind("event", 40.0, "a person pauses, resumes, flattens, kills, or resets"),
    "stop": Kind("event", 90.0, "a person stops it in order, and starts it up to 8 s later"),
    "withdraw": Kind("event", 120.0, "no model is in service, for up to 25 s"),
    "refresh": Kind("event", 60.0, "another model of the same configuration is promoted"),
}

_ON_THE_WAY = tuple(k for k, v in KINDS.items() if v.place == "request" and k != "queued")
_ORDERS = 3.0  # times as often as other requests
_FAILURES = (
    (504, b'{"code":-1007,"msg":"Timeout waiting for response from backend server."}'),
    (503, b'{"code":-1006,"msg":"An unexpected response was received from the message bus."}'),
    (502, b"<html>bad gateway</html>"),
)
_STREAMS = {"/stream": "market", "/ws-api/v3": "user"}


class Storm:
    """Whether, where and when something goes wrong.

    Args:
        seed: Decides.
        kinds: What may happen.
        time: Seconds of the loop.
        told: Called with every fault, its kind and how it struck.

    Attributes:
        over: Whether everything is well again.
        tally: How often each kind has struck.
        last: When each kind last struck, or ended, seconds.
        troubles: When something struck that can keep an answer away: its beginning and its end.
    """

    def __init__(
        self,
        seed: int,
        kinds: Iterable[str],
        time: Callable[[], float],
        told: Callable[[str, str], None],
    ) -> None:
        self.over = False
        self.tally: Counter[str] = Counter()
        self.troubles: list[tuple[float, float]] = []
        self.kinds = tuple(kind for kind in KINDS if kind in set(kinds))
        self._time = time
        self._told = told
        self._chance = {kind: random.Random(f"{seed}/{kind}") for kind in KINDS}
        swarm = random.Random(f"{seed}/intensity")
        self._intensity = {kind: swarm.choice((0.1, 0.3, 1.0, 3.0)) for kind in KINDS}

    def chance(self, kind: str) -> random.Random:
        """The chance of a kind."""
        return self._chance[kind]

    def strikes(self, kind: str, factor: float = 1.0) -> bool:
        """Whether a kind strikes here. Its chance is drawn in any case."""
        share = KINDS[kind].rate * self._intensity[kind] * factor
        hit = self._chance[kind].random() < min(share, 0.5)
        return hit and not self.over and kind in self.kinds

    def pause(self, kind: str) -> float:
        """Seconds until a kind of event strikes next."""
        return self._chance[kind].expovariate(self._intensity[kind] / KINDS[kind].rate)

    def struck(self, kind: str, what: str, *, lasts: float = 0.0) -> None:
        """A fault has struck; `lasts` is for how many seconds it keeps answers away."""
        self.tally[kind] += 1
        now = self._time()
        if not kind.startswith("frame_"):
            self.troubles.append((now, now + lasts))
        self._told(kind, what)

    def troubled(self, start: float, end: float) -> bool:
        """Whether something kept answers away within a span, seconds."""
        return any(begun <= end and ended >= start for begun, ended in self.troubles)


class WireTap(Tap):
    """A connection in a storm.

    Args:
        wire: The connection.
        storm: What goes wrong.
        seen: Called with the first line of every request, and what becomes of it.
        heard: Called with the name of a stream when something of it goes to the client.
        lists: Whether the exchange says that it takes an entry and its exits as one list.
    """

    def __init__(
        self,
        wire: Wire,
        storm: Storm,
        seen: Callable[[str, str], None],
        heard: Callable[[str], None],
        *,
        lists: bool,
    ) -> None:
        super().__init__(wire)
        self._heard = heard
        self._lists = lists
        self._storm = storm
        self._seen = seen
        self._stream: str | None = None  # once the connection has been upgraded
        self._upgrading: str | None = None
        self._instead: Callable[[bytes], None] | None = None  # takes the answer that comes
        self._swallow = False
        self._delay = 0.0

    # From the client

    def sent(self, data: bytes) -> None:
        if self._swallow:
            return
        if self._stream is not None:
            super().sent(data)
            return
        line = data.partition(b" HTTP/1.1\r\n")[0].decode("latin-1")
        if not line.startswith(("GET /", "POST /", "PUT /", "DELETE /")) or len(line) == len(data):
            self.wire.deliver("server", data, self._delay)  # the body of what was looked at
            return
        self._instead, self._delay = None, 0.0
        path = line.partition(" ")[2].partition("?")[0]
        head, _, _ = data.partition(b"\r\n\r\n")
        self._upgrading = _STREAMS.get(path) if b"upgrade: websocket" in head.lower() else None
        self._request(line, data, 1.0 if line.startswith("GET ") else _ORDERS)

    def _request(self, line: str, data: bytes, factor: float) -> None:
        storm = self._storm
        for kind in _ON_THE_WAY:
            if storm.strikes(kind, factor):
                self._seen(line, kind)
                getattr(self, f"_{kind}")(storm.chance(kind), data)
                return
        self._seen(line, "")
        self.wire.deliver("server", data)

    def _request_lost(self, chance: random.Random, _: bytes) -> None:
        self._swallow = True
        if chance.random() < 0.5:
            self._struck("request_lost", "and the connection breaks")
            self._break(chance.uniform(0.0, 3.0))
        else:
            self._struck("request_lost", "and nobody is told", lasts=10.0)
            self.wire.hole = True

    def _answer_lost(self, chance: random.Random, data: bytes) -> None:
        breaks = chance.random() < 0.5
        self._struck("answer_lost", "the connection breaks" if breaks else "silence", lasts=10.0)

        def lose(_: bytes) -> None:
            self._swallow = True
            if breaks:
                self.wire.reset()
            else:
                self.wire.hole = True

        self._instead = lose
        self.wire.deliver("server", data)

    def _late(self, chance: random.Random, data: bytes) -> None:
        self._delay = chance.uniform(0.2, 8.0)
        self.wire.deliver("server", data, self._delay)
        if chance.random() < 0.6:
            patience = chance.uniform(0.1, 1.0) * self._delay
            self._struck("late", f"{self._delay:.1f} s; breaks after {patience:.1f} s", lasts=8.0)
            error = ConnectionResetError(104, "connection reset by peer")
            self.wire.deliver_end("client", error, patience)
        else:
            self._struck("late", f"{self._delay:.1f} s", lasts=8.0)

    def _refused_before(self, chance: random.Random, _: bytes) -> None:
        status = chance.choice((502, 503, 504))
        self._struck("refused_before", str(status))
        self._answer(status, b"<html>the gateway is unhappy</html>")

    def _failed_after(self, chance: random.Random, data: bytes) -> None:
        status, body = chance.choice(_FAILURES)
        self._struck("failed_after", str(status))
        self._instead = lambda _: self._answer(status, body)
        self.wire.deliver("server", data)

    def _throttled(self, chance: random.Random, _: bytes) -> None:
        status, wait = chance.choice(((429, 1), (429, 3), (418, 5)))
        self._struck("throttled", f"{status}, for {wait} s", lasts=float(wait))
        body = b'{"code":-1003,"msg":"Too much request weight used."}'
        self._answer(status, body, f"Retry-After: {wait}\r\n")

    def _cut_short(self, chance: random.Random, data: bytes) -> None:
        share = chance.random()
        self._struck("cut_short", f"{share:.0%} of it arrive")

        def cut(answer: bytes) -> None:
            self.wire.deliver("client", answer[: int(len(answer) * share)])
            self._break(0.0)

        self._instead = cut
        self.wire.deliver("server", data)

    def _answer(self, status: int, body: bytes, headers: str = "") -> None:
        """Answer in the exchange's place, and close."""
        head = (
            f"HTTP/1.1 {status} .\r\nContent-Type: application/json\r\n{headers}"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.wire.deliver("client", head.encode() + body)
        self._break(0.0)

    def _break(self, delay: float) -> None:
        self._swallow = True
        for side in ("client", "server"):
            error = ConnectionResetError(104, "connection reset by peer")
            self.wire.deliver_end(side, error, delay)

    # From the server

    def answered(self, data: bytes) -> None:
        if self._swallow:
            return
        if not self._lists:
            data = data.replace(b'"otoAllowed":true', b'"otoAllowed":null')
        if self._stream is not None:
            self._frame(data)
        elif self._instead is not None:
            instead, self._instead = self._instead, None
            instead(data)
        else:
            if self._upgrading is not None and data.startswith(b"HTTP/1.1 101"):
                self._stream = self._upgrading
                self._heard(self._stream)
            self.wire.deliver("client", data)

    def _frame(self, data: bytes) -> None:
        """A frame of a stream; what is no single text goes on as it is."""
        storm, name = self._storm, self._stream
        assert name is not None, "it has been upgraded"
        self._heard(name)
        if not _one_text(data):
            self.wire.deliver("client", data)
            return
        factor = 1.0 if name == "market" else 4.0
        for kind in ("frame_lost", "frame_twice", "frame_late", "frame_garbled"):
            if storm.strikes(kind, factor):
                break
        else:
            self.wire.deliver("client", data)
            return
        self._struck(kind, f"{name}: {_text(data)[:60]}")
        match kind:
            case "frame_twice":
                self.wire.deliver("client", data)
                self.wire.deliver("client", data, storm.chance(kind).uniform(0.0, 1.0), late=True)
            case "frame_late":
                self.wire.deliver("client", data, storm.chance(kind).uniform(0.1, 3.0), late=True)
            case "frame_garbled":
                self.wire.deliver("client", b"\x81\x04{~~~")

    def _struck(self, kind: str, what: str, *, lasts: float = 3.0) -> None:
        self._storm.struck(kind, f"wire {self.wire.number}: {what}", lasts=lasts)


def _one_text(data: bytes) -> bool:
    """Whether bytes are exactly one whole text frame of a server."""
    if len(data) < 2 or data[0] != 0x81:
        return False
    size = data[1]
    if size < 126:
        return len(data) == 2 + size
    return size == 126 and len(data) == 4 + int.from_bytes(data[2:4], "big")


def _text(data: bytes) -> str:
    return data[4 if data[1] == 126 else 2 :].decode("utf-8", "replace")
