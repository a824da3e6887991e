"""RSS and Atom documents, read through feedparser.

feedparser would fetch an address and would open a file that is named by what it is given, so it is
only ever given bytes that somebody else read: that is why a library which may open no socket may
use it. It is imported when the first document is read. It also mends broken XML by guessing; a feed
that it had to mend is refused whole, because the end of a cut-off feed looks like an item.
"""

from __future__ import annotations

import re
from datetime import datetime
from email.utils import parsedate_to_datetime
from io import BytesIO
from typing import Any

from vostok_core.errors import SourceFormatError
from vostok_core.sentiment.items import NewsBatch, RawItem, news_batch
from vostok_core.times import SECOND

LARGEST_FEED = 64 * 1024 * 1024
"""Bytes; a feed beyond this is no feed."""

_ZONED = re.compile(r"(?:Z|[+-]\d{2}:?\d{2})$")


def parse_feed(
    content: bytes,
    name: str,
    *,
    lag_us: int,
    first_seen_at: int | None = None,
    where: object = None,
) -> NewsBatch:
    """Read the items of one RSS or Atom document.

    Args:
        content: The document.
        name: Name of the feed, kept as the items' source.
        lag_us: Assumed delay, in microseconds, of items whose first sight is lost.
        first_seen_at: When the document was fetched, in microseconds; None when that is lost.
        where: What errors name as the place; by default the feed by its name.

    Returns:
        The items, cleaned, dated and without duplicates, and what was refused and why. An item
        without a date that names its time zone is refused: a guessed date could be too early.

    Raises:
        SourceFormatError: It is no feed, or is not well-formed.

    It takes about half a millisecond an item.
    """
    where = f"feed {name}" if where is None else where
    if len(content) > LARGEST_FEED:
        raise SourceFormatError(
            f"{len(content):,} bytes are too many for a feed",
            where=where,
            hint=f"a feed may have {LARGEST_FEED:,} bytes; split it, or check what the file is",
        )
    raw = [_raw_item(entry) for entry in _parse(content, where)]
    return news_batch(raw, name, lag_us=lag_us, first_seen_at=first_seen_at)


def _parse(content: bytes, where: object) -> list[dict[str, Any]]:
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
            hint="it may be cut off: fetch it again, or check it with an XML validator",
        )
    if not document.get("version"):
        raise SourceFormatError(
            "neither RSS nor Atom",
            where=where,
            hint="name a feed, not a web page: its first element is <rss>, <rdf:RDF> or <feed>",
        )
    return list(document["entries"])


def _raw_item(entry: dict[str, Any]) -> RawItem:
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


def _text(entry: dict[str, Any], key: str) -> str:
    # Not by `entry[key]`, which answers `published` where `updated` is asked for.
    value = dict.get(entry, key)
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
