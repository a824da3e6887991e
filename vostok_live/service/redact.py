"""Takes secrets out of text before it is written anywhere.

Two ways, so that neither must be perfect: whatever stands where a secret stands (a signature in a
URL, a key in a header), and the secrets that are known wherever they stand, as they are,
percent-encoded, escaped or line by line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

GONE = "[removed]"

_NAMES = (
    "signature", "api[_-]?key", "x-mbx-apikey", "api[_-]?secret", "secret", "listen[_-]?key",
    "password", "passwd", "token", "access[_-]?token", "private[_-]?key",
)  # fmt: skip
# Not in the middle of a word; but what is percent-encoded may look as if it were.
_NAME = rf"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{{2}}))(?:{'|'.join(_NAMES)})"
_QUOTE = r"""\\*["']"""  # however often it was escaped
_RULES = (
    # A private key, also where its line ends were escaped.
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
                re.DOTALL), GONE),
    # Of a header, in whatever form it is shown.
    (re.compile(r"(\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]+", re.IGNORECASE), rf"\1{GONE}"),
    # name=value, name: value, "name": "value", 'name': b'value', ('name', 'value')
    (re.compile(rf"({_NAME}{_QUOTE}\s*[:=,]\s*b?{_QUOTE}).*?({_QUOTE})", re.IGNORECASE),
     rf"\1{GONE}\2"),
    (re.compile(rf"({_NAME}\s*[:=]\s*b?{_QUOTE}).*?({_QUOTE})", re.IGNORECASE),
     rf"\1{GONE}\2"),
    (re.compile(rf"({_NAME}(?:=|%3D|:\s*))[^\s&\"'\\,;)}}\]]+", re.IGNORECASE), rf"\1{GONE}"),
)  # fmt: skip
_SECRET_KEY = re.compile(rf"(?:{'|'.join(_NAMES)}|authorization)", re.IGNORECASE)
_SHORTEST = 6  # characters; a shorter one is found in ordinary words


class Redactor:
    """Removes secrets.

    Args:
        secrets: What must appear nowhere; of a key in PEM, its lines neither. Those of less than
            six characters are found by their names alone.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        for secret in secrets:
            lines = [line for line in secret.splitlines() if not line.startswith("-----")]
            for form in (secret, *lines):
                forms |= {form, quote(form, safe=""), quote_plus(form), form.encode().hex()}
                forms |= {json.dumps(form)[1:-1], repr(form)[1:-1]}
        usable = sorted((form for form in forms if len(form.strip()) >= _SHORTEST), key=len)
        # The longest first: a shorter one may be its part.
        pattern = "|".join(re.escape(form) for form in reversed(usable))
        self._known = re.compile(pattern) if usable else None

    def text(self, text: str) -> str:
        """The text without secrets."""
        if self._known is not None:
            text = self._known.sub(GONE, text)
        for pattern, instead in _RULES:
            text = pattern.sub(instead, text)
        return text

    def value(self, value: object, name: str = "") -> object:
        """A value as JSON knows it, without secrets; what JSON doesn't know becomes text.

        Args:
            value: The value.
            name: What it is called; some names say that it is secret.
        """
        if value is None or isinstance(value, bool):
            return value
        if name and _SECRET_KEY.fullmatch(name):
            return GONE
        match value:
            case int() | float():
                return value
            case str():
                return self.text(value)
            case Mapping():
                return {
                    self.text(str(key)): self.value(item, str(key)) for key, item in value.items()
                }
            case list() | tuple() | set() | frozenset():
                return [self.value(item) for item in value]
            case _:
                return self.text(str(value))
