"""A lake's objects in a bucket that is spoken to by S3's protocol.

obstore, which polars' own reader is made of too, speaks it; this module opens no socket itself and
reads no environment. Credentials, region and endpoint come from the usual variables (AWS_*) or from
the machine, as obstore finds them; an endpoint that is passed wins.

Every object is one PUT, which the store makes visible whole. A condition on it (`If-None-Match: *`,
`If-Match: <tag>`) is what keeps two writers from undoing each other, and a server may ignore it
without a word. So before the first of them the store is asked for two that must be refused.

An answer can be lost after the write was done. A write without condition is sent again, which does
no harm. One with a condition carries a name of its own, in the object's metadata: if it is then
refused, whose object lies there says whether it was refused or had been done.
"""

from __future__ import annotations

import io
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from threading import Event, Lock
from typing import BinaryIO, Literal, TypeVar

import obstore
from obstore import exceptions
from obstore.store import S3Store

from vostok_core.errors import StoreError
from vostok_core.lake.address import Remote, S3Address, S3Options
from vostok_core.lake.objects import UNWRITTEN, Objects, Stat, conflict, parquet_end
from vostok_core.lake.turns import turn

MARKER = "vostok-lake.json"
"""The object that every lake has; conditions are tried on it."""

_Answer = TypeVar("_Answer")
_Mode = Literal["create"] | dict[str, str]
_PAGE = 1000
_ATTEMPTS = 5
_WRITER = "vostok-writer"
_NEVER = '"00000000000000000000000000000000"'
"""A tag that no object has."""


@cache
def s3_objects(address: S3Address, options: S3Options, home: Path | None) -> S3Objects:
    """The objects at an address: one client for all of a process."""
    return S3Objects(address, options, home)


