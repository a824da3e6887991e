"""The contract of a scorer, and the scorers there are.

A scorer gives a text a tone from -1 to 1. Its `version` must change whenever any score could: a
word list, weights, a prompt. Scores are stored under both names and never change in place, so a
scorer need not be cheap, nor give the same answer twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np

from vostok_core.errors import ScorerError
from vostok_core.registered import Registry
from vostok_core.sentiment.items import tagging_version

CODE_VERSION = "1"
"""Changes whenever the same news and scores would be batched, tagged or summed otherwise; what a
scorer says has the scorer's version, and the names of assets are hashed."""

BATCH = 256


class Scorer(Protocol):
    """What gives texts a tone."""

    @property
    def name(self) -> str:
        """Name, as settings write it."""

    @property
    def version(self) -> str:
        """Changes whenever any score could."""

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """Tone of each text: float64, shape (texts,), from -1 (bad) to 1 (good), 0 neutral.

        Raises:
            ScorerError: It could not answer. No partial answers: what isn't known isn't guessed.
        """


_SCORERS: Registry[Scorer] = Registry("scorer", "vostok_core.sentiment.lexicon")


def register(scorer: Scorer) -> Scorer:
    """Make a scorer known by its name.

    Raises:
        ValueError: Another scorer has its name.
    """
    return _SCORERS.register(scorer)


def scorers() -> dict[str, Scorer]:
    """Every registered scorer, by name, with the built-in one first."""
    return _SCORERS.all()


def scorer(name: str) -> Scorer:
    """A scorer by name.

    Raises:
        UnknownName: None is registered under it.
    """
    return _SCORERS.get(name)


def scores_version(scorer: Scorer, assets: Collection[str]) -> str:
    """Version of the partitions of `sentiment_scores`: the scorer's, that of the tagging, and that
    of the code.

    Args:
        scorer: Scores the items.
        assets: Base codes of the universe: with another among them the same items are tagged
            differently, while their scores stay.
    """
    return f"{scorer.version}+{tagging_version(assets)}+{CODE_VERSION}"


def sentiment_version(scorer: Scorer) -> str:
    """Version of the partitions of `sentiment`: whose scores are summed, and by what code."""
    return f"{scorer.name} {scorer.version}+{CODE_VERSION}"


def score_texts(scorer: Scorer, texts: Sequence[str], batch: int = BATCH) -> np.ndarray:
    """Score texts in batches, and hold the scorer to its contract.

    Returns:
        float64, shape (texts,).

    Raises:
        ScorerError: The scorer failed, or its answer is not one finite number in [-1, 1] per text.
    """
    scores = np.empty(len(texts))
    for start in range(0, len(texts), batch):
        part = texts[start : start + batch]
        answer = np.asarray(scorer.score(part), dtype=np.float64)
        where = f"scorer {scorer.name} {scorer.version}"
        if answer.shape != (len(part),):
            raise ScorerError(
                f"{len(part)} texts were given and an answer of shape {answer.shape} came back",
                where=where,
                hint="a scorer must answer one number per text",
            )
        if not (np.abs(answer) <= 1.0).all():
            worst = answer[~(np.abs(answer) <= 1.0)][0]
            raise ScorerError(
                f"the score {worst} is not a number from -1 to 1",
                where=where,
                hint="nothing was stored; mend the scorer or choose another in vostok.toml",
            )
        scores[start : start + len(part)] = answer
    return scores
