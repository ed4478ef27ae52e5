"""Made-up English for tests."""

from __future__ import annotations

import random

WORDS = (
    "the tide rises slowly and a careful skipper reads his table before leaving harbour because "
    "wind from west may change real depth by half metre while small boats wait outside until "
    "second part of flood when rocks are covered again and people who know this coast never "
    "hurry they check their anchor twice write down time of high water tell someone where they "
    "go keep warm clothes within reach eat something hot look at clouds listen to every forecast "
    "turn back without shame if waves grow too steep for comfort then try another day with calm "
    "friends good charts bright lamps strong ropes clean engine full tank clear plan"
)


def prose(chars: int, start: int = 0) -> str:
    """English-looking sentences, no two alike, of at least `chars` characters."""
    text = ""
    number = start
    while len(text) < chars:
        words = random.Random(number).choices(WORDS.split(), k=14)
        text += f"{words[0].title()} {' '.join(words[1:])}. "
        number += 1
    return text.strip()
