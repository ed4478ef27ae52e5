"""The program that an `EngineProcess` starts: it runs one engine and answers its parent."""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import closing
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from humpback_pipeline.generation.engine import EngineDiedError, GenerationError
from humpback_pipeline.generation.memory import ran_out_of_memory
from humpback_pipeline.generation.process import exit_when_orphaned
from humpback_pipeline.generation.streaming import Stream

Message = tuple[int, str, Any]


class ServedEngine(Protocol):
    """An engine as the child serves it: arguments, items and answers are of JSON's own types."""

    def start(self, *_: Any, **arguments: Any) -> Any:
        """Start it; what it returns is the parent's `EngineProcess.started`."""
        ...

    def stream(self, *method_and_feed: Any, **arguments: Any) -> Stream:
        """Answers to what the feed gives."""
        ...


class _PipeFeed:
    """What the parent feeds to one question; later questions stay in the inbox."""

    def __init__(self, inbox: SimpleQueue[Message]) -> None:
        self._inbox = inbox
        self._items: list[tuple[int, Any]] = []
        self._ended = False
        self.cancelled = False

    def take(self, most: int, *, idle: bool) -> list[tuple[int, Any]]:
        """See Feed."""
        self.look()
        while idle and not self._items and not self._ended:
            self._note(self._inbox.get())
            self.look()
        taken, self._items = self._items[:most], self._items[most:]
        return taken

    @property
    def is_whole(self) -> bool:
        """See Feed; what was answered before, only the parent knows."""
        return self._ended and not self._items

    def look(self) -> None:
        """Note what has come in the meantime."""
        while not self._ended:
            try:
                self._note(self._inbox.get_nowait())
            except Empty:
                return

    def _note(self, message: Message) -> None:
        _, method, payload = message
        if method == "feed":
            self._items += [(i, item) for i, item in payload]
            return
        self._ended = True
        if method == "cancel":
            self._items, self.cancelled = [], True


def _serve(kind: str, descriptor: int, parent_pid: int) -> None:
    exit_when_orphaned(parent_pid)
    pipe = Connection(descriptor)
    inbox: SimpleQueue[Message] = SimpleQueue()
    threading.Thread(target=_read_all, args=(pipe, inbox), name="inbox", daemon=True).start()
    engine = _served_engine(kind)
    while True:
        number, method, arguments = inbox.get()
        if method in ("feed", "end", "cancel"):
            continue  # of a question that failed before it was told all
        try:
            reply: tuple[str, Any] = (
                "done",
                _answer(engine, pipe, inbox, number, method, arguments),
            )
        except Exception as error:
            died = isinstance(error, EngineDiedError) or ran_out_of_memory(error)
            known = isinstance(error, GenerationError)
            text = str(error) if known else f"{kind} failed: {type(error).__name__}: {error}"
            reply = ("died" if died else "failed", text)
        pipe.send_bytes(json.dumps([number, *reply]).encode())


def _read_all(pipe: Connection, inbox: SimpleQueue[Message]) -> None:
    # In a thread of its own: two ends that both write and neither reads would wait for ever.
    while True:
        try:
            inbox.put(json.loads(pipe.recv_bytes()))
        except (EOFError, OSError):
            os._exit(0)  # closed: tearing the engine down in order would only take longer


def _answer(
    engine: ServedEngine,
    pipe: Connection,
    inbox: SimpleQueue[Message],
    number: int,
    method: str,
    arguments: dict[str, Any],
) -> Any:
    if method == "start":
        return engine.start(**arguments)
    feed = _PipeFeed(inbox)
    with closing(engine.stream(method, feed, **arguments)) as stream:
        for finished in stream:
            if finished:
                pipe.send_bytes(json.dumps([number, "answers", finished]).encode())
            feed.look()
            if feed.cancelled:
                break
    return None


def _served_engine(kind: str) -> ServedEngine:
    if kind == "vllm":
        from humpback_pipeline.generation.vllm_process import ServedVllm

        return ServedVllm()
    from humpback_pipeline.generation.transformers_process import ServedTransformers

    return ServedTransformers()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
