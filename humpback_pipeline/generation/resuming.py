"""Many records through an engine and a ledger: what a killed run saved is not asked again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import TypeVar

from humpback_pipeline.generation.endpoint_errors import RefusedError
from humpback_pipeline.generation.ledger import Answer, Ledger
from humpback_pipeline.generation.streaming import Feed, Stream, WindowFeed
from humpback_pipeline.progress import OnProgress, ProgressMeter, ignore_progress

logger = logging.getLogger(__name__)

Record = TypeVar("Record")
# Answers what a feed gives.
Answering = Callable[[Feed[Record]], Stream]

# A chunk is saved in so many parts: while one is being collected, the rest keeps the engine full.
SAVES_PER_CHUNK = 8


def answer_with_ledger(
    records: Sequence[Record],
    keys: Sequence[str],
    answering: Answering[Record],
    *,
    ledger: Ledger | None,
    chunk_size: int,
    stage: str,
    unit: str,
    length: Callable[[Record], int] | None = None,
    on_progress: OnProgress = ignore_progress,
    describe: Callable[[Record, Answer], str] | None = None,
) -> list[Answer]:
    """Answers to `records`, in their order; those already in the ledger are not asked again.

    `keys` holds one `ledger_key` a record; records of equal key are answered once. Never more than
    `chunk_size` are asked and not on disk. They are asked longest first by `length`, so that like
    ones share a batch and the last to finish are short. Once all are answered, the ledger forgets
    other keys. `describe` makes the latest record and its answer a few words for the progress line.
    An answer with an `error` that is in the ledger already is asked for again, after all others: a
    server may have been mended since. Raises LedgerBusyError.
    """

    def answer(saved: dict[str, Answer]) -> list[Answer]:
        known = {key: saved[key] for key in set(keys) if key in saved}
        missing = _missing(records, keys, known, length)
        again = _failed(records, keys, known, length)
        n_known = len(known) - len(again)
        reused = f"{n_known:,} more were in the ledger" if n_known else ""
        meter = ProgressMeter(stage, len(missing) + len(again), unit, on_progress)

        def ask(todo: Sequence[tuple[str, Record]]) -> None:
            n_answered = sum(not answer.get("error") for answer in known.values())
            for i, latest in _saved_answers(todo, answering, ledger, chunk_size, n_answered):
                known[todo[i][0]] = latest
                meter.advance(1, partial(_detail, reused, describe, todo[i][1], latest))

        ask(missing)
        with _errors_may_stay(known):
            ask(again)
        return [known[key] for key in keys]

    if ledger is None:
        return answer({})
    with ledger.locked():
        answers = answer(ledger.read())
        ledger.keep_only(set(keys))
    return answers


def _detail(
    reused: str,
    describe: Callable[[Record, Answer], str] | None,
    record: Record,
    answer: Answer,
) -> str:
    said = describe(record, answer) if describe else ""
    return " · ".join(text for text in (reused, said) if text)


def _missing(
    records: Sequence[Record],
    keys: Sequence[str],
    known: dict[str, Answer],
    length: Callable[[Record], int] | None,
) -> list[tuple[str, Record]]:
    missing = {key: record for key, record in zip(keys, records, strict=True) if key not in known}
    if length is None:
        return list(missing.items())
    return sorted(missing.items(), key=lambda entry: -length(entry[1]))


def _failed(
    records: Sequence[Record],
    keys: Sequence[str],
    known: dict[str, Answer],
    length: Callable[[Record], int] | None,
) -> list[tuple[str, Record]]:
    """Those with an error, shortest first: what was too long is the last to be answered."""
    sound = {key: answer for key, answer in known.items() if not answer.get("error")}
    wanted = _missing(records, keys, sound, length)
    return [one for one in reversed(wanted) if one[0] in known]


@contextmanager
def _errors_may_stay(known: Mapping[str, Answer]) -> Iterator[None]:
    """If a server refuses the failed ones once more, they stay as they are, beside real answers."""
    try:
        yield
    except RefusedError as error:
        if all(answer.get("error") for answer in known.values()):
            raise
        logger.warning("answers with an error in the ledger stay as they are: %s", error)


def _saved_answers(
    todo: Sequence[tuple[str, Record]],
    answering: Answering[Record],
    ledger: Ledger | None,
    chunk_size: int,
    n_answered: int,
) -> Iterator[tuple[int, Answer]]:
    """Answers with their places in `todo`; each is on disk before the window moves past it."""
    if not todo:  # an engine that starts when it is first asked need not start
        return
    feed = WindowFeed([record for _, record in todo], chunk_size, n_answered)
    part = max(1, chunk_size // SAVES_PER_CHUNK)
    unsaved: dict[str, Answer] = {}

    def save() -> None:
        answers = dict(unsaved)
        unsaved.clear()  # first: what cannot be written is not tried a second time
        if ledger is not None:
            ledger.append(answers)
        feed.saved(len(answers))

    try:
        with closing(answering(feed)) as stream:
            for finished in stream:
                unsaved.update((todo[i][0], answer) for i, answer in finished)
                if len(unsaved) >= part or len(unsaved) == feed.n_unsaved:
                    save()
                yield from finished
    finally:
        save()  # what had finished when the engine or its user gave up
