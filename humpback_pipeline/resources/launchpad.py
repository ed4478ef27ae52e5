"""Launchpad fields made from the recipe: the same sections, names and types, all of them optional.

    resources: {workspace: {config: {training: {steps: 20}, generation: {chunk_size: 64}}}}

What is left out stays as the recipe has it, so an empty config means exactly the recipe. Dagster
refuses unknown fields and wrong types before launch; the recipe's own bounds are checked as each
step begins.
"""

import enum
import typing
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

import dagster as dg
import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from humpback_pipeline.recipe import Recipe
from humpback_pipeline.recipe_section import Section

# Not for one run: they shape the graph, say where everything lies and for whom it is kept, or
# belong to the people who look after the machine.
RECIPE_ONLY = {
    "name",
    "description",
    "home",
    "keep_versions",
    "keep_days",
    "trust_remote_code",
    "automation",
    "alerts",
    "ablations",
    "evaluation.benchmarks",
    "evaluation.safety",
    "curation.iterations",
    "augmentation.retrain_backward_model",
}
MAX_SHOWN_CHARS = 60
BOUNDS = {Ge: "at least", Gt: "above", Le: "at most", Lt: "below"}


def launchpad_fields(recipe: Recipe) -> dict[str, Any]:
    """Name → (type, field) for pydantic's `create_model`, whose descriptions name the recipe's own
    values."""
    return _fields(type(recipe), recipe, ())


def settings_of(config: dg.Config, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """(recipe field, YAML value) of all that is set in a launchpad section."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        field = (*path, name)
        if isinstance(value, dg.Config):
            yield from settings_of(value, field)
        elif value is not None:
            plain = value.value if isinstance(value, enum.Enum) else value
            yield ".".join(field), yaml.safe_dump(plain, default_flow_style=True)


def _fields(
    section: type[Section], values: Section | None, path: tuple[str, ...]
) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, info in section.model_fields.items():
        place = (*path, name)
        value = getattr(values, name) if values is not None else None
        if ".".join(place) in RECIPE_ONLY:
            continue
        inner = _without_none(info.annotation)
        if isinstance(inner, type) and issubclass(inner, Section):
            config = create_model(
                _class_name(place), __base__=dg.Config, **_fields(inner, value, place)
            )
            about = (inner.__doc__ or "").strip()
            fields[name] = (config, Field(default=config(), description=about))
        elif (kind := _config_type(inner, place)) is not None:
            about = _description(info, value)
            fields[name] = (kind | None, Field(default=None, description=about))
    return fields


def _without_none(annotation: Any) -> Any:
    """`int` of `int | None`, `Path` of `Annotated[Path, …] | None`; a wider union as it is."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (typing.Union, UnionType):
        others = [kind for kind in typing.get_args(annotation) if kind is not NoneType]
        return _without_none(others[0]) if len(others) == 1 else annotation
    return annotation


def _config_type(kind: Any, place: tuple[str, ...]) -> Any:
    """The type of Dagster's config for a recipe field; None for one it has no type for."""
    if kind in (bool, int, float, str):
        return kind
    if kind is Path or kind == Path | str:  # a folder, or a folder or URL
        return str
    if typing.get_origin(kind) is typing.Literal:
        choices = {str(choice): str(choice) for choice in typing.get_args(kind)}
        return enum.Enum(_class_name(place), choices)
    if kind == tuple[str, ...]:
        return list[str]
    return None


def _description(info: FieldInfo, value: Any) -> str:
    bounds = [
        f"{word} {getattr(bound, operator):g}"
        for bound in info.metadata
        for kind, word in BOUNDS.items()
        if isinstance(bound, kind)
        for operator in (kind.__name__.lower(),)
    ]
    limits = f" {' and '.join(bounds).capitalize()}." if bounds else ""
    about = f"{info.description.rstrip('.')}." if info.description else ""
    return f"{about}{limits} Left out: the recipe's, {_shown(value)}.".strip()


def _shown(value: Any) -> str:
    if value is None:
        return "which sets none"
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value) or "which is empty"
    if isinstance(value, float):
        return f"{value:g}"
    text = " ".join(str(value).split())
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[: MAX_SHOWN_CHARS - 1]}…"


def _class_name(place: tuple[str, ...]) -> str:
    return "".join(part.title().replace("_", "") for part in place) + "Launchpad"
