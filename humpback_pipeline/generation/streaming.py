"""Requests as a stream: an engine takes them as it has room, and gives answers as they finish.

So an engine never idles at the end of a chunk, and yet never more than a chunk is at stake.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)
Other = TypeVar("Other")

# Answers that finished together, each with the index that the feed gave its request.
Finished = list[tuple[int, Any]]
# Closing it gives up the requests that are not answered yet.
Stream = Generator[Finished, None, None]


@dataclass(frozen=True)
class Task:
    """What is asked of each request: a method of TextGenerator, and its arguments besides them."""

    method: Literal["generate", "choose", "likelihoods"]
    arguments: tuple[Any, ...] = ()


class Feed(Protocol[Item_co]):
    """Where an engine gets its requests from."""

    def take(self, most: int, *, idle: bool) -> Sequence[tuple[int, Item_co]]:
        """Up to `most` requests that the engine may begin now, with their indices; perhaps none.

        `idle`: the engine has nothing else to do, so this waits; none then means the end, or
        that the engine holds answers back which must be saved first.
        """
        ...

    @property
    def is_whole(self) -> bool:
        """Whether what has been taken is all there is: none is left, and none was answered before.

        Known for certain once an idle engine was given none.
        """
        ...


@runtime_checkable
class StreamingEngine(Protocol):
    """An engine that takes requests while it answers others."""

    def stream(self, task: Task, feed: Feed[Any]) -> Stream:
        """Answer what the feed gives, in any order, until it ends."""
        ...


class ListFeed(Generic[Item]):
    """All items at once."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = enumerate(items)
        self._ended = False

    def take(self, most: int, *, idle: bool) -> list[tuple[int, Item]]:
        """See Feed."""
        taken = list(islice(self._items, most))
        self._ended = self._ended or len(taken) < most
        return taken

    @property
    def is_whole(self) -> bool:
        """See Feed."""
        return self._ended


class WindowFeed(Generic[Item]):
    """Items in order, never more than `size` of them taken and not yet reported as saved.

    n_answered: how many others of their kind have been answered before.
    """

    def __init__(self, items: Sequence[Item], size: int, n_answered: int = 0) -> None:
        self._items, self._size, self._n_answered = items, size, n_answered
        self._n_taken = self._n_saved = 0

    def take(self, most: int, *, idle: bool) -> list[tuple[int, Item]]:
        """See Feed. Nothing waits here: who saves does so before the engine can be idle."""
        start = self._n_taken
        self._n_taken = min(len(self._items), self._n_saved + self._size, start + most)
        return list(enumerate(self._items[start : self._n_taken], start))

    @property
    def is_whole(self) -> bool:
        """See Feed."""
        return self._n_taken == len(self._items) and not self._n_answered

    def saved(self, n: int) -> None:
        """Make room for `n` more."""
        self._n_saved += n

    @property
    def n_unsaved(self) -> int:
        """Taken and not saved: what a kill would cost."""
        return self._n_taken - self._n_saved


class MappedFeed(Generic[Item, Other]):
    """A feed's items, each changed by `convert(index, item)` as it is taken."""

    def __init__(self, feed: Feed[Item], convert: Callable[[int, Item], Other]) -> None:
        self._feed, self._convert = feed, convert

    def take(self, most: int, *, idle: bool) -> list[tuple[int, Other]]:
        """See Feed."""
        return [(i, self._convert(i, item)) for i, item in self._feed.take(most, idle=idle)]

    @property
    def is_whole(self) -> bool:
        """See Feed."""
        return self._feed.is_whole


class ResumableFeed(Generic[Item]):
    """A feed that gives again what was taken and not answered, to the engine after a dead one."""

    def __init__(self, feed: Feed[Item]) -> None:
        self._feed = feed
        self._open: dict[int, Item] = {}
        self._again: list[tuple[int, Item]] = []

    def take(self, most: int, *, idle: bool) -> list[tuple[int, Item]]:
        """See Feed."""
        taken, self._again = self._again[:most], self._again[most:]
        if len(taken) < most:
            fresh = self._feed.take(most - len(taken), idle=idle and not taken)
            self._open.update(fresh)
            taken += fresh
        return taken

    @property
    def is_whole(self) -> bool:
        """See Feed."""
        return not self._again and self._feed.is_whole

    def answered(self, finished: Finished) -> None:
        """Note that these need not be asked again."""
        for i, _ in finished:
            del self._open[i]

    def rewind(self) -> int:
        """Give what is not answered once more; return how many those are."""
        self._again = list(self._open.items())
        return len(self._again)


def stream_answers(generator: Any, task: Task, feed: Feed[Any]) -> Stream:
    """Answers of any TextGenerator; one that cannot stream gets all that may be begun at once."""
    if isinstance(generator, StreamingEngine):
        return generator.stream(task, feed)
    method = getattr(generator, task.method)
    return in_batches(lambda requests: method(requests, *task.arguments), feed)


def in_batches(answer: Callable[[list[Any]], Sequence[Any]], feed: Feed[Any]) -> Stream:
    """Answer a list after the other, each as long as the feed allows."""
    while taken := feed.take(sys.maxsize, idle=True):
        answers = answer([item for _, item in taken])
        yield [(i, one) for (i, _), one in zip(taken, answers, strict=True)]
