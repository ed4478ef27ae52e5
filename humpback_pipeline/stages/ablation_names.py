"""Names of what an ablation makes, for each of its variants."""

from __future__ import annotations

from dataclasses import dataclass

ABLATION_DATA = "ablation_data"
ABLATION_MODEL = "ablation_model"
ABLATION_RESPONSES = "ablation_responses"
ABLATION_WIN_RATE = "ablation_win_rate"
SELF_INSTRUCT_PAIRS = "self_instruct_pairs"
SCALING = "scaling"


@dataclass(frozen=True)
class TaggedPairs:
    """A dataset of pairs that each say where they come from: column origin, `seed` or `web`."""

    name: str
    partition: str
