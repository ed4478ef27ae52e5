"""Instruction backtranslation (Li et al., ICLR 2024) as a Dagster project.

The rooms (`web`, `seeds`, `chat`, `generation`, `curation`, `training`, `evaluation`, `storage`)
are plain Python, usable from a notebook; `assets`, `automation` and `resources` put them on
Dagster.
"""

__version__ = "0.1.0"
