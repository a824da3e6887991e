"""Taking turns at an object store, where no lock ends with the process that holds it.

Who holds a turn has its name in the object `.NAME.lock` beside what the turn is for, and writes it
anew every few seconds. Who waits looks at it: a turn that is free is taken, and so is one that has
not been written anew for longer than its holder would have let pass. Both by a conditional write,
so that one alone gets it. No clock is read: whoever waits counts how often it has looked.

A holder that was held up for so long (a laptop that slept, a process that was stopped) may go on
without knowing. So a turn spares two writers work that one of them would lose; what keeps the lake
right are the conditional writes that are made in it.
"""

from __future__ import annotations

import json
import random
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from vostok_core.errors import Conflict, StoreError
from vostok_core.lake.locks import sole_writer
from vostok_core.lake.objects import UNWRITTEN, Objects

LEASE = 20.0
"""Seconds without a sign after which a turn may be taken from its holder."""

_BEAT = LEASE / 5
_POLL = 0.3

_held = threading.local()


@contextmanager
def turn(
    objects: Objects, key: str, home: Path | None, *, lease: float = LEASE, beat: float = _BEAT
) -> Iterator[None]:
    """Wait until nobody else is the writer of `key`, and be it for the time of the block.

    A thread that holds it may take it again.

    Args:
        objects: The store.
        key: A name, which need not exist.
        home: Where processes of this machine queue, so that one of them asks the store.
        lease: Seconds without a sign after which a turn counts as left.
        beat: Seconds between two signs.

    Raises:
        Conflict: The turn was lost before the block was over.
    """
    mine: set[tuple[Objects, str]] = _held.__dict__.setdefault("turns", set())
    if (objects, key) in mine:
        yield
        return
    with _queue(home, key):
        holder = _Holder(objects, key, lease, beat)
        holder.take()
        mine.add((objects, key))
        try:
            yield
        except BaseException:
            holder.let_go()
            raise
        else:
            if not holder.let_go():
                raise Conflict(
                    "the turn to write it was lost to somebody else, since nothing was heard of "
                    f"this process for {lease:.0f} s",
                    where=objects.spoken(key),
                    hint="run it again: it then begins from what is there now",
                )
        finally:
            mine.discard((objects, key))


@contextmanager
def _queue(home: Path | None, key: str) -> Iterator[None]:
    if home is None:
        yield
        return
    with sole_writer(home / "turns" / quote(key, safe="")):
        yield


class _Holder:
    def __init__(self, objects: Objects, key: str, lease: float, beat: float) -> None:
        folder, _, name = key.rpartition("/")
        self._key = f"{folder}/.{name}.lock".lstrip("/")
        self._objects, self._lease, self._beat = objects, lease, beat
        self._name = uuid.uuid4().hex
        self._tag = UNWRITTEN
        self._lost = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"turn {key}", daemon=True)

    def take(self) -> None:
        """Wait for the turn, take it, and begin to give signs."""
        seen, waited = "", 0.0
        while True:
            try:
                content, stat = self._objects.read(self._key)
            except FileNotFoundError:
                content, tag = b"", UNWRITTEN
            else:
                tag = stat.tag
            if tag != seen:
                seen, waited = tag, 0.0
            if tag == UNWRITTEN or _is_free(content) or waited > self._lease:
                with suppress(Conflict):
                    self._tag = self._objects.put_if(self._key, self._sign(0), tag).tag
                    self._thread.start()
                    return
            pause = _POLL * (0.5 + random.random())  # noqa: S311  (so that not all ask at once)
            self._over.wait(pause)
            waited += pause

    def let_go(self) -> bool:
        """Free the turn; whether it was held to the end."""
        self._over.set()
        self._thread.join()
        if self._lost:
            return False
        try:
            self._objects.put_if(self._key, _FREE, self._tag)
        except Conflict:
            return False
        except StoreError:
            pass  # it is taken for left after a while
        return True

    def _keep(self) -> None:
        number = silent = 0
        while not self._over.wait(self._beat):
            number += 1
            try:
                self._tag = self._objects.put_if(self._key, self._sign(number), self._tag).tag
                silent = 0
            except Conflict:
                self._lost = True
                return
            except StoreError:
                silent += 1
                if silent * self._beat > self._lease:
                    self._lost = True
                    return

    def _sign(self, number: int) -> bytes:
        return json.dumps({"holder": self._name, "sign": number}).encode()


_FREE = b'{"holder": null}'


def _is_free(content: bytes) -> bool:
    try:
        return json.loads(content)["holder"] is None
    except (ValueError, KeyError, TypeError):
        return True
