"""Reading a recipe's YAML: where it is, what overrides it, and errors that point at a line."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from humpback_pipeline.recipe import Recipe
from humpback_pipeline.recipe_section import BUNDLED_PREFIX, PACKAGE_DIR, is_url

RECIPES_DIR = PACKAGE_DIR / "recipes"
MAX_RECIPE_BYTES = 1_000_000

# Short names for the fields people change most; any other goes through HUMPBACK_SET.
ENVIRONMENT_FIELDS = {
    "HUMPBACK_SEED_DATA": "seed.path",
    "HUMPBACK_WARC_DIR": "corpus.warc_dir",
    "HUMPBACK_HOME": "home",
    "HUMPBACK_BASE_MODEL": "base_model",
    "HUMPBACK_SAMPLE_SEGMENTS": "corpus.sample_segments",
    "HUMPBACK_ITERATIONS": "curation.iterations",
}
PATH_FIELDS = (
    "seed.path",
    "corpus.warc_dir",
    "corpus.filters.navigation_headers",
    "corpus.screens.url_blocklist",
    "corpus.screens.toxic_words",
    "home",
    "chat.rubric",
    "evaluation.prompts",
    "evaluation.labelled_pairs",
    "evaluation.hard_pairs",
    "evaluation.preferences",
    "evaluation.human.judgements",
    "evaluation.benchmarks.include_path",
    "evaluation.safety.prompts",
)


class RecipeError(ValueError):
    """The recipe cannot be used; the message says which field, where, and what to write."""


def read_recipe_file(
    name_or_path: str | Path | None = None, overrides: Mapping[str, str] | None = None
) -> Recipe:
    """See `humpback_pipeline.recipe.load_recipe`."""
    path = _find(name_or_path or os.environ.get("HUMPBACK_RECIPE") or "demo")
    if path.stat().st_size > MAX_RECIPE_BYTES:
        raise RecipeError(f"{path}: {path.stat().st_size} bytes is no recipe; give a YAML file.")
    text = path.read_text(encoding="utf-8")
    try:
        fields = yaml.safe_load(text)
        lines = _lines_by_field(yaml.compose(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(fields, dict):
        raise RecipeError(f"{path}: a recipe is a YAML mapping; found {type(fields).__name__}.")
    # A bundled recipe names data that lie where one works, not inside the package.
    _anchor_paths(fields, Path.cwd() if path.parent == RECIPES_DIR else path.parent)
    origins = apply_environment(fields, os.environ)
    for field, value in (overrides or {}).items():
        _assign(fields, field, _parse(value), "override")
        origins[field] = "override of this run"
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        problems = [_explain(problem, path, lines, origins) for problem in error.errors()]
        raise RecipeError("\n".join(problems)) from error


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in RECIPES_DIR.glob("*.yaml"))


def apply_environment(fields: dict[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    """Write the environment's overrides into `fields`; return field → where it came from.

    `HUMPBACK_SET` holds `field=value` items separated by spaces or newlines, values in YAML, for
    example `training.steps=20 curation.selection={top_fraction: 0.5}` (quote it in the shell).
    """
    origins: dict[str, str] = {}
    for variable, field in ENVIRONMENT_FIELDS.items():
        if value := environment.get(variable):
            is_path = field in PATH_FIELDS and _is_local(value)
            parsed = str(Path(value).expanduser().resolve()) if is_path else _parse(value)
            _assign(fields, field, parsed, variable)
            origins[field] = f"environment variable {variable}"
    for field, value in _settings(environment.get("HUMPBACK_SET", "")):
        _assign(fields, field, _parse(value), "HUMPBACK_SET")
        origins[field] = "environment variable HUMPBACK_SET"
    return origins


def _settings(text: str) -> list[tuple[str, str]]:
    # A value runs until the next `field=`; fields are dotted lower-case words.
    starts = list(re.finditer(r"(?:^|\s)([a-z_]+(?:\.[a-z_0-9]+)*)=", text))
    if text.strip() and (not starts or text[: starts[0].start()].strip()):
        raise RecipeError(f"HUMPBACK_SET={text!r}: write it as field=value field=value …")
    ends = [*(match.start() for match in starts[1:]), len(text)]
    return [
        (match[1], text[match.end() : end].strip())
        for match, end in zip(starts, ends[: len(starts)], strict=True)
    ]


def _parse(value: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value


def _assign(fields: dict[str, Any], field: str, value: Any, variable: str) -> None:
    *sections, name = field.split(".")
    for section in sections:
        fields = fields.setdefault(section, {})
        if not isinstance(fields, dict):
            raise RecipeError(f"{variable}: {field}: {section!r} is not a section of the recipe.")
    fields[name] = value


def _find(name_or_path: str | Path) -> Path:
    bundled = RECIPES_DIR / f"{name_or_path}.yaml"
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path.resolve()
    if bundled.is_file():
        return bundled
    close = difflib.get_close_matches(str(name_or_path), recipe_names(), n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise RecipeError(
        f"recipe {str(name_or_path)!r}: no such file and no bundled recipe of that name "
        f"(bundled: {', '.join(recipe_names())}).{hint}"
    )


def _anchor_paths(fields: dict[str, Any], folder: Path) -> None:
    # The home is left alone: it belongs to where one works, not to where the recipe lies.
    for field in PATH_FIELDS:
        *sections, name = field.split(".")
        section: Any = fields
        for part in sections:
            section = section.get(part) if isinstance(section, dict) else None
        value = section.get(name) if isinstance(section, dict) else None
        if isinstance(value, str) and _is_local(value) and field != "home":
            section[name] = str((folder / Path(value).expanduser()).resolve())


def _is_local(value: str) -> bool:
    return not value.startswith(BUNDLED_PREFIX) and not is_url(value)


def _lines_by_field(node: yaml.Node | None, prefix: tuple[str, ...] = ()) -> dict[str, int]:
    lines: dict[str, int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            field = (*prefix, str(key.value))
            lines[".".join(field)] = key.start_mark.line + 1
            lines.update(_lines_by_field(value, field))
    return lines


def _explain(problem: Any, path: Path, lines: dict[str, int], origins: dict[str, str]) -> str:
    location = [str(part) for part in problem["loc"]]
    field = ".".join(location)
    known = next(
        (
            ".".join(location[:n])
            for n in range(len(location), 0, -1)
            if ".".join(location[:n]) in lines
        ),
        "",
    )
    where = f"{path}:{lines[known]}" if known else str(path)
    if field in origins:
        where = origins[field]
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"{where}: {field}: this field is required; add it."
    if problem["type"] == "extra_forbidden":
        allowed = _fields_of_section(location[:-1])
        close = difflib.get_close_matches(location[-1], allowed, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{where}: {field}: unknown field; {hint}Allowed here: {', '.join(allowed)}."
    if location and location[-1].endswith("_variable"):
        # What was put there may be the secret itself: it is not quoted.
        return (
            f"{where}: {field}: not the name of an environment variable (capitals, digits, _). Put "
            "the secret into the environment and its variable's name here."
        )
    return f"{where}: {field or 'recipe'}: found {problem['input']!r}: {message}."


def _fields_of_section(location: list[str]) -> list[str]:
    model: type[BaseModel] = Recipe
    for part in location:
        if part not in model.model_fields:  # a name that the user chose, in a section of such
            continue
        annotation = model.model_fields[part].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        sections = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not sections:
            return []
        model = sections[0]
    return sorted(model.model_fields)
