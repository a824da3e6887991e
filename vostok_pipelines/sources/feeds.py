"""RSS and Atom files: reading them; what they say is parsed by `vostok_core.sentiment.feeds`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vostok_core.errors import SourceFormatError
from vostok_core.sentiment.feeds import parse_feed
from vostok_core.sentiment.items import NewsBatch, merge_batches


def read_feeds(
    feeds: Mapping[str, Path], *, lag_us: int, first_seen_at: int | None = None
) -> NewsBatch:
    """Read several feed files, by name; see `read_feed`."""
    return merge_batches(
        read_feed(path, name, lag_us=lag_us, first_seen_at=first_seen_at)
        for name, path in feeds.items()
    )


def read_feed(path: Path, name: str, *, lag_us: int, first_seen_at: int | None = None) -> NewsBatch:
    """Read the items of one RSS or Atom file; see `parse_feed`.

    Raises:
        SourceFormatError: It can't be read, is no feed, or is not well-formed.
    """
    content = _content(path)
    return parse_feed(content, name, lag_us=lag_us, first_seen_at=first_seen_at, where=path)


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
