"""Which language a text is in, and which one a header states; fast enough for every page."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Final

from resiliparse.parse.lang import detect_fast

_SAMPLE_CHARS: Final = 20_000
_CODE: Final = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
# resiliparse's distance of a text from its best profile: 160–450 for prose of one language;
# program text, word lists and tables come out as anything, from about 480 up.
_SURE_DISTANCE: Final = 400
_MAX_DISTANCE: Final = 1_200  # beyond it, resiliparse says, results are usually false
# Close relatives lie within a few percent of each other (German and Luxembourgish, Spanish and
# Galician, English and Latin in lists of names). On 2,448 pieces of 1,200 characters from 564 web
# pages, a margin of 10 % in favour of the page's language cut the errors from 65 to 27.
_PRIOR_MARGIN: Final = 0.1
_N_CANDIDATES: Final = 6

_FIRST_STATED: Final = re.compile(r"[^,;|/(]+")
_SUBTAG: Final = re.compile(r"[-_.@\s]")
# Where the identifier's codes differ from CLDR's, and what corpora write for a language.
# "po" is ClueWeb22's Polish; ISO 639-1 knows no such code.
_FOLDED: Final = {"nb": "no", "nn": "no", "fil": "tl", "po": "pl"}
# Names in common use beside CLDR's.
_OTHER_NAMES: Final = {"farsi": "fa", "mandarin": "zh", "modern greek": "el", "castilian": "es"}
# Two-letter codes that stand for themselves: the usual case, told without loading CLDR.
_PLAIN: Final = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv "
    "cy da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho "
    "hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku "
    "kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nd ne ng nl no nr "
    "nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so "
    "sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt ty ug uk ur uz ve vi vo wa wo "
    "xh yi yo za zh zu "
)
_PLAIN_CODES: Final = frozenset(_PLAIN.split())
_NO_LANGUAGE: Final = frozenset({"und", "mul", "mis", "zxx", "root"})


def detect_language(text: str, sure: bool = False, prior: str | None = None) -> str | None:
    """Return the two-letter code of the language that the text is most likely in.

    sure: return None unless the text is clearly prose of that language. prior: a language to be
    expected, which wins over one that fits hardly better (say, the page's for a part of it). Code
    in Markdown is left out. By resiliparse's n-gram profiles.
    """
    prose = _CODE.sub(" ", text[:_SAMPLE_CHARS])
    if not prose.strip():
        return None
    if prior is None:
        code, _ = detect_fast(prose, cutoff=_SURE_DISTANCE if sure else _MAX_DISTANCE)
        return None if code == "unknown" else str(code)
    candidates = detect_fast(prose, cutoff=_MAX_DISTANCE, n_results=_N_CANDIDATES)
    if not candidates:
        return None
    best, distance = min(candidates, key=lambda candidate: candidate[1])
    if any(code == prior and d <= distance * (1 + _PRIOR_MARGIN) for code, d in candidates):
        best = prior
    return None if sure and distance > _SURE_DISTANCE else str(best)


@lru_cache(maxsize=1024)
def language_code(stated: str | None) -> str | None:
    """Return the code of the language that a header states, or None if it states none.

    stated: ISO 639-1, -2 (both kinds) or -3, a BCP 47 tag or locale (`en-US`, `zh_chs`,
    `en_US.UTF-8`), an English name ("Norwegian Bokmål"); of several, the first. The code has two
    letters where there is one, and a variety is folded into the language that identifiers name
    (`cmn` → `zh`, `nb` → `no`). Names and aliases: Unicode CLDR, by Babel.
    """
    first = _FIRST_STATED.match((stated or "").strip().strip("\"'").lower())
    if first is None:
        return None
    whole = " ".join(first[0].split())
    primary = _SUBTAG.split(whole, maxsplit=1)[0]
    if primary in _PLAIN_CODES:
        return primary
    code = _code_of_tag(primary) if primary.isascii() and len(primary) in (2, 3) else None
    code = code or _names().get(whole.replace("_", " ")) or _names().get(primary)
    return None if code is None else _FOLDED.get(code, code)


def _code_of_tag(primary: str) -> str | None:
    from babel.core import get_global

    code = str(get_global("language_aliases").get(primary, primary)).split("_")[0]
    return code if code in _FOLDED or code in _codes() else None


@cache
def _names() -> dict[str, str]:
    """Lower-case English name → code."""
    from babel import Locale

    names = Locale("en").languages.items()
    # Sorted, so that of two tags with one name the plain code, which is shorter, is kept.
    by_name = {n.lower(): c.split("_")[0] for c, n in sorted(names, key=lambda i: -len(i[0]))}
    by_name.update(_OTHER_NAMES)
    return {name: code for name, code in by_name.items() if code not in _NO_LANGUAGE}


@cache
def _codes() -> frozenset[str]:
    return frozenset(_names().values())
