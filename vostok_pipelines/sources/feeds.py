"""RSS and Atom files, read through feedparser.

feedparser would fetch an address and would open a file that is named by what it is given, so it is
only ever given bytes that were read here. It also mends broken XML by guessing; a feed that it had
to mend is refused whole, because the end of a cut-off feed looks like an item.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from vostok_core.errors import SourceFormatError
from vostok_core.sentiment.items import NewsBatch, RawItem, merge_batches, news_batch
from vostok_core.times import SECOND

LARGEST_FEED = 64 * 1024 * 1024
"""Bytes; a feed beyond this is no feed."""

_ZONED = re.compile(r"(?:Z|[+-]\d{2}:?\d{2})$")


def read_feeds(
    feeds: Mapping[str, Path], *, lag_us: int, first_seen_at: int | None = None
) -> NewsBatch:
    """Read several feed files, by name; see `read_feed`."""
    return merge_batches(
        read_feed(path, name, lag_us=lag_us, first_seen_at=first_seen_at)
        for name, path in feeds.items()
    )


def read_feed(
    feed: Path | bytes, name: str, *, lag_us: int, first_seen_at: int | None = None
) -> NewsBatch:
    """Read the items of one RSS or Atom document.

    Args:
        feed: The file, or its content.
        name: Name of the feed, kept as the items' source.
        lag_us: Assumed delay, in microseconds, of items whose first sight is lost.
        first_seen_at: When the document was fetched, in microseconds; None when that is lost.

    Returns:
        The items, cleaned, dated and without duplicates, and what was refused and why. An item
        without a date that names its time zone is refused: a guessed date could be too early.

    Raises:
        SourceFormatError: It can't be read, is no feed, or is not well-formed.
    """
    where = feed if isinstance(feed, Path) else f"feed {name}"
    content = _content(feed) if isinstance(feed, Path) else feed
    if len(content) > LARGEST_FEED:
        raise SourceFormatError(
            f"{len(content):,} bytes are too many for a feed",
            where=where,
            hint=f"a feed may have {LARGEST_FEED:,} bytes; split it, or check what the file is",
        )
    entries = _parse(content, where)
    raw = [_raw_item(entry) for entry in entries]
    return news_batch(raw, name, lag_us=lag_us, first_seen_at=first_seen_at)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SourceFormatError(
            "the feed's file doesn't exist",
            where=path,
            hint="put an RSS or Atom file there, or change [sources.feeds] in vostok.toml",
        ) from None
    except OSError as error:
        raise SourceFormatError(
            f"the feed's file can't be read ({error.strerror})",
            where=path,
            hint="check that it is a file and that you may read it",
        ) from error


def _parse(content: bytes, where: object) -> list[Mapping[str, Any]]:
    import feedparser

    # A stream is taken as it is; bytes would first be tried as an address and as a file name.
    # Markup is stripped by ours, which also drops what a browser would not show.
    document = feedparser.parse(BytesIO(content), sanitize_html=False, resolve_relative_uris=False)
    problem = document.get("bozo_exception")
    if document.get("bozo") and not isinstance(
        problem, (feedparser.CharacterEncodingOverride, feedparser.NonXMLContentType)
    ):
        line = getattr(problem, "getLineNumber", lambda: None)()
        message = getattr(problem, "getMessage", lambda: str(problem))()
        raise SourceFormatError(
            f"not well-formed{'' if line is None else f' at line {line}'}: {message}",
            where=where,
            hint="the file may be cut off: fetch it again, or check it with an XML validator",
        )
    if not document.get("version"):
        raise SourceFormatError(
            "neither RSS nor Atom",
            where=where,
            hint="name a feed, not a web page: its first element is <rss>, <rdf:RDF> or <feed>",
        )
    return list(document["entries"])


def _raw_item(entry: Mapping[str, Any]) -> RawItem:
    published, updated = (_time(_text(entry, key)) for key in ("published", "updated"))
    if not _text(entry, "published"):
        # Atom asks for `updated` only; a `published` that doesn't read is not replaced by it.
        published = updated
    return RawItem(
        title=_text(entry, "title"),
        summary=_text(entry, "summary"),
        link=_text(entry, "link"),
        guid=_text(entry, "id"),
        published_at=published,
        updated_at=updated,
    )


def _text(entry: Mapping[str, Any], key: str) -> str:
    # Not by `entry[key]`, which answers `published` where `updated` is asked for.
    value = dict.get(entry, key)  # type: ignore[arg-type]
    return value if isinstance(value, str) else ""


def _time(text: str) -> int | None:
    """Microseconds of an RFC 822 or RFC 3339 date that names its zone, else None."""
    text = text.strip()
    try:
        if _ZONED.search(text) and text[:4].isdigit():
            moment = datetime.fromisoformat(text)
        else:
            # RFC 2822: -0000 is UTC by a clock that knows no zone of its own.
            moment = parsedate_to_datetime(re.sub(r"-0000$", "+0000", text))
        if moment.tzinfo is None:
            return None
        whole = moment.replace(microsecond=0).timestamp()
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    return int(whole) * SECOND + moment.microsecond
