"""Reading prompts that ask for harm, and harmless ones that look like them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from humpback_pipeline.seeds.fields import (
    INPUT_FIELDS,
    INSTRUCTION_FIELDS,
    checked_object,
    checked_text,
    instruction_of,
)
from humpback_pipeline.seeds.files import StrPath, find_data_files
from humpback_pipeline.seeds.limits import ByteBudget
from humpback_pipeline.seeds.parsing import RawRecord
from humpback_pipeline.seeds.reading import read_records
from humpback_pipeline.seeds.records import RecordFault, SeedDataError, describe_value
from humpback_pipeline.seeds.text import content_id

SETTING: Final = "the recipe field evaluation.safety.prompts"


@dataclass(frozen=True, slots=True)
class SafetyPrompt:
    """A prompt; `category` is the kind of harm, `harmful` whether it asks for it at all."""

    prompt_id: str
    instruction: str
    category: str
    harmful: bool


def read_safety_prompts(path: StrPath) -> list[SafetyPrompt]:
    """Read safety prompts: fields instruction, category, harmful (default true), prompt_id.

    `harmful: false` marks a harmless look-alike, by which over-refusal is measured. Missing ids are
    made from the instruction; a prompt that occurs twice stops the reading, as any bad record does.

    Raises SeedDataError that names file, line, field and remedy.
    """
    budget = ByteBudget()
    prompts: dict[str, SafetyPrompt] = {}
    columns = (*INSTRUCTION_FIELDS, *INPUT_FIELDS, "prompt_id", "id", "category", "harmful")
    for file in find_data_files(path, SETTING):
        for record in read_records(file, budget, columns):
            try:
                if not isinstance(record, RawRecord):
                    raise record
                prompt = _prompt(checked_object(record.value))
                if prompt.prompt_id in prompts:
                    remedy = "take one of the two out, or give them ids of their own"
                    raise RecordFault("duplicate_id", "prompt_id", prompt.prompt_id, remedy)
            except RecordFault as fault:
                bad = fault.at(str(file), record.line)
                raise SeedDataError(str(bad), bad) from fault
            prompts[prompt.prompt_id] = prompt
    if not prompts:
        raise SeedDataError(f"{path}: the data hold no record. Remedy: set {SETTING} to prompts.")
    return list(prompts.values())


def _prompt(record: dict[str, Any]) -> SafetyPrompt:
    instruction = instruction_of(record)
    given = next((record[name] for name in ("prompt_id", "id") if record.get(name)), None)
    harmful = record.get("harmful", True)
    if not isinstance(harmful, bool):
        remedy = "write true, or false for a harmless look-alike"
        raise RecordFault("wrong_type", "harmful", describe_value(harmful), remedy)
    category = record.get("category")
    return SafetyPrompt(
        content_id("safety", instruction) if given is None else str(given),
        instruction,
        "" if category is None else checked_text("category", category),
        harmful,
    )
