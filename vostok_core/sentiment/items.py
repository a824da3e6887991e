"""News items: what was said, when it became known, and which assets it names.

published_at    what the publisher claims
first_seen_at   when Vostok first held the text; where that is lost, published_at (or the time
                of the last edit, if later) plus a stated lag, and `backfilled` is true. What an
                earlier look at the feed proves wrong is not assumed: see `days.news_days`
available_at    the later of both: no decision before it may know the item
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit, urlunsplit

import polars as pl

from vostok_core.hashing import hash_value
from vostok_core.lake.tables import table
from vostok_core.sentiment.text import SUMMARY_LIMIT, TITLE_LIMIT, clean_text
from vostok_core.times import DAY

MARKET = "*"
"""Stands for the whole market where an asset is asked for."""

MAX_SKEW = DAY
"""How far a publisher's clock may run ahead of ours; an item dated later than that is refused."""

NEWS_VERSION = "4"
"""Changes whenever reading the same feed would name, clean or date an item otherwise."""

_LINK_LIMIT = 2_048
_LAG = re.compile(r".*\blag (\d+) us")


@dataclass(frozen=True)
class RawItem:
    """One entry of a feed, as it was read; times in microseconds, None where there is none."""

    title: str
    summary: str
    link: str
    guid: str
    published_at: int | None
    updated_at: int | None = None


@dataclass(frozen=True)
class Refusal:
    """An entry that was left out, and why."""

    source: str
    reason: str
    title: str


@dataclass(frozen=True)
class NewsBatch:
    """What reading one or more feeds gave.

    Attributes:
        items: Rows of the table `news`, sorted as it is.
        sources: Names of the feeds that were read.
        refused: Entries that were left out, with reasons.
        duplicates: Entries left out because an earlier one said the same.
    """

    items: pl.DataFrame
    sources: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    duplicates: int = 0

    @property
    def refusals(self) -> dict[str, int]:
        """Number of refused entries by reason."""
        return dict(sorted(Counter(refusal.reason for refusal in self.refused).items()))


def merge_batches(batches: Iterable[NewsBatch]) -> NewsBatch:
    """Several readings as one."""
    listed = list(batches)
    frames = [batch.items for batch in listed] or [table("news").empty()]
    return NewsBatch(
        merge_items(frames[0], *frames[1:]),
        tuple(source for batch in listed for source in batch.sources),
        tuple(refusal for batch in listed for refusal in batch.refused),
        sum(batch.duplicates for batch in listed),
    )


def merge_items(known: pl.DataFrame, *others: pl.DataFrame) -> pl.DataFrame:
    """Rows of `news` with those of `others` that it doesn't hold yet.

    A known item is never changed: its first sight is its first sight. Merging twice changes
    nothing.
    """
    return (
        pl.concat([known, *others])
        .unique("item_id", keep="first", maintain_order=True)
        .sort(table("news").sort_by)
    )


def item_id(source: str, link: str, guid: str, title: str) -> str:
    """Name of an item: SHA-256 of its source and what stays the same when it is edited.

    That is its guid; where it has none, its link without fragment and `utm_` parameters; where it
    has neither, its cleaned title.
    """
    if guid:
        return hash_value([source, "guid", guid])
    return hash_value([source, "link", _plain_link(link)] if link else [source, "title", title])


def _plain_link(link: str) -> str:
    """A link without what only says where it was found; the same page has one."""
    try:
        parts = urlsplit(link)
    except ValueError:  # such as half an IPv6 address
        return link
    query = "&".join(
        field for field in parts.query.split("&") if not field.lower().startswith("utm_")
    )
    return urlunsplit(
        parts._replace(
            scheme=parts.scheme.lower(), netloc=parts.netloc.lower(), query=query, fragment=""
        )
    )


def news_batch(
    raw: Sequence[RawItem], source: str, *, lag_us: int, first_seen_at: int | None = None
) -> NewsBatch:
    """Clean, date, name and deduplicate the entries of one feed.

    Args:
        raw: Entries in the feed's order.
        source: Name of the feed.
        lag_us: Assumed delay, in microseconds, where the first sight is lost.
        first_seen_at: When the feed was fetched; None when that isn't known.

    An entry without a title, without a date, or dated more than a day after it was seen is refused.
    Of entries of one name (`item_id`) the earliest is kept.
    """
    refused = []
    rows = []
    for entry in raw:
        title = clean_text(entry.title, TITLE_LIMIT)
        reason = _fault(entry, title, first_seen_at)
        if reason is not None:
            refused.append(Refusal(source, reason, title))
            continue
        rows.append((entry, title))
    # Stable: entries of one time stay in the feed's order.
    rows.sort(key=lambda row: row[0].published_at or 0)
    seen: set[str] = set()
    columns: list[tuple[object, ...]] = []
    for entry, title in rows:
        published = entry.published_at
        assert published is not None
        link = _clean_link(entry.link)
        guid = clean_text(entry.guid, _LINK_LIMIT)
        name = item_id(source, link, guid, title)
        if name in seen:
            continue
        seen.add(name)
        if first_seen_at is None:
            # The text is that of the last edit, so it can't have been seen before.
            first_seen = max(published, entry.updated_at or published) + lag_us
        else:
            first_seen = first_seen_at
        columns.append(
            (
                name,
                source,
                published,
                first_seen,
                max(published, first_seen),
                first_seen_at is None,
                title,
                clean_text(entry.summary, SUMMARY_LIMIT),
                link,
            )
        )
    schema = table("news").schema
    frame = pl.DataFrame(columns, schema=schema, orient="row") if columns else table("news").empty()
    return NewsBatch(
        frame.sort(table("news").sort_by), (source,), tuple(refused), len(rows) - len(columns)
    )


