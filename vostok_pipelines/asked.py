"""What was asked for before: the tags of a request, and the runs that carry them.

Dagster knows the keys of a sensor's runs for ever and those of a schedule's for one tick. Neither
is what is wanted: nothing is asked for while a run of it waits or goes on, a run that failed is
asked for a few times more, and when its content is another it is asked for afresh.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, takewhile

import dagster as dg

from vostok_core.errors import VostokError

WHAT = "vostok/asked"
"""Tag: what was asked for, in words."""

CONTENT = "vostok/content"
"""Tag: a hash of what it would be made from."""

ATTEMPTS = 3
"""How often something is asked for, as long as it would be made from the same content."""

Requests = list[dg.RunRequest] | dg.SkipReason

_ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
UNFINISHED = [status for status in dg.DagsterRunStatus if status not in _ENDED]

_PAGE = 50  # runs that are read at once


@dataclass(frozen=True)
class Ask:
    """Something to ask for.

    Attributes:
        what: What it is, in words; names its run.
        content: Hash of what it would be made from.
        request: The request for it, without key.
        command: Makes it by hand.
    """

    what: str
    content: str
    request: dg.RunRequest
    command: str


@contextmanager
def told(notes: list[str], what: str) -> Iterator[None]:
    """Look at one thing of several, and note what keeps it from being looked at.

    What can't be read of one instrument must not keep the others waiting.

    Args:
        notes: Takes the error, with its hint.
        what: What is looked at, in words.
    """
    try:
        yield
    except (VostokError, OSError) as error:
        notes.append(f"{what} can't be looked at: {error}")


def answer(
    made: Sequence[dg.RunRequest], notes: Sequence[str], otherwise: str, log: logging.Logger
) -> Requests:
    """What a tick says: its requests, or else why there is none.

    Args:
        made: The requests.
        notes: What is not asked for, and why. Beside requests they go to the tick's log, since
            Dagster shows a reason only for a tick without requests.
        otherwise: Why there is nothing to do if nothing is.
        log: That of the tick.
    """
    if not made:
        return dg.SkipReason("; ".join(dict.fromkeys(notes)) or otherwise)
    for note in dict.fromkeys(notes):
        log.warning(note)
    return list(made)


def requests(
    instance: dg.DagsterInstance, asks: Iterable[Ask]
) -> tuple[list[dg.RunRequest], list[str]]:
    """Requests for what is not under way and was not tried too often.

    Args:
        instance: Knows the runs.
        asks: What is due.

    Returns:
        The requests, and why the others are none.
    """
    made, notes = [], []
    for ask in asks:
        runs = list(islice(runs_of(instance, ask.what), ATTEMPTS))
        if is_under_way(instance, ask.what):
            notes.append(f"a run of {ask.what} is under way")
        elif is_given_up(same_content(runs, ask.content)):
            notes.append(given_up(ask.what, runs[0], ask.command))
        else:
            made.append(tagged(ask.request, ask.what, ask.content, runs))
    return made, notes


def tagged(
    request: dg.RunRequest, what: str, content: str, runs: Sequence[dg.DagsterRun]
) -> dg.RunRequest:
    """A request whose run will be known again; `runs` are those of `what`, the newest first.

    Its key names the run before it, so that it is another one's for every attempt, and the same if
    a tick breaks off and is repeated.
    """
    after = f" after {runs[0].run_id[:8]}" if runs else ""
    return request.with_replaced_attrs(
        run_key=f"{what} {content[:16]}{after}",
        tags={**request.tags, WHAT: what, CONTENT: content},
    )


def runs_of(instance: dg.DagsterInstance, what: str) -> Iterator[dg.DagsterRun]:
    """The runs of what was asked for, newest first, read as far as they are looked at."""
    cursor = None
    wanted = dg.RunsFilter(tags={WHAT: what})
    while page := instance.get_runs(wanted, cursor=cursor, limit=_PAGE):
        yield from page
        if len(page) < _PAGE:
            return
        cursor = page[-1].run_id


def is_under_way(instance: dg.DagsterInstance, what: str) -> bool:
    """Whether a run of what was asked for waits or goes on."""
    unfinished = dg.RunsFilter(tags={WHAT: what}, statuses=UNFINISHED)
    return bool(instance.get_runs(unfinished, limit=1))


def same_content(runs: Iterable[dg.DagsterRun], content: str) -> list[dg.DagsterRun]:
    """The runs since the content was last another one, newest first."""
    return list(takewhile(lambda run: run.tags.get(CONTENT) == content, runs))


def is_given_up(tried: Sequence[dg.DagsterRun]) -> bool:
    """Whether runs of the same content were enough, or a person canceled one."""
    canceled = any(run.status is dg.DagsterRunStatus.CANCELED for run in tried)
    return canceled or len(tried) >= ATTEMPTS


def given_up(what: str, run: dg.DagsterRun, command: str) -> str:
    """Why something is not asked for again, and how to have it all the same."""
    how = (
        "was canceled"
        if run.status is dg.DagsterRunStatus.CANCELED
        else f"is the last of {ATTEMPTS} that did not make it"
    )
    return (
        f"{what} won't be asked for again until what it is made from has changed: run "
        f"{run.run_id[:8]} {how}; mend the cause it names, then run `{command}`"
    )
