"""Cleaning, and which assets a headline names."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vostok_core.sentiment.items import mentioned, tags
from vostok_core.sentiment.text import clean_text

_MARKUP = [
    "<b>",
    "</b>",
    "<",
    ">",
    "&",
    "&amp;",
    "&lt;",
    "&#60;",
    "<p hidden>",
    "</p>",
    "<!--",
    ";",
]
_HIDDEN = list("\u200b\u202e\ufeff\u00ad\x00\nﬁ＜＆")
_PIECES = st.sampled_from([*_MARKUP, *_HIDDEN])


class TestCleaning:
    @given(st.lists(st.one_of(_PIECES, st.text(max_size=6)), max_size=25), st.integers(1, 40))
    @settings(max_examples=400, deadline=None)
    @example(["&amp;" * 5 + "lt;b&amp;gt;"], 40)
    @example(["&" + "amp;" * 30 + "lt;"], 40)
    def test_cleaning_leaves_one_short_line_without_hidden_characters_and_is_final(
        self, pieces: list[str], limit: int
    ) -> None:
        once = clean_text("".join(pieces), limit)
        assert len(once) <= limit
        assert once == " ".join(once.split())
        assert not any(unicodedata.category(c)[0] == "C" for c in once)
        assert clean_text(once, limit) == once

    @pytest.mark.parametrize(
        ("raw", "clean"),
        [
            ("Bitcoin <b>rises</b>", "Bitcoin rises"),
            ("P&amp;L &lt; 0", "P&L < 0"),
            ("BTC < 20k & ETH > 1k", "BTC < 20k & ETH > 1k"),
            ("one<br>two", "one two"),
            ("Bit<i>co</i>in", "Bitcoin"),
            ("&amp;lt;b&amp;gt;bold&amp;lt;/b&amp;gt;", "bold"),
            ("<div hidden>buy</div>sell", "sell"),
            ("<p style='FONT-SIZE: 0'>buy<p>more</p></p>sell", "sell"),
            ("B\u200bi\u202et\u2066coin", "Bitcoin"),
            ("Ｂｉｔｃｏｉｎ\u00a0ﬁrm", "Bitcoin firm"),
            ("a\r\n\tb", "a b"),
        ],
    )
    def test_a_reader_would_have_seen(self, raw: str, clean: str) -> None:
        assert clean_text(raw, 100) == clean


class TestAssets:
    @pytest.mark.parametrize(
        ("title", "expected"),
        [
            ("Bitcoin rises", ("BTC",)),
            ("BITCOIN and Ether rise", ("BTC", "ETH")),
            ("$BTC to the moon", ("BTC",)),
            ("Bitcoin Cash forks", ("BCH",)),
            ("Ripple wins in court", ("XRP",)),
            ("A ripple in bond markets", ()),
            ("Chainlink grows; here is a link", ("LINK",)),
            ("Click the LINK", ("LINK",)),
            ("Solana, the solar coin", ("SOL",)),
            ("A solid solution", ()),
            ("BTCUSD and xBTC", ()),
            ("Crypto crashes", ("*",)),
            ("Bitcoin leads crypto lower", ("BTC", "*")),
            ("Tether prints", ("*",)),
            ("EDGE surges", ("EDGE",)),
            ("The edge of reason", ()),
            ("XBT futures", ("BTC",)),
            ("Bitcoin's halving", ("BTC",)),
        ],
    )
    def test_codes_count_in_capitals_and_names_between_word_boundaries(
        self, title: str, expected: tuple[str, ...]
    ) -> None:
        assert mentioned(title, ["EDGE"]) == expected

    def test_a_code_of_the_universe_counts_only_when_it_is_there(self) -> None:
        assert mentioned("EDGE surges") == ()

    def test_the_summary_is_asked_only_where_the_title_is_silent(self) -> None:
        assert tags("Bitcoin rises", "So does Ether") == ("BTC",)
        assert tags("Prices rise", "So does Ether") == ("ETH",)

    def test_an_item_that_names_nothing_is_about_the_market(self) -> None:
        assert tags("Fed holds rates", "") == ("*",)
