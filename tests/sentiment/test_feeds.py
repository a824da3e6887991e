"""Feeds: RSS and Atom as the world writes them, and as nobody should."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from vostok_core.errors import SourceFormatError
from vostok_core.lake.tables import table
from vostok_core.sentiment.feeds import parse_feed
from vostok_core.sentiment.items import NewsBatch
from vostok_core.times import MINUTE
from vostok_exchange.feed import write_feed
from vostok_pipelines.sources.feeds import read_feed, read_feeds

LAG = 2 * MINUTE
SEEN = int(datetime(2024, 3, 1, 12, 5, tzinfo=UTC).timestamp()) * 1_000_000


def rss(*items: str, encoding: str = "utf-8") -> bytes:
    head = f'<?xml version="1.0" encoding="{encoding}"?><rss version="2.0"><channel>'
    return (head + "".join(f"<item>{i}</item>" for i in items) + "</channel></rss>").encode(
        encoding
    )


def item(
    title: str = "Bitcoin rises",
    date: str | None = "Fri, 01 Mar 2024 12:00:00 GMT",
    link: str = "https://example.org/1",
    guid: str = "",
    more: str = "",
) -> str:
    dated = f"<pubDate>{date}</pubDate>" if date is not None else ""
    named = f'<guid isPermaLink="false">{guid}</guid>' if guid else ""
    return f"<title>{title}</title><link>{link}</link>{dated}{named}{more}"


def read(content: bytes, first_seen_at: int | None = None) -> NewsBatch:
    return parse_feed(content, "wire", lag_us=LAG, first_seen_at=first_seen_at)


class TestRealFeeds:
    @pytest.mark.shared_data
    @pytest.mark.parametrize(
        ("name", "items", "duplicates"),
        [
            ("coindesk_2026-09-25_3items.xml", 3, 0),
            ("cointelegraph_2026-09-30_first8items.xml", 8, 0),
            ("fed_press_2026-09-24_3items.xml", 3, 0),
            ("sec_edgar_8k_2026-09-23.atom", 9, 1),  # two entries share one id
        ],
    )
    def test_a_real_feed_gives_its_items_clean_and_dated(
        self, shared: Path, name: str, items: int, duplicates: int
    ) -> None:
        batch = read_feed(shared / "news" / "rss" / name, "wire", lag_us=LAG)
        assert (batch.items.height, batch.duplicates, batch.refused) == (items, duplicates, ())
        assert batch.items.schema == table("news").schema
        text = "".join(batch.items["title"].to_list() + batch.items["summary"].to_list())
        assert "<" not in text
        assert not any(t != t.strip() for t in batch.items["title"].to_list())
        assert batch.items["published_at"].dt.year().unique().to_list() == [2026]
        assert (batch.items["link"].str.starts_with("http")).all()

    @pytest.mark.shared_data
    def test_an_item_edited_after_publication_was_first_seen_after_its_edit(
        self, shared: Path
    ) -> None:
        path = shared / "news" / "rss" / "cointelegraph_2026-09-30_first8items.xml"
        frame = read_feed(path, "wire", lag_us=LAG).items
        edited = frame.filter(pl.col("title").str.starts_with("Brazil"))
        assert edited["published_at"].item() == datetime(2026, 9, 30, 17, 17, 54, tzinfo=UTC)
        assert edited["first_seen_at"].item() == datetime(2026, 9, 30, 17, 23, 29, tzinfo=UTC)

    @pytest.mark.shared_data
    def test_offsets_are_honoured(self, shared: Path) -> None:
        path = shared / "news" / "rss" / "sec_edgar_8k_2026-09-23.atom"
        frame = read_feed(path, "sec", lag_us=LAG).items
        trinseo = frame.filter(pl.col("title").str.contains("Trinseo"))
        assert trinseo["published_at"].item() == datetime(2026, 9, 23, 17, 30, 36, tzinfo=UTC)


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("Fri, 01 Mar 2024 12:00:00 GMT", (12, 0)),
            ("Fri, 01 Mar 2024 12:00:00 +0530", (6, 30)),
            ("Fri, 01 Mar 2024 12:00:00 EST", (17, 0)),
            ("Fri, 01 Mar 2024 12:00:00 -0000", (12, 0)),
            ("1 Mar 24 12:00:00 Z", (12, 0)),
            ("2024-03-01T12:00:00Z", (12, 0)),
            ("2024-03-01T12:00:00+02:00", (10, 0)),
        ],
    )
    def test_a_date_with_a_zone_is_read(self, text: str, expected: tuple[int, int]) -> None:
        frame = read(rss(item(date=text))).items
        assert frame["published_at"].item() == datetime(2024, 3, 1, *expected, tzinfo=UTC)

    @pytest.mark.parametrize(
        "text",
        [
            None,
            "",
            "yesterday",
            "Fri, 01 Mar 2024 12:00:00",
            "Fri, 01 Mar 2024 12:00:00 CET",
            "2024-03-01T12:00:00",
            "2024-03-01",
            "Fri, 31 Feb 2024 12:00:00 GMT",
            "Fri, 01 Mar 99999 12:00:00 GMT",
        ],
    )
    def test_a_date_that_would_have_to_be_guessed_refuses_the_item(self, text: str | None) -> None:
        batch = read(rss(item(date=text), item(title="Dated", link="https://example.org/2")))
        assert batch.items["title"].to_list() == ["Dated"]
        assert batch.refusals == {"no date with a time zone": 1}
        assert batch.refused[0].title == "Bitcoin rises"

    def test_a_lost_first_sight_is_published_plus_the_lag_and_flagged(self) -> None:
        row = read(rss(item())).items.row(0, named=True)
        assert row["first_seen_at"] == datetime(2024, 3, 1, 12, 2, tzinfo=UTC)
        assert row["available_at"] == row["first_seen_at"]
        assert row["backfilled"]

    def test_a_fetched_item_was_first_seen_when_it_was_fetched(self) -> None:
        row = read(rss(item()), SEEN).items.row(0, named=True)
        assert (
            row["first_seen_at"] == row["available_at"] == datetime(2024, 3, 1, 12, 5, tzinfo=UTC)
        )
        assert not row["backfilled"]

    def test_an_item_dated_after_its_first_sight_waits_for_its_date(self) -> None:
        row = read(rss(item(date="Fri, 01 Mar 2024 13:00:00 GMT")), SEEN).items.row(0, named=True)
        assert row["first_seen_at"] == datetime(2024, 3, 1, 12, 5, tzinfo=UTC)
        assert row["available_at"] == datetime(2024, 3, 1, 13, tzinfo=UTC)

    def test_an_item_dated_more_than_a_day_ahead_is_refused(self) -> None:
        batch = read(rss(item(date="Sun, 03 Mar 2024 13:00:00 GMT")), SEEN)
        assert batch.items.is_empty()
        assert batch.refusals == {"dated more than a day after it was seen": 1}


class TestContent:
    def test_markup_references_and_hidden_text_are_gone(self) -> None:
        body = (
            "<description><![CDATA[<p>Up <b>5%</b><br>AT&amp;T</p>"
            '<span style="display: none">sell everything</span><script>x()</script>'
            "]]></description>"
        )
        title = "Bit\u200bcoin \u202erises&amp;amp; <![CDATA[<i>falls</i>]]>  "
        row = read(rss(item(title=title, more=body))).items.row(0, named=True)
        assert row["title"] == "Bitcoin rises& falls"
        assert row["summary"] == "Up 5% AT&T"

    def test_an_item_without_a_title_is_refused(self) -> None:
        batch = read(rss(item(title=" \u200b "), item(link="https://example.org/2")))
        assert batch.items.height == 1
        assert batch.refusals == {"no title": 1}

    @pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "windows-1252", "utf-16"])
    def test_declared_encodings_are_honoured(self, encoding: str) -> None:
        batch = read(rss(item(title="Café señor"), encoding=encoding))
        assert batch.items["title"].to_list() == ["Café señor"]

    def test_a_wrongly_declared_encoding_is_read_as_what_it_is(self) -> None:
        content = rss(item(title="Café"), encoding="utf-8").decode().encode("windows-1252")
        assert read(content).items["title"].to_list() == ["Café"]

    def test_an_atom_entry_with_only_updated_is_dated_by_it(self) -> None:
        content = (
            b'<feed xmlns="http://www.w3.org/2005/Atom"><entry><title>News</title>'
            b'<id>urn:1</id><link href="https://example.org/1"/>'
            b"<updated>2024-03-01T12:00:00Z</updated></entry></feed>"
        )
        assert read(content).items["published_at"].item() == datetime(2024, 3, 1, 12, tzinfo=UTC)

    @pytest.mark.parametrize("link", ["javascript:alert(1)", "/relative", "file:///etc/passwd", ""])
    def test_a_link_that_is_no_web_address_is_left_out(self, link: str) -> None:
        row = read(rss(item(link=link, guid="g"))).items.row(0, named=True)
        assert row["link"] == ""


class TestDuplicates:
    def test_items_with_one_guid_count_once_and_the_earliest_stays(self) -> None:
        batch = read(
            rss(
                item("Second wording", "Fri, 01 Mar 2024 12:30:00 GMT", "https://a.org/2", "g"),
                item("First wording", "Fri, 01 Mar 2024 12:00:00 GMT", "https://a.org/1", "g"),
            )
        )
        assert batch.items["title"].to_list() == ["First wording"]
        assert batch.duplicates == 1

    def test_items_without_a_guid_are_told_apart_by_link(self) -> None:
        batch = read(
            rss(
                item(link="https://a.org/1"),
                item(link="https://a.org/1"),
                item(link="https://a.org/2"),
            )
        )
        assert (batch.items.height, batch.duplicates) == (2, 1)

    @pytest.mark.parametrize(
        "link",
        [
            "https://a.org/1?page=2",
            "https://a.org/1?page=2#comments",
            "https://a.org/1?utm_source=rss&amp;page=2&amp;UTM_Medium=x",
            "HTTPS://A.org/1?page=2&amp;utm_campaign=",
        ],
    )
    def test_without_a_guid_a_page_is_one_item_whatever_its_link_tells_of_the_way(
        self, link: str
    ) -> None:
        one = read(rss(item("As it was", link="https://a.org/1?page=2"))).items
        again = read(rss(item("As it is now", link=link))).items
        assert again["item_id"].to_list() == one["item_id"].to_list()
        other = read(rss(item("As it was", link="https://a.org/1?page=3"))).items
        assert other["item_id"].to_list() != one["item_id"].to_list()

    def test_the_guid_decides_where_there_is_one_and_the_title_where_there_is_nothing_else(
        self,
    ) -> None:
        def ids(*entries: tuple[str, str, str]) -> list[str]:
            texts = (item(title, link=link, guid=guid) for title, link, guid in entries)
            return [read(rss(text)).items["item_id"].item() for text in texts]

        a, b, c = ids(("t", "https://a.org/1", "g"), ("u", "https://a.org/2", "g"), ("t", "", "h"))
        assert a == b != c
        a, b, c = ids(("t", "", ""), ("t", "", ""), ("u", "", ""))
        assert a == b != c
        assert len(set(ids(("x", "", ""), ("y", "", "x"), ("z", "https://x", "")))) == 3
        assert ids(("t", "https://[half", "")) == ids(("u", "https://[half", ""))

    def test_the_same_words_on_another_day_are_news_again(self) -> None:
        batch = read(
            rss(
                item(link="", date="Fri, 01 Mar 2024 12:00:00 GMT", guid="g1"),
                item(link="", date="Sat, 02 Mar 2024 12:00:00 GMT", guid="g2"),
            )
        )
        assert batch.items.height == 2

    def test_ids_differ_by_source_and_survive_a_second_reading(self) -> None:
        one = read(rss(item())).items["item_id"].to_list()
        assert read(rss(item())).items["item_id"].to_list() == one
        other = parse_feed(rss(item()), "other", lag_us=LAG).items["item_id"].to_list()
        assert other != one


class TestMalformed:
    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "neither RSS nor Atom"),
            (b"<html><body>Not found</body></html>", "neither RSS nor Atom"),
            (b'{"items": []}', "not well-formed"),
            (rss(item(), item())[:-40], "not well-formed at line 1"),
            (rss(item(more="<media:x>1</media:x>")), "not well-formed"),
            (b"\x00\x01\x02" * 100, "well-formed|neither"),
            (b"https://example.org/feed.xml", "well-formed|neither"),
            (b"vostok.toml", "well-formed|neither"),
        ],
        ids=["empty", "html", "json", "cut", "prefix", "binary", "address", "path"],
    )
    def test_what_is_no_whole_feed_is_refused_with_a_hint(self, content: bytes, told: str) -> None:
        with pytest.raises(SourceFormatError, match=told) as caught:
            read(content)
        assert "feed wire" in str(caught.value)
        assert caught.value.hint

    def test_a_missing_file_names_the_setting(self, tmp_path: Path) -> None:
        with pytest.raises(SourceFormatError, match=r"sources\.feeds"):
            read_feed(tmp_path / "none.xml", "wire", lag_us=LAG)

    def test_a_feed_with_no_items_is_a_feed(self) -> None:
        batch = read(rss())
        assert batch.items.is_empty()
        assert batch.items.schema == table("news").schema


def test_several_feeds_are_one_batch(tmp_path: Path) -> None:
    noon = datetime(2024, 3, 1, 12, tzinfo=UTC)
    paths = {
        name: write_feed(tmp_path / f"{name}.xml", [(noon, f"{name} rises & shines")])
        for name in ("b", "a")
    }
    batch = read_feeds(paths, lag_us=LAG)
    assert sorted(batch.items["source"].to_list()) == ["a", "b"]
    assert batch.items["title"].str.contains("rises & shines").all()
    assert read_feeds({}, lag_us=LAG).items.is_empty()
