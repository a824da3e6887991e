"""The lexicon scorer: what words do to each other, and how right it is on labelled headlines."""

from __future__ import annotations

import ast
import csv
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.errors import ScorerError, UnknownName
from vostok_core.sentiment import lexicon, words
from vostok_core.sentiment.lexicon import LEXICON, NEUTRAL_BAND, tone
from vostok_core.sentiment.scorer import register, score_texts, scorer, scorers
from vostok_exchange.feed import _HEADLINES


class TestTone:
    @pytest.mark.parametrize(
        "text",
        [
            "Bitcoin surges past $100k",
            "Losses narrow",
            "No losses reported",
            "Net loss shrinks to $4 million",
            "Unemployment falls to record low",
            "SEC drops lawsuit against Ripple",
            "Regulators ease rules on crypto custody",
            "Bitcoin rallies despite ban in China",
            "ETH up 10%",
            "Crypto fund inflows jump",
        ],
    )
    def test_good_news(self, text: str) -> None:
        assert tone(text) > NEUTRAL_BAND

    @pytest.mark.parametrize(
        "text",
        [
            "Bitcoin plunges 12% as liquidations top $1B",
            "Profit falls",
            "Losses widen",
            "Inflation rises to 9%",
            "Crypto exchange hacked, $200 million stolen",
            "BlockFi halts withdrawals",
            "Regulator sues custodian",
            "Analysts cut target on weak volumes",
            "Not a good quarter",
            "Solana down 8%",
        ],
    )
    def test_bad_news(self, text: str) -> None:
        assert tone(text) < -NEUTRAL_BAND

    @pytest.mark.parametrize(
        "text",
        ["", "What is DeFi?", "Bitcoin price analysis", "Foundation publishes its report", "!!!"],
    )
    def test_no_news(self, text: str) -> None:
        assert tone(text) == 0.0

    def test_more_percent_is_a_stronger_move(self) -> None:
        falls = [tone(f"Bitcoin falls {p}%") for p in ("1", "5", "20", "80")]
        assert falls == sorted(falls, reverse=True)
        assert len(set(falls)) == 4
        assert tone("Bitcoin falls 5 per cent") == tone("Bitcoin falls 5%")

    def test_strength_weakness_hedges_and_questions_scale(self) -> None:
        plain = tone("Bitcoin falls")
        assert tone("Bitcoin falls sharply") < plain < tone("Bitcoin falls slightly") < 0
        assert plain < tone("Bitcoin may fall") < 0
        assert plain < tone("Bitcoin falls?") < 0

    @given(st.text(max_size=200))
    @settings(max_examples=300, deadline=None)
    def test_any_text_has_a_tone_between_the_bounds(self, text: str) -> None:
        value = tone(text)
        assert -1.0 < value < 1.0
        assert math.copysign(1.0, tone(text)) == math.copysign(1.0, value)

    def test_headlines_of_the_embedded_feed_have_the_tone_they_were_written_with(self) -> None:
        for meant, templates in _HEADLINES.items():
            for template in templates:
                value = tone(template.format(name="EDGE"))
                got = 0 if abs(value) <= 0.2 else int(math.copysign(1, value))
                assert got == meant, (template, value)

    def test_every_word_of_the_lists_has_an_effect_or_a_purpose(self) -> None:
        for phrases in (words.PHRASES, words.GOOD_PHRASES, words.BAD_PHRASES):
            for listed in phrases.values():
                for phrase in listed.split("|"):
                    assert tuple(phrase.split()) in lexicon._PHRASES
                    assert phrase == " ".join(phrase.lower().replace("-", " ").split()), phrase


class TestContract:
    def test_the_lexicon_is_registered_and_versioned_by_its_words(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert scorer("lexicon") is LEXICON
        assert len(LEXICON.version) == 12
        assert lexicon._version() == LEXICON.version
        monkeypatch.setitem(words.TONE_WORDS, 2.5, words.TONE_WORDS[2.5] + " moonish")
        assert lexicon._version() != LEXICON.version

    def test_an_unknown_scorer_is_refused_with_the_known_ones(self) -> None:
        with pytest.raises(UnknownName, match="lexicon"):
            scorer("lexicn")

    def test_a_second_scorer_of_one_name_is_refused(self) -> None:
        with pytest.raises(ValueError, match="already registered"):
            register(Fixed("lexicon", [0.0]))
        assert scorers()["lexicon"] is LEXICON

    def test_texts_are_given_in_batches_and_come_back_in_order(self) -> None:
        counting = Fixed("counting", None)
        scores = score_texts(counting, [str(i / 100) for i in range(10)], batch=4)
        assert scores.tolist() == [i / 100 for i in range(10)]
        assert counting.batches == [4, 4, 2]
        assert score_texts(counting, []).shape == (0,)

    @pytest.mark.parametrize(
        "answer", [[0.0], [0.0, 0.0, 0.0], [[0.0], [0.0]], [0.0, 1.5], [0.0, float("nan")]]
    )
    def test_an_answer_that_breaks_the_contract_is_refused(self, answer: list[float]) -> None:
        with pytest.raises(ScorerError, match="scorer odd 1"):
            score_texts(Fixed("odd", answer), ["a", "b"])


class Fixed:
    """A scorer that answers what it is told to, or reads the number that each text is."""

    version = "1"

    def __init__(self, name: str, answer: object) -> None:
        self.name = name
        self.answer = answer
        self.batches: list[int] = []

    def score(self, texts: Sequence[str]) -> np.ndarray:
        self.batches.append(len(texts))
        return np.array([float(t) for t in texts] if self.answer is None else self.answer)


@pytest.mark.shared_data
def test_labelled_headlines_are_told_apart_far_better_than_by_the_majority(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # SEntFiN, headlines about one entity; the words were written while looking at even rows, so
    # only odd rows are counted. docs/sentiment.md quotes what is printed.
    rows = []
    with (shared / "news" / "SEntFiN" / "SEntFiN.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            try:
                labels = ast.literal_eval(row["Decisions"])
            except SyntaxError:  # an unescaped apostrophe
                continue
            if len(labels) == 1 and int(row["S No."]) % 2:
                rows.append((row["Title"], next(iter(labels.values()))))
    scores = score_texts(LEXICON, [title for title, _ in rows])
    classes = ("negative", "neutral", "positive")
    given_ = [
        classes[1 + (score > NEUTRAL_BAND) - (score < -NEUTRAL_BAND)] for score in scores.tolist()
    ]
    pairs = Counter(zip((label for _, label in rows), given_, strict=True))
    truth = Counter(label for _, label in rows)
    total = len(rows)
    accuracy = sum(pairs[c, c] for c in classes) / total
    f1 = [2 * pairs[c, c] / (truth[c] + sum(pairs[t, c] for t in classes)) for c in classes]
    toned = {k: n for k, n in pairs.items() if "neutral" not in k}
    sign = sum(n for (label, got), n in toned.items() if label == got) / sum(toned.values())
    majority = max(truth.values()) / total
    with capsys.disabled():
        print(
            f"\nlexicon {LEXICON.version} on {total} headlines: accuracy {accuracy:.3f}"
            f" (majority {majority:.3f}), macro-F1 {sum(f1) / 3:.3f},"
            f" sign agreement {sign:.3f} on {sum(toned.values())}"
        )
    assert total > 3000
    assert accuracy > majority + 0.25
    assert sum(f1) / 3 > 0.6
    assert sign > 0.85
