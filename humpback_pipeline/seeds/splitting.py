"""The train/dev split: by hash, so that a pair keeps its side when other pairs are added."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from humpback_pipeline.seeds.records import Split
from humpback_pipeline.seeds.text import normalised

MIN_PAIRS_FOR_DEV = 10


def assign_splits(instructions: Sequence[str], dev_fraction: float, seed: int) -> list[Split]:
    """Return 'train' or 'dev' for each instruction; about `dev_fraction` of them are 'dev'.

    The hash of the normalised instruction decides, so pairs that share an instruction share a
    side: nothing trained on is asked again in dev. From 10 pairs on at least one instruction is
    'dev' (the one of lowest hash), unless `dev_fraction` is 0; at least one is always 'train'.
    """
    positions = [_position(instruction, seed) for instruction in instructions]
    dev = {position for position in positions if position < dev_fraction}
    if not dev and dev_fraction > 0 and len(positions) >= MIN_PAIRS_FOR_DEV:
        dev = {min(positions)}
    if positions and dev == set(positions):
        dev.discard(max(positions))
    return ["dev" if position in dev else "train" for position in positions]


def _position(instruction: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}\n{normalised(instruction)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
