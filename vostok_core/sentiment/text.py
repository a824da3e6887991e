"""Cleaning text that strangers wrote.

A headline may carry markup, invisible characters that hide words or turn them round, and look-alike
letters in compatibility forms. What is left after cleaning is what a reader would have seen.
"""

from __future__ import annotations

import unicodedata
from html.parser import HTMLParser

TITLE_LIMIT = 300
SUMMARY_LIMIT = 2_000
_RAW_LIMIT = 65_536
_DEPTH = 8

_SILENT = frozenset({"script", "style", "template", "noscript", "iframe", "object", "svg"})
_VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta"})
_BREAKS = frozenset(
    {"br", "p", "div", "li", "ul", "ol", "tr", "td", "th", "table", "hr", "blockquote", "pre"}
    | {f"h{level}" for level in range(1, 7)}
)
_HIDING = ("display:none", "visibility:hidden", "font-size:0", "opacity:0")


def clean_text(raw: str, limit: int) -> str:
    """One line of plain text, as a reader would have seen it.

    Markup goes, and with it what a browser would not show; character references are resolved;
    compatibility forms are folded (NFKC); zero-width, bidirectional and other control characters
    go; runs of white space become one space; the rest is cut to `limit` characters.
    Cleaning what is clean changes nothing.
    """
    text = raw[:_RAW_LIMIT]
    for _ in range(_DEPTH):
        cleaned = _visible(_strip_markup(unicodedata.normalize("NFKC", text)))
        if cleaned == text:
            break
        # Markup that was escaped twice shows only now.
        text = cleaned
    else:
        # Nobody escapes this deep in good faith.
        text = _visible(text.replace("&", " ").replace("<", " "))
    if len(text) <= limit:
        return text
    return _visible(text[:limit])


def _visible(text: str) -> str:
    kept = []
    for character in text:
        category = unicodedata.category(character)
        if category in ("Cc", "Zs", "Zl", "Zp"):
            kept.append(" ")
        elif category[0] != "C" and not "\ufe00" <= character <= "\ufe0f":
            kept.append(character)
    return " ".join("".join(kept).split())


def _strip_markup(text: str) -> str:
    if "<" not in text and "&" not in text:
        return text
    parser = _Text()
    parser.feed(text)
    parser.close()
    return "".join(parser.pieces)


class _Text(HTMLParser):
    """Collects the text that a browser would show."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden_in: str | None = None
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._hidden_in is not None:
            self._depth += tag == self._hidden_in
            return
        if tag not in _VOID and (tag in _SILENT or _hides(attrs)):
            self._hidden_in, self._depth = tag, 1
        elif tag in _BREAKS:
            self.pieces.append(" ")

    def handle_startendtag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        if self._hidden_in is None and tag in _BREAKS:
            self.pieces.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if self._hidden_in is not None:
            self._depth -= tag == self._hidden_in
            if self._depth == 0:
                self._hidden_in = None
        elif tag in _BREAKS:
            self.pieces.append(" ")

    def handle_data(self, data: str) -> None:
        if self._hidden_in is None:
            self.pieces.append(data)


def _hides(attrs: list[tuple[str, str | None]]) -> bool:
    for name, value in attrs:
        if name == "hidden":
            return True
        if name == "style" and value:
            style = "".join(value.lower().split())
            if any(rule in style for rule in _HIDING):
                return True
    return False
