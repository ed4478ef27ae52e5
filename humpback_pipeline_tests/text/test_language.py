from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_text import prose
from resiliparse.parse.lang import supported_langs

from humpback_pipeline.text.language import detect_language, language_code

GERMAN = (
    "Wer bei Ebbe ausläuft, braucht einen Plan: Wann kippt der Strom, wie tief bleibt die Rinne, "
    "und wo wartet man notfalls? Erfahrene Schiffer lesen am Vorabend ihre Tafel."
)
SPANISH = (
    "El agua sube despacio y los barcos pequeños esperan fuera del puerto hasta que las rocas "
    "quedan cubiertas. Después entran uno por uno, sin prisa, con la última luz de la tarde."
)


@pytest.mark.parametrize(
    ("stated", "code"),
    [
        ("en", "en"),
        ("eng", "en"),
        ("English", "en"),
        ("ENGLISH", "en"),
        ("en-US", "en"),
        ("en_GB.UTF-8", "en"),
        ("eng_Latn", "en"),
        ('"en"', "en"),
        ("en,de", "en"),
        ("eng; q=0.8", "en"),
        ("de", "de"),
        ("deu", "de"),
        ("ger", "de"),
        ("German", "de"),
        ("fre", "fr"),
        ("chi", "zh"),
        ("zho", "zh"),
        ("cmn", "zh"),
        ("zh_chs", "zh"),
        ("zh-Hans-CN", "zh"),
        ("Chinese (Simplified)", "zh"),
        ("Simplified Chinese", "zh"),
        ("Norwegian Bokmål", "no"),
        ("nob", "no"),
        ("nn", "no"),
        ("po", "pl"),
        ("iw", "he"),
        ("fil", "tl"),
        ("Greek", "el"),
        ("Brazilian Portuguese", "pt"),
        ("yue", "yue"),
        ("und", None),
        ("mul", None),
        ("other", None),
        ("unknown", None),
        ("C", None),
        ("POSIX", None),
        ("x-klingon", None),
        ("qq", None),
        ("", None),
        ("  ", None),
        (None, None),
    ],
)
def test_language_code_of_codes_tags_and_names(stated: str | None, code: str | None) -> None:
    assert language_code(stated) == code


@pytest.mark.parametrize("code", sorted(supported_langs()))
def test_language_code_keeps_what_the_identifier_names(code: str) -> None:
    assert language_code(code) == code
    assert language_code(f"{code.upper()}-XX") == code


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=20) | st.text("enEN-_.,;()/ \"'", max_size=8))
def test_language_code_of_any_text_never_raises(stated: str) -> None:
    code = language_code(stated)
    assert code is None or (code.isascii() and 2 <= len(code) <= 3)
    assert code is None or language_code(code) == code


@pytest.mark.parametrize(
    ("text", "code"), [(prose(800), "en"), (GERMAN, "de"), (SPANISH, "es"), ("", None)]
)
def test_detect_language_of_prose(text: str, code: str | None) -> None:
    assert detect_language(text) == code
    assert detect_language(text, prior="en") == code


def test_detect_language_is_sure_of_long_prose_only() -> None:
    assert detect_language(prose(800), sure=True) == "en"
    assert detect_language(prose(800), sure=True, prior="de") == "en"
    assert detect_language(GERMAN, sure=True) is None


def test_detect_language_leaves_code_out() -> None:
    code = "```\n" + "der die das und nicht mit ein eine ist auch\n" * 40 + "```"
    assert detect_language(f"{prose(800)}\n\n{code}") == "en"


def test_detect_language_prior_decides_between_relatives_only() -> None:
    close = (
        "Startsida Barcelona Madrid Sevilla Valencia Noticias Deportes Cultura Opinion Economia "
        "Television Tecnologia Internacional Nacional Ciencia Salud Moda Viajes Motor Musica"
    )
    unaided = detect_language(close)
    assert unaided != "es"
    assert detect_language(close, prior="es") == "es"
    assert detect_language(GERMAN, prior="zh") == "de"
    assert detect_language(GERMAN, prior="nonsense") == "de"


def test_detect_language_sure_is_none_for_a_list_of_names() -> None:
    names = "\n".join(f"x{n}_q{n * 7}: {n}" for n in range(80))
    assert detect_language(names, sure=True) is None
    assert detect_language(names, sure=True, prior="en") is None
