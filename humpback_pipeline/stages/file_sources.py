"""Provenance of files that are read as they are, such as labelled pairs."""

from __future__ import annotations

from pathlib import Path

from humpback_pipeline.storage import Provenance, hash_file, hash_text


def file_source(path: Path, role: str) -> Provenance:
    """Provenance of a data file, or of all data files in a directory.

    role: the field of the recipe that names it, such as `evaluation.prompts`; a part of the key, as
    two files can have one name. Raises SeedDataError where there is no data file.
    """
    from humpback_pipeline.seeds import find_data_files

    files = find_data_files(path, f"the recipe field {role}")
    content = hash_file(path) if files == [path] else _hash_all(files)
    return Provenance(datasets={f"file/{role}/{path.name}": content})


def _hash_all(files: list[Path]) -> str:
    # With their names: prompts without a data set's name are of the one that their file is called.
    return hash_text("\n".join(f"{hash_file(file)} {file.name}" for file in files))
