"""Labelled pairs with subtle flaws, made from pairs that people wrote.

A pair whose output belongs to another question, breaks off or is a cookie banner is easy to tell
from a good one. The flaws here keep subject and form, as real candidates do, and each is made by
one stated rule. What a rule cannot do honestly is left out: an instruction that is too broad or too
narrow for its text needs somebody who has read it.

The bundled set, `examples/hard_pairs.jsonl`, is written for this project: twelve answers on
subjects of their own, each a good pair (20 %) and the material of about four flawed ones. By hand:
the instructions that are related, too broad or too narrow, the texts told again as forum or blog
posts, and four lists put back into the 1990s or a season long past. By the rules here: the foreign
paragraphs, and two lists mixed with each other. Its field `made_by` says so of every pair. Twelve
texts are few: its intervals, which take the pairs as independent, are a little too narrow.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

GOOD = "good"
RELATED_INSTRUCTION = "related_instruction"
FOREIGN_PARAGRAPH = "foreign_paragraph"
FORUM_VOICE = "forum_voice"
STALE_LIST = "stale_list"
_LIST_ITEM = re.compile(r"^(\s*(?:[-*+•]|\d+[.)])\s+)(\S.*)$")
_MIN_LIST_ITEMS = 3
_MIN_PARAGRAPH_CHARS = 60
_OPENINGS = (
    "Ha, I asked myself exactly the same thing a while ago, so here's what worked for me, no "
    "guarantees!",
    "Hi everyone, long-time reader, first post here. I've been through this myself, so let me "
    "chip in:",
    "Welcome back to my little corner of the web! So many of you wrote to me about this after my "
    "last post that I just had to answer here.",
    "OK so I'm definitely no expert, but my brother-in-law is, and this is what he told me over "
    "dinner on Sunday:",
)
_CLOSINGS = (
    "Hope that helps! Let me know in the comments how it went for you, and don't forget to "
    "subscribe.",
    "Just my two cents, as always. Did I forget anything? Shout if I did!",
    "Edit: wow, thanks for all the likes, didn't expect that. Will answer your messages tonight.",
    "Anyway, that's enough from me for today. Next week I'll tell you about our new puppy. xx",
)


@dataclass(frozen=True, slots=True)
class HumanPair:
    """A pair to make flawed ones from."""

    instruction: str
    output: str


@dataclass(frozen=True, slots=True)
class HardPair:
    """A labelled pair: label 1 (as a person wrote it) or 0; kind: the flaw; made_by: the rule."""

    pair_id: str
    instruction: str
    output: str
    label: int
    kind: str
    made_by: str


@dataclass(frozen=True)
class _Maker:
    """The pairs to draw from; `related[i]` are the others' positions, the most similar first."""

    pairs: Sequence[HumanPair]
    related: Sequence[Sequence[int]]
    rng: random.Random


def make_hard_pairs(
    pairs: Sequence[HumanPair], *, share_good: float = 0.2, seed: int = 0
) -> list[HardPair]:
    """Return each human pair once, as it is or with one flaw; the flaws take turns.

    share_good: of the pairs are left as they are, a random sample. A pair that the flaw whose turn
    it is does not fit (no list to spoil, no paragraph to put another between) gets the next one; a
    repeated pair is taken once. The same pairs and seed give the same set.

    Raises ValueError for fewer than two pairs, or a share that is not between 0 and 1.
    """
    pairs = list(dict.fromkeys(pairs))
    if len(pairs) < 2 or not 0 < share_good < 1:
        raise ValueError(
            f"make_hard_pairs: {len(pairs)} pairs and share_good {share_good}; give at least two "
            "pairs and a share between 0 and 1"
        )
    maker = _Maker(pairs, _most_related(pairs), random.Random(seed))
    order = list(range(len(pairs)))
    maker.rng.shuffle(order)
    n_good = max(1, round(share_good * len(pairs)))
    made = {i: (pairs[i], GOOD, "a person's pair, unchanged") for i in order[:n_good]}
    flaws = list(FLAWS)
    for i in order[n_good:]:
        for flaw in list(flaws):
            rule = FLAWS[flaw]
            flawed = rule(maker, i)
            if flawed is not None:
                made[i] = (flawed, flaw, str(rule.__doc__).strip().splitlines()[0])
                flaws.remove(flaw)
                flaws.append(flaw)  # the others come first next time
                break
    return [
        HardPair(_pair_id(pair), pair.instruction, pair.output, int(kind == GOOD), kind, made_by)
        for _, (pair, kind, made_by) in sorted(made.items())
    ]


