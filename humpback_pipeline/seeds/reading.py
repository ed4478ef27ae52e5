"""Reading seed pairs: from files of any accepted format to validated, unique, split pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from humpback_pipeline.seeds.fields import PAIR_FIELDS, Candidate, Dropped, is_plain_pair, pair_of
from humpback_pipeline.seeds.files import (
    SEED_SETTING,
    StrPath,
    data_set_name,
    find_data_files,
    seed_content_hash,
)
from humpback_pipeline.seeds.language import is_wanted_language, primary_language
from humpback_pipeline.seeds.limits import MAX_BAD_RECORDS_KEPT, ByteBudget
from humpback_pipeline.seeds.openassistant import (
    MESSAGE_FIELDS,
    TREE_FIELDS,
    is_message,
    is_tree,
    pair_of_tree,
    pairs_of_messages,
)
from humpback_pipeline.seeds.parquet import read_parquet
from humpback_pipeline.seeds.parsing import RawRecord, read_json, read_jsonl
from humpback_pipeline.seeds.records import (
    BadRecord,
    OnBadRecord,
    RecordFault,
    SeedDataError,
    SeedPair,
    SeedPairs,
)
from humpback_pipeline.seeds.splitting import assign_splits
from humpback_pipeline.seeds.text import content_id

Records = Iterator[RawRecord | RecordFault]
Outcomes = Iterator[Candidate | Dropped | RecordFault]
DEFAULT_MAX_CHARS = 32_000


@dataclass
class _Collector:
    """Applies the filters that all formats share and keeps the books."""

    on_bad_record: OnBadRecord
    languages: frozenset[str]
    min_output_chars: int
    max_chars: int
    pairs: dict[str, SeedPair] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    bad_records: list[BadRecord] = field(default_factory=list)

    def take(self, file: Path, outcome: Candidate | Dropped | RecordFault) -> None:
        if isinstance(outcome, RecordFault):
            self._take_fault(outcome.at(str(file)))
        elif isinstance(outcome, Dropped):
            self.dropped[outcome.reason] += 1
        else:
            self._take_candidate(outcome)

    def _take_fault(self, bad: BadRecord) -> None:
        if self.on_bad_record == "stop":
            raise SeedDataError(
                f"{bad}; or set on_bad_record to 'count' to leave out and count such records.",
                bad,
            )
        self.dropped[bad.reason] += 1
        if len(self.bad_records) < MAX_BAD_RECORDS_KEPT:
            self.bad_records.append(bad)

    def _take_candidate(self, pair: Candidate) -> None:
        pair_id = content_id("seed", pair.instruction, pair.output)
        if len(pair.output) < self.min_output_chars:
            self.dropped["output_too_short"] += 1
        elif len(pair.instruction) + len(pair.output) > self.max_chars:
            self.dropped["too_long"] += 1
        elif not is_wanted_language(pair.instruction, pair.output, pair.declared, self.languages):
            self.dropped["language"] += 1
        elif pair_id in self.pairs:
            self.dropped["duplicate"] += 1
        else:
            self.pairs[pair_id] = SeedPair(
                pair_id, pair.instruction, pair.output, pair.source, "train"
            )


def read_seed_pairs(
    path: StrPath,
    *,
    on_bad_record: OnBadRecord = "stop",
    languages: Iterable[str] = ("en",),
    min_output_chars: int = 1,
    max_chars: int = DEFAULT_MAX_CHARS,
    dev_fraction: float = 0.1,
    seed: int = 0,
) -> SeedPairs:
    """Read, validate, deduplicate and split the seed pairs of a file or of a directory's files.

    Accepts JSON Lines, JSON, Parquet (plain pairs, Alpaca's input, LIMA's conversations, chat
    messages) and OpenAssistant's trees and messages. A malformed record stops the reading, or
    with `on_bad_record='count'` is counted and kept for inspection; records filtered out
    (language, duplicate, lengths, OpenAssistant's rank and review) are always counted. Lengths
    are in characters, `max_chars` of instruction and output together; `languages` are primary
    codes, none meaning any. `dev_fraction` and `seed` govern the split (see `assign_splits`).

    Raises SeedDataError: no such file, unreadable or damaged, a bad record under 'stop', no usable
    pair. Raises ValueError: an impossible option. Source: arXiv 2308.06259, section 3.1.
    """
    if on_bad_record not in ("stop", "count"):
        raise ValueError(f"on_bad_record is {on_bad_record!r}; allowed are 'stop' and 'count'")
    if not 0 <= dev_fraction < 1:
        raise ValueError(f"dev_fraction is {dev_fraction}; allowed is 0 up to, but not, 1")
    if isinstance(languages, str):
        raise ValueError(f"languages is the string {languages!r}; give a list of codes")
    wanted = frozenset(primary_language(code) for code in languages)
    collector = _Collector(on_bad_record, wanted, min_output_chars, max_chars)
    files = find_data_files(path)
    content_hash = seed_content_hash(path)
    budget = ByteBudget()
    formats = set()
    for file in files:
        file_format, outcomes = _open_pairs(file, budget, wanted)
        formats.add(file_format)
        for outcome in outcomes:
            collector.take(file, outcome)
    if seed_content_hash(path) != content_hash:
        raise SeedDataError(
            f"{path}: changed while it was being read. Remedy: run again when it is complete; "
            "write new seed files elsewhere and rename them into place."
        )
    if not collector.pairs:
        raise _nothing_usable(path, collector)
    pairs = list(collector.pairs.values())
    splits = assign_splits([pair.instruction for pair in pairs], dev_fraction, seed)
    return SeedPairs(
        pairs=[replace(pair, split=split) for pair, split in zip(pairs, splits, strict=True)],
        dropped=dict(sorted(collector.dropped.items())),
        bad_records=collector.bad_records,
        format="+".join(sorted(formats)),
        content_hash=content_hash,
    )


def read_records(file: Path, budget: ByteBudget, columns: Iterable[str]) -> Records:
    """Yield the raw records of one data file, whatever its kind (`columns`: of Parquet).

    Raises SeedDataError when the file as a whole cannot be read.
    """
    name = file.name.lower()
    if name.endswith(".parquet"):
        yield from read_parquet(file, budget, frozenset(columns))
    elif name.endswith((".jsonl", ".jsonl.gz")):
        yield from read_jsonl(file, budget)
    else:
        yield from read_json(file, budget)


def _open_pairs(file: Path, budget: ByteBudget, languages: frozenset[str]) -> tuple[str, Outcomes]:
    """Detect the format, from the first sound record or else the name, and start reading."""
    records = read_records(file, budget, (*PAIR_FIELDS, *MESSAGE_FIELDS, *TREE_FIELDS))
    head: list[RawRecord | RecordFault] = []
    for record in records:
        head.append(record)
        # Under 'stop' the fault ends the reading anyway; under 'count' look a little further.
        if isinstance(record, RawRecord) or len(head) >= MAX_BAD_RECORDS_KEPT:
            break
    first = head[-1].value if head and isinstance(head[-1], RawRecord) else None
    records = chain(head, records)
    name = file.name.lower()
    plain = is_plain_pair(first)
    if is_tree(first) or (".trees." in name and not plain):
        return "oasst_trees", _each(records, lambda record: pair_of_tree(record, languages))
    if is_message(first) or (".messages." in name and not plain):
        return "oasst_messages", pairs_of_messages(records, languages)
    source = data_set_name(file)
    kind = next(kind for kind in ("parquet", "jsonl", "json") if f".{kind}" in name)
    return kind, _each(records, lambda record: pair_of(record.line, record.value, source))


def _each(records: Records, interpret: Callable[[RawRecord], Candidate | Dropped]) -> Outcomes:
    for record in records:
        if isinstance(record, RecordFault):
            yield record
            continue
        try:
            outcome: Candidate | Dropped | RecordFault = interpret(record)
        except RecordFault as fault:
            fault.line = record.line
            outcome = fault
        yield outcome


def _nothing_usable(path: StrPath, collector: _Collector) -> SeedDataError:
    dropped = ", ".join(f"{reason} {n}" for reason, n in collector.dropped.most_common())
    first = collector.bad_records[0] if collector.bad_records else None
    remedy = (
        f"set {SEED_SETTING} to data with (instruction, output) pairs, or widen the filters "
        "(languages, min_output_chars, max_chars)"
    )
    return SeedDataError(
        f"{path}: no usable pair (dropped: {dropped or 'nothing, the data hold no record'})."
        + (f" The first bad record: {first}; or {remedy}." if first else f" Remedy: {remedy}."),
        first,
    )