class S3Objects(Objects):
    """Objects in a bucket.

    Args:
        address: Bucket and prefix.
        options: Where the server is.
        home: Folder of this machine where writers of one address queue; None where there is none.
    """

    def __init__(self, address: S3Address, options: S3Options, home: Path | None) -> None:
        self.address = address
        self.options = options
        self.home = home
        self.requests: Counter[str] = Counter()
        """How many requests were made, by kind; those that were sent again count once."""
        self._proving = Lock()
        self._proven = False
        given = {"endpoint": options.endpoint, "region": options.region}
        self._store = S3Store(
            address.bucket,
            prefix=address.prefix or None,
            config={key: value for key, value in given.items() if value},  # type: ignore[arg-type]
            # Whoever names an endpoint without TLS means it; requests are signed all the same.
            client_options={"allow_http": True, "timeout": "120s", "connect_timeout": "5s"},
            retry_config={
                "max_retries": 6,
                "retry_timeout": timedelta(seconds=60),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=5),
                    "base": 2,
                },
            },
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, S3Objects)
            and (other.address, other.options) == (self.address, self.options)
        )  # fmt: skip

    def __hash__(self) -> int:
        return hash((self.address, self.options))

    def place(self, key: str = "") -> Remote:
        return Remote(self, key)

    def spoken(self, key: str = "") -> str:
        return f"{self.address}/{key}" if key else str(self.address)

    def for_polars(self, keys: Sequence[str]) -> tuple[list[str], dict[str, str] | None]:
        options = {"aws_allow_http": "true"}
        if self.options.endpoint:
            options["aws_endpoint_url"] = self.options.endpoint
        if self.options.region:
            options["aws_region"] = self.options.region
        return [self.spoken(key) for key in keys], options

    def names(self, prefix: str) -> list[str]:
        return [stat.key for stat in self.stats(prefix)]

    def stats(self, prefix: str) -> list[Stat]:
        found: list[Stat] = []

        def read() -> None:
            found.clear()
            for page in obstore.list(
                self._store, f"{prefix}/" if prefix else None, chunk_size=_PAGE
            ):
                found.extend(_stat(meta) for meta in page)

        self._ask("list", prefix, read)
        self.requests["list"] += len(found) // _PAGE  # a page each beyond the first
        hidden = len(prefix) + 1 if prefix else 0
        return sorted(
            (stat for stat in found if not _is_hidden(stat.key[hidden:])),
            key=lambda stat: stat.key,
        )

    def below(self, prefix: str) -> list[str]:
        found = self._ask(
            "list",
            prefix,
            lambda: obstore.list_with_delimiter(self._store, f"{prefix}/" if prefix else None),
        )
        self.requests["list"] += len(found["common_prefixes"]) // _PAGE
        names = (key.rstrip("/").rpartition("/")[2] for key in found["common_prefixes"])
        return sorted(name for name in names if not name.startswith("."))

    def stat(self, key: str) -> Stat | None:
        try:
            return _stat(self._ask("head", key, lambda: obstore.head(self._store, key)))
        except FileNotFoundError:
            return None

    @contextmanager
    def open(self, key: str) -> Iterator[tuple[BinaryIO, Stat]]:
        def read() -> tuple[bytes, Stat]:
            found = obstore.get(self._store, key)
            return bytes(found.bytes()), _stat(found.meta)

        # All of it by one request: a later one might meet another object under the same name.
        content, stat = self._ask("get", key, read)
        yield io.BytesIO(content), stat

    @contextmanager
    def open_end(self, key: str, size: int) -> Iterator[tuple[BinaryIO, Stat]]:
        def read() -> tuple[bytes, Stat]:
            found = obstore.get(self._store, key, options={"range": {"suffix": size}})
            return bytes(found.bytes()), _stat(found.meta)

        content, stat = self._ask("get", key, read)
        yield parquet_end(content) if len(content) < stat.size else io.BytesIO(content), stat

    def put(self, key: str, content: bytes) -> Stat:
        written = self._ask(
            "put",
            key,
            lambda: obstore.put(self._store, key, content, use_multipart=False),
        )
        return Stat(key, len(content), written["e_tag"] or "", 0)

    def put_if(self, key: str, content: bytes, tag: str) -> Stat:
        if key != MARKER:
            self._prove_conditions()
        mode: _Mode = "create" if tag == UNWRITTEN else {"e_tag": tag}
        name = uuid.uuid4().hex
        for attempt in range(_ATTEMPTS):
            try:
                written = self._put(key, content, mode, name)
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError, FileNotFoundError):
                stat, writer = self._writer(key)
                if stat is not None and writer == name:
                    return stat  # by an attempt whose answer was lost
                raise conflict(self.spoken(key)) from None
            except StoreError:
                if attempt == _ATTEMPTS - 1:
                    raise
                Event().wait(0.2 * 2**attempt)
            else:
                return Stat(key, len(content), written, 0)
        raise AssertionError

    def delete(self, key: str) -> None:
        self._ask("delete", key, lambda: obstore.delete(self._store, key))

    def sole_writer(self, key: str) -> AbstractContextManager[None]:
        return turn(self, key, self.home)

    def _put(self, key: str, content: bytes, mode: _Mode, name: str) -> str:
        written = self._ask(
            "put if",
            key,
            lambda: obstore.put(
                self._store,
                key,
                content,
                mode=mode,  # type: ignore[arg-type]
                attributes={_WRITER: name},
                use_multipart=False,
            ),
        )
        return written["e_tag"] or ""

    def _writer(self, key: str) -> tuple[Stat | None, str]:
        """The stat of an object, and the name of the conditional write that it is of."""
        try:
            found = self._ask(
                "head", key, lambda: obstore.get(self._store, key, options={"head": True})
            )
        except FileNotFoundError:
            return None, ""
        return _stat(found.meta), str(found.attributes.get(_WRITER, ""))

    def _prove_conditions(self) -> None:
        """See once that the server refuses what it should.

        Raises:
            StoreError: It doesn't.
        """
        with self._proving:
            if self._proven:
                return
            try:
                content, _ = self.read(MARKER)
            except FileNotFoundError:
                raise StoreError(
                    f"{MARKER} is gone",
                    where=self.spoken(),
                    hint="a lake without it is none: put it back, or name another --lake",
                ) from None
            refused = (exceptions.AlreadyExistsError, exceptions.PreconditionError)
            for mode in ("create", {"e_tag": _NEVER}):
                try:
                    self._put(MARKER, content, mode, "proof")
                except refused:
                    continue
                raise StoreError(
                    "the server writes although the condition of the write doesn't hold, so two "
                    "writers could undo each other's work",
                    where=self.spoken(),
                    hint="use a server that honours If-None-Match and If-Match on PUT, as AWS S3 "
                    "and SeaweedFS do",
                )
            self._proven = True

    def _ask(self, kind: str, key: str, ask: Callable[[], _Answer]) -> _Answer:
        """One request; what goes wrong in words of our own.

        Raises:
            FileNotFoundError: There is no such object.
            StoreError: The store doesn't answer, or refuses.
        """
        self.requests[kind] += 1
        try:
            return ask()
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise StoreError(
                    f"there is no bucket {self.address.bucket}",
                    where=self.spoken(),
                    hint="make it, or name another --lake; Vostok makes no buckets",
                ) from None
            raise
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
            raise
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise StoreError(
                f"the store refuses to {_VERBS[kind]} it ({_reason(error)})",
                where=self.spoken(key),
                hint="see AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they are allowed to do",
            ) from None
        except exceptions.BaseError as error:
            raise StoreError(
                f"the store can't {_VERBS[kind]} it ({_reason(error)})",
                where=self.spoken(key),
                hint="see whether the server runs, and AWS_ENDPOINT_URL or [lake] endpoint; "
                "`vostok doctor` asks it",
            ) from None


_VERBS = {
    "list": "list",
    "head": "read",
    "get": "read",
    "put": "write",
    "put if": "write",
    "delete": "delete",
}


def _stat(meta: obstore.ObjectMeta) -> Stat:
    modified = int(meta["last_modified"].timestamp() * 1e9)
    return Stat(meta["path"], meta["size"], meta["e_tag"] or "", modified)


def _is_hidden(key: str) -> bool:
    return any(part.startswith(".") for part in key.split("/"))


def _reason(error: Exception) -> str:
    """What the library says, in a line, and the code that the server gave."""
    text = str(error)
    said = text.split("\n", 1)[0].strip()[:200].rstrip(" :")
    code = text.partition("<Code>")[2].partition("</Code>")[0]
    return f"{said} {code}".strip()