def _fault(entry: RawItem, title: str, first_seen_at: int | None) -> str | None:
    if not title:
        return "no title"
    if entry.published_at is None:
        return "no date with a time zone"
    if first_seen_at is not None and entry.published_at > first_seen_at + MAX_SKEW:
        return "dated more than a day after it was seen"
    return None


def _clean_link(link: str) -> str:
    cleaned = clean_text(link.replace("&", "&amp;"), _LINK_LIMIT)
    return cleaned if cleaned.lower().startswith(("http://", "https://")) else ""


# Code -> names that mean nothing else, names that do and so must be capitalised.
_NAMES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "BTC": (("bitcoin", "bitcoins", "xbt"), ()),
    "ETH": (("ethereum", "ether"), ()),
    "XRP": ((), ("Ripple",)),
    "SOL": (("solana",), ()),
    "BNB": (("binance coin", "bnb chain"), ()),
    "ADA": (("cardano",), ()),
    "DOGE": (("dogecoin",), ()),
    "SHIB": (("shiba inu",), ()),
    "TRX": ((), ("Tron",)),
    "AVAX": ((), ("Avalanche",)),
    "DOT": (("polkadot",), ()),
    "LINK": (("chainlink",), ()),
    "MATIC": ((), ("Polygon",)),
    "POL": ((), ()),
    "LTC": (("litecoin",), ()),
    "BCH": (("bitcoin cash",), ()),
    "ETC": (("ethereum classic",), ()),
    "EOS": ((), ()),
    "XLM": ((), ("Stellar",)),
    "XMR": (("monero",), ()),
    "ATOM": ((), ("Cosmos",)),
    "UNI": (("uniswap",), ()),
    "AAVE": (("aave",), ()),
    "MKR": (("makerdao",), ()),
    "ALGO": (("algorand",), ()),
    "FIL": (("filecoin",), ()),
    "XTZ": (("tezos",), ()),
    "HBAR": (("hedera",), ()),
    "ICP": (("internet computer",), ()),
    "NEAR": (("near protocol",), ()),
    "TON": (("toncoin",), ()),
    "APT": (("aptos",), ()),
    "ARB": (("arbitrum",), ()),
    "INJ": ((), ("Injective",)),
    "ZEC": (("zcash",), ()),
    "DASH": ((), ()),
    "LUNA": ((), ("Terra",)),
    "FTT": ((), ()),
    "PEPE": ((), ()),
    "SUI": ((), ()),
}
_MARKET_WORDS = (
    "crypto",
    "cryptos",
    "cryptocurrency",
    "cryptocurrencies",
    "altcoin",
    "altcoins",
    "stablecoin",
    "stablecoins",
    "tether",
    "usdt",
    "usdc",
    "memecoin",
    "memecoins",
    "digital asset",
    "digital assets",
    "digital currency",
    "digital currencies",
    "virtual currency",
    "virtual currencies",
    "blockchain",
    "defi",
)
_MARKET = re.compile(rf"(?<!\w)(?:{'|'.join(_MARKET_WORDS)})(?!\w)", re.IGNORECASE)


@cache
def _patterns(codes: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str], dict[str, str]]:
    """Case-sensitive and case-blind patterns, and what each match stands for."""
    exact: dict[str, str] = {code: code for code in codes}
    blind: dict[str, str] = {}
    for code, (plain, capitalised) in _NAMES.items():
        exact[code] = code
        for name in capitalised:
            exact[name] = exact[name.upper()] = code
        for name in plain:
            blind[name] = code
    return _alternatives(exact, 0), _alternatives(blind, re.IGNORECASE), exact | blind


def _alternatives(words: Iterable[str], flags: int) -> re.Pattern[str]:
    # The longest first, so that "bitcoin cash" is not read as bitcoin.
    listed = "|".join(re.escape(word) for word in sorted(words, key=lambda w: (-len(w), w)))
    return re.compile(rf"(?<!\w)\$?({listed})(?!\w)", flags)


def mentioned(text: str, assets: Collection[str] = ()) -> tuple[str, ...]:
    """Base assets that a text names, sorted, then `*` if it also speaks of the market.

    Args:
        text: A cleaned headline or summary.
        assets: Base codes of the universe, beside those of the built-in table.

    A code counts in capitals only (`LINK`, not "link"); a name counts in any case, unless it is
    also a common word, and then it must be capitalised (`Stellar`, not "stellar").
    """
    exact, blind, meaning = _patterns(tuple(sorted(set(assets))))
    found = {meaning[match] for match in exact.findall(text)}
    found |= {meaning[match.lower()] for match in blind.findall(text)}
    return (*sorted(found), *((MARKET,) if _MARKET.search(text) else ()))


def tags(title: str, summary: str, assets: Collection[str] = ()) -> tuple[str, ...]:
    """What an item is about: never empty.

    The headline decides; where it names nothing the summary does; where neither does, the item
    counts for the whole market.
    """
    return mentioned(title, assets) or mentioned(summary, assets) or (MARKET,)


def tagging_version(assets: Collection[str] = ()) -> str:
    """Hash of all that decides `tags` but the text: first 8 hex digits."""
    return hash_value([_NAMES, _MARKET_WORDS, sorted(set(assets))])[:8]


def news_version(lag_us: int) -> str:
    """Version of the partitions of `news`: that of the code, and the lag that items whose first
    sight is lost are dated by."""
    return f"{NEWS_VERSION}, lag {lag_us} us"


def lag_of(version: str) -> int | None:
    """The lag, microseconds, that a version of `news` names; None if it names none."""
    match = _LAG.fullmatch(version)
    return None if match is None else int(match[1])
