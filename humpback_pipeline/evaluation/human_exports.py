"""Files for annotators: JSONL, CSV and a Label Studio project; and, apart from them, the key.

Nothing that annotators get names a model. Label Studio's formats: labelstud.io/guide/tasks (what it
imports), labelstud.io/tags/choices (its configuration).
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import polars as pl

from humpback_pipeline.storage import write_text_atomic

from .human_pairs import FIRST, NO_DIFFERENCE, SECOND, SHOWN

ANNOTATORS_FOLDER = "for_annotators"
JUDGEMENTS_FOLDER = "judgements"
PAIRS_FILE = "pairs.jsonl"
CSV_FILE = "pairs.csv"
LABEL_STUDIO_TASKS_FILE = "label_studio_tasks.json"
LABEL_STUDIO_CONFIG_FILE = "label_studio_config.xml"
KEY_FILE = "key.jsonl"
KEY_COLUMNS = ("pair_id", "comparison", "prompt_id", "first_model", "second_model")
# What a spreadsheet would take for the beginning of a formula (OWASP, "CSV injection").
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
LABELS = {
    FIRST: "The first answer is significantly better",
    SECOND: "The second answer is significantly better",
    NO_DIFFERENCE: "There is no significant difference",
}
# An alias is what is exported in the value's place.
LABEL_STUDIO_CONFIG = f"""<View>
  <Header value="Which answer is better?"/>
  <Text name="instruction" value="$instruction" valueType="text"/>
  <View style="display: flex; gap: 2em">
    <View style="flex: 1"><Header value="First answer"/>
      <Text name="first" value="$first" valueType="text"/></View>
    <View style="flex: 1"><Header value="Second answer"/>
      <Text name="second" value="$second" valueType="text"/></View>
  </View>
  <Choices name="choice" toName="instruction" choice="single" required="true">
    <Choice value="{LABELS[FIRST]}" alias="{FIRST}" hotkey="1"/>
    <Choice value="{LABELS[SECOND]}" alias="{SECOND}" hotkey="2"/>
    <Choice value="{LABELS[NO_DIFFERENCE]}" alias="{NO_DIFFERENCE}" hotkey="0"/>
  </Choices>
</View>
"""


def write_exports(folder: Path, pairs: pl.DataFrame) -> list[Path]:
    """Write the files for annotators and the key; a file that is as it should be is left alone.

    folder: gets `for_annotators/` (pairs.jsonl, pairs.csv, label_studio_tasks.json,
    label_studio_config.xml) and key.jsonl. pairs: `PAIRS_SCHEMA`. Returns the files' paths.
    """
    shown = pairs.select(SHOWN).to_dicts()
    given = folder / ANNOTATORS_FOLDER
    texts = {
        given / PAIRS_FILE: _jsonl(shown),
        given / CSV_FILE: pairs_csv(pairs),
        given / LABEL_STUDIO_TASKS_FILE: json.dumps(
            [{"data": row} for row in shown], ensure_ascii=False, indent=1
        ),
        given / LABEL_STUDIO_CONFIG_FILE: LABEL_STUDIO_CONFIG,
        folder / KEY_FILE: _jsonl(pairs.select(KEY_COLUMNS).to_dicts()),
    }
    for path, text in texts.items():
        if not path.is_file() or path.read_bytes() != text.encode():
            write_text_atomic(path, text)
    return list(texts)


def pairs_csv(pairs: pl.DataFrame) -> str:
    """The pairs as CSV with empty columns choice and annotator, safe to open in a spreadsheet.

    A cell that a spreadsheet would take for a formula gets an apostrophe before it. The text begins
    with a byte order mark: without one Excel takes UTF-8 for something else.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow([*SHOWN, "choice", "annotator"])
    for row in pairs.select(SHOWN).iter_rows():
        writer.writerow([*map(guarded, row), "", ""])
    return "\ufeff" + buffer.getvalue()


def guarded(cell: str) -> str:
    """The cell, with an apostrophe before it if a spreadsheet could run it as a formula."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA_STARTS) else cell


def _jsonl(rows: list[dict[str, str]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