def related_instruction(maker: _Maker, i: int) -> HumanPair | None:
    """The instruction of the pair whose words are most like this one's, by TF-IDF."""
    other = next(
        (
            j
            for j in maker.related[i]
            if maker.pairs[j].instruction != maker.pairs[i].instruction
            and maker.pairs[j].output != maker.pairs[i].output
        ),
        None,
    )
    if other is None:
        return None
    return HumanPair(maker.pairs[other].instruction, maker.pairs[i].output)


def foreign_paragraph(maker: _Maker, i: int) -> HumanPair | None:
    """A whole paragraph of another pair's output, put between two paragraphs."""
    paragraphs = _paragraphs(maker.pairs[i].output)
    if len(paragraphs) < 2:
        return None
    others = [j for j in range(len(maker.pairs)) if j not in (i, *maker.related[i][:1])]
    maker.rng.shuffle(others)
    for j in others:
        # Not its first or last, which often say by themselves that something begins or ends.
        inner = _paragraphs(maker.pairs[j].output)[1:-1]
        inner = [p for p in inner if p not in paragraphs]  # two answers may share one
        fit = [p for p in inner if len(p) >= _MIN_PARAGRAPH_CHARS and "```" not in p]
        if fit:
            place = maker.rng.randrange(1, len(paragraphs))
            paragraphs.insert(place, maker.rng.choice(fit))
            return HumanPair(maker.pairs[i].instruction, "\n\n".join(paragraphs))
    return None


def forum_voice(maker: _Maker, i: int) -> HumanPair | None:
    """The output in the frame of a forum or blog post: greeting, first person, sign-off."""
    opening, closing = maker.rng.choice(_OPENINGS), maker.rng.choice(_CLOSINGS)
    pair = maker.pairs[i]
    return HumanPair(pair.instruction, f"{opening}\n\n{pair.output}\n\n{closing}")


def stale_list(maker: _Maker, i: int) -> HumanPair | None:
    """Every second item of the output's list is one from another pair's list."""
    lines = maker.pairs[i].output.split("\n")
    places = _list_places(lines)
    if len(places) < _MIN_LIST_ITEMS:
        return None
    others = [j for j in range(len(maker.pairs)) if j != i]
    maker.rng.shuffle(others)
    for j in others:
        foreign = maker.pairs[j].output.split("\n")
        own = {_item(lines[place])[1] for place in places}
        items = [_item(foreign[place])[1] for place in _list_places(foreign)]
        items = [item for item in items if item not in own]
        if len(items) >= _MIN_LIST_ITEMS:
            for place, item in zip(places[1::2], items, strict=False):
                lines[place] = _item(lines[place])[0] + item
            return HumanPair(maker.pairs[i].instruction, "\n".join(lines))
    return None


FLAWS: dict[str, Callable[[_Maker, int], HumanPair | None]] = {
    RELATED_INSTRUCTION: related_instruction,
    FOREIGN_PARAGRAPH: foreign_paragraph,
    STALE_LIST: stale_list,
    FORUM_VOICE: forum_voice,
}


def _most_related(pairs: Sequence[HumanPair]) -> list[list[int]]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    vectors = vectorizer.fit_transform([f"{p.instruction}\n{p.output}" for p in pairs])
    orders = []
    for i in range(len(pairs)):
        similarity = (vectors @ vectors[i].T).toarray().ravel()
        ranked = sorted(range(len(pairs)), key=lambda j: (-similarity[j], j))
        orders.append([j for j in ranked if j != i])
    return orders


def _paragraphs(text: str) -> list[str]:
    """Blocks between blank lines; a fenced code block is never divided."""
    blocks: list[str] = []
    for block in re.split(r"\n\s*\n", text.strip()):
        if blocks and blocks[-1].count("```") % 2:
            blocks[-1] += "\n\n" + block
        else:
            blocks.append(block)
    return blocks


def _list_places(lines: Sequence[str]) -> list[int]:
    """Numbers of the lines that are list items, outside code."""
    places, is_code = [], False
    for place, line in enumerate(lines):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code and _LIST_ITEM.match(line):
            places.append(place)
    return places


def _item(line: str) -> tuple[str, str]:
    """Marker and text of a list item."""
    match = _LIST_ITEM.match(line)
    if match is None:
        raise ValueError(f"{line!r} is no list item")
    return match[1], match[2]


def _pair_id(pair: HumanPair) -> str:
    content = f"{pair.instruction}\0{pair.output}"
    return f"hard-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
