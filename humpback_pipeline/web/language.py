"""Which language a text is in, fast enough to ask of every page of a crawl."""

from __future__ import annotations

import re
from typing import Final

from resiliparse.parse.lang import detect_fast

_SAMPLE_CHARS: Final = 20_000
_CODE: Final = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
# resiliparse's distance of a text from its best profile: 160–450 for prose of one language;
# program text, word lists and tables come out as anything, from about 480 up.
_SURE_DISTANCE: Final = 400


def detect_language(text: str, sure: bool = False) -> str | None:
    """Return the two-letter code of the language that the text is most likely in.

    sure: return None unless the text is clearly prose of that language. Code in Markdown is left
    out. By resiliparse's n-gram profiles.
    """
    prose = _CODE.sub(" ", text[:_SAMPLE_CHARS])
    code, _ = detect_fast(prose, cutoff=_SURE_DISTANCE) if sure else detect_fast(prose)
    return None if code == "unknown" else str(code)
