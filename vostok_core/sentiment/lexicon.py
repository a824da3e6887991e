"""The lexicon scorer: tone of a headline from words, and from what they do to each other.

    "Profit falls 40%"        a quantity that should rise, and falls             bad
    "Losses narrow"           a quantity that should fall, and falls             good
    "No signs of weakness"    a negation turns the next few words round          mildly good
    "Rallies despite ban"     what comes after `despite` counts little           good

A headline is split into words; phrases are matched first, the longest first. Each verb of direction
looks for the nearest quantity within three words and judges the move by it; other words add their
own weight. Negations, strengtheners, hedges and percentages scale what is near them. The sum s
becomes s / (|s| + 2), so that no pile of words reaches 1.

Only additions, multiplications and divisions of doubles in reading order: the same bits everywhere.
Time is linear in the text. Measured accuracy is in docs/sentiment.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vostok_core.hashing import hash_value
from vostok_core.sentiment import words
from vostok_core.sentiment.scorer import register

ALGORITHM = 1
"""To be raised whenever the code below changes a score."""

NEUTRAL_BAND = 0.3
"""Scores nearer to 0 than this count as neutral where a class is asked for."""

_REACH = 3
_HALF = 2.0
_TOKEN = re.compile(r"\d[\d.,]*\s?%|\d[\d.,]*|[^\W\d_]+(?:'[^\W\d_]+)?|[?;:,]")
_PER_CENT = re.compile(r"(\d)\s*(?:per cent|percent|pct|pc)\b")
_VOWELS = "aeiou"

Kind = Literal["up", "down", "good", "bad", "tone"]


@dataclass(frozen=True)
class _Entry:
    """What a word is: its kind, its strength (moves only) and its own weight."""

    kind: Kind
    strength: float
    weight: float


def _forms(verb: str) -> Iterator[str]:
    """The regular forms of an English verb."""
    yield verb
    if verb.endswith("e"):
        yield from (verb + "s", verb + "d", verb[:-1] + "ing")
    elif verb.endswith("y") and verb[-2] not in _VOWELS:
        yield from (verb[:-1] + "ies", verb[:-1] + "ied", verb + "ing")
    elif verb.endswith(("s", "x", "sh", "ch", "z")):
        yield from (verb + "es", verb + "ed", verb + "ing")
    else:
        yield from (verb + "s", verb + "ed", verb + "ing")
        if (
            len(verb) > 2
            and verb[-1] not in _VOWELS + "wxy"
            and verb[-2] in _VOWELS
            and verb[-3] not in _VOWELS
        ):
            yield from (verb + verb[-1] + "ed", verb + verb[-1] + "ing")


def _numbers(noun: str) -> Iterator[str]:
    """Singular and plural of an English noun."""
    yield noun
    if noun.endswith("y") and noun[-2] not in _VOWELS:
        yield noun[:-1] + "ies"
    elif noun.endswith(("s", "x", "sh", "ch")):
        yield noun + "es"
    else:
        yield noun + "s"


def _vocabulary() -> dict[str, _Entry]:
    """Every form of every single word; a later kind wins over an earlier one."""
    table: dict[str, _Entry] = {}
    for weight, listed in words.TONE_VERBS.items():
        table |= {
            form: _Entry("tone", 0.0, weight) for verb in listed.split() for form in _forms(verb)
        }
    for weight, listed in words.TONE_WORDS.items():
        table |= {word: _Entry("tone", 0.0, weight) for word in listed.split()}
    nouns: tuple[tuple[Kind, Mapping[str, float]], ...] = (
        ("good", words.GOOD_NOUNS),
        ("bad", words.BAD_NOUNS),
    )
    for kind, quantities in nouns:
        for listed, weight in quantities.items():
            table |= {
                form: _Entry(kind, 0.0, weight)
                for noun in listed.split()
                for form in _numbers(noun)
            }
    moves: tuple[tuple[Kind, Mapping[str, tuple[float, float]]], ...] = (
        ("up", words.UP),
        ("down", words.DOWN),
    )
    for kind, verbs in moves:
        for listed, move in verbs.items():
            table |= {form: _Entry(kind, *move) for verb in listed.split() for form in _forms(verb)}
    table |= {form: _Entry("up", *move) for form, move in words.UP_FORMS.items()}
    table |= {form: _Entry("down", *move) for form, move in words.DOWN_FORMS.items()}
    return table


def _phrases() -> dict[tuple[str, ...], _Entry]:
    table: dict[tuple[str, ...], _Entry] = {}
    toned: tuple[tuple[Kind, Mapping[float, str]], ...] = (
        ("tone", words.PHRASES),
        ("good", words.GOOD_PHRASES),
        ("bad", words.BAD_PHRASES),
    )
    for kind, phrases in toned:
        for weight, listed in phrases.items():
            table |= {tuple(p.split()): _Entry(kind, 0.0, weight) for p in listed.split("|")}
    moving: tuple[tuple[Kind, Mapping[tuple[float, float], str]], ...] = (
        ("up", words.UP_PHRASES),
        ("down", words.DOWN_PHRASES),
    )
    for kind, moves in moving:
        for move, listed in moves.items():
            table |= {tuple(p.split()): _Entry(kind, *move) for p in listed.split("|")}
    return table


_VOCABULARY = _vocabulary()
_PHRASES = _phrases()
_STARTS = {
    first: sorted({len(phrase) for phrase in _PHRASES if phrase[0] == first}, reverse=True)
    for first in {phrase[0] for phrase in _PHRASES}
}
_NEGATORS = frozenset(words.NEGATORS.split())
_DAMPERS = frozenset(words.DAMPERS.split())
_HEDGES = frozenset(words.HEDGES.split())
_STRONGER = frozenset(words.STRONGER.split())
_WEAKER = frozenset(words.WEAKER.split())
_BARRIERS = frozenset(words.BARRIERS.split())


def _version() -> str:
    lists = {
        name: list(value.items()) if isinstance(value, dict) else value
        for name, value in sorted(vars(words).items())
        if name.isupper()
    }
    return hash_value([ALGORITHM, lists])[:12]


@dataclass
class _Unit:
    """A word or phrase of a headline that carries tone: tokens [start, end)."""

    start: int
    end: int
    entry: _Entry
    value: float = 0.0
    judges: bool = False

    def gap(self, other: _Unit) -> int:
        """Tokens from this unit to another."""
        return max(other.start - self.end, self.start - other.end) + 1


def tone(text: str) -> float:
    """Tone of one headline, from -1 to 1."""
    plain = text.lower().replace("’", "'").replace("-", " ")
    tokens = _TOKEN.findall(_PER_CENT.sub(r"\1%", plain))
    units = _units(tokens)
    _judge_moves(units, tokens)
    damped = next((i for i, token in enumerate(tokens) if token in _DAMPERS), len(tokens))
    total = 0.0
    for unit in units:
        value = _scaled(unit, tokens)
        total += 0.3 * value if unit.start > damped else value
    if tokens and tokens[-1] == "?":
        total *= 0.5
    return total / (abs(total) + _HALF)


def _units(tokens: Sequence[str]) -> list[_Unit]:
    units = []
    place = 0
    while place < len(tokens):
        end = place + 1
        entry = _VOCABULARY.get(tokens[place])
        for length in _STARTS.get(tokens[place], ()):
            phrase = tuple(tokens[place : place + length])
            if phrase in _PHRASES:
                end, entry = place + length, _PHRASES[phrase]
                break
        if entry is not None:
            units.append(_Unit(place, end, entry))
        place = end
    return units


def _judge_moves(units: list[_Unit], tokens: Sequence[str]) -> None:
    """Give every unit its value: a move is judged by the nearest quantity in its clause."""
    quantities = [unit for unit in units if unit.entry.kind in ("good", "bad")]
    for unit in units:
        if unit.entry.kind not in ("up", "down"):
            continue
        near = [
            other
            for other in quantities
            if unit.gap(other) <= _REACH and not _barred(unit, other, tokens)
        ]
        if not near:
            after = tokens[unit.end : unit.end + 1]
            particle = tokens[unit.start] in ("up", "down") and after and after[0].endswith("%")
            # "up 10%" is a rise; "up" alone may be anything.
            weight = math.copysign(unit.entry.strength, unit.entry.weight)
            unit.value = weight if particle else unit.entry.weight
            continue
        # The nearest; of two as near, the one before, which is the subject.
        quantity = min(near, key=lambda other: (unit.gap(other), other.start))
        quantity.judges = True
        wanted = (unit.entry.kind == "up") == (quantity.entry.kind == "good")
        unit.value = unit.entry.strength if wanted else -unit.entry.strength
    for unit in units:
        if unit.entry.kind not in ("up", "down"):
            unit.value = 0.0 if unit.judges else unit.entry.weight


def _barred(one: _Unit, other: _Unit, tokens: Sequence[str]) -> bool:
    first, last = (one, other) if one.start < other.start else (other, one)
    return any(token in _BARRIERS for token in tokens[first.end : last.start])


def _scaled(unit: _Unit, tokens: Sequence[str]) -> float:
    value = unit.value
    if value == 0.0:
        return 0.0
    before = tokens[max(0, unit.start - _REACH) : unit.start]
    after = tokens[unit.end : unit.end + _REACH]
    if any(token in _NEGATORS for token in before):
        value *= -0.6
    if any(token in _HEDGES for token in before):
        value *= 0.7
    beside = (*before[-1:], *after[:1])
    if any(token in _STRONGER for token in beside):
        value *= 1.3
    if any(token in _WEAKER for token in beside):
        value *= 0.6
    if unit.entry.kind in ("up", "down"):
        value *= _percentage(after)
    return value


def _percentage(tokens: Sequence[str]) -> float:
    """How much a percentage after a move adds: nothing at 0, half at 20 %, at most double."""
    for token in tokens:
        if token.endswith("%"):
            digits = token.rstrip("% ").replace(",", "").strip(".")
            if digits.count(".") <= 1:
                percent = min(float(digits), 1000.0)
                return 1.0 + percent / (percent + 20.0)
    return 1.0


class LexiconScorer:
    """Scores headlines by `tone`; its version is the hash of its words and of its algorithm."""

    name = "lexicon"

    def __init__(self) -> None:
        self.version = _version()

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """Tone of each text: float64, shape (texts,)."""
        return np.array([tone(text) for text in texts], dtype=np.float64)


LEXICON = register(LexiconScorer())
