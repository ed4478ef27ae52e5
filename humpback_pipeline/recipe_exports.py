"""Part of the recipe about what leaves the project: exports, cards, and pushing to a hub."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from humpback_pipeline.recipe_operations import ENVIRONMENT_NAME
from humpback_pipeline.recipe_section import Section

ExportFormat = Literal["messages", "alpaca", "datasets"]
HubContent = Literal["curated_set", "model"]


class HubRecipe(Section):
    """Where `python -m humpback_pipeline push` uploads to; nothing else ever does."""

    repository: str = Field(
        pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$",
        description="namespace/name, of the dataset and of the model.",
    )
    private: bool = Field(True, description="Of a repository that is made by the push.")
    token_variable: str = Field(
        "HF_TOKEN", pattern=ENVIRONMENT_NAME, description="Environment variable with the token."
    )
    what: tuple[HubContent, ...] = Field(
        ("curated_set",), min_length=1, description="The last curated set, the last model, or both."
    )


class ExportsRecipe(Section):
    """Formats of the curated sets for other tools, and what their cards say."""

    formats: tuple[ExportFormat, ...] = Field(
        ("messages", "alpaca", "datasets"),
        description="Beside Parquet: JSONL of chat messages, JSONL of Alpaca's fields, and a "
        "folder for datasets.load_from_disk.",
    )
    system_tags: bool = Field(
        False, description="Put chat.tag_seed or chat.tag_web in front of the messages."
    )
    training_set: bool = Field(
        False, description="Also the seeds and the last curated set together, as M_T saw them."
    )
    license: str = Field(
        "unknown",
        pattern=r"^[a-z0-9][a-z0-9.+-]*$",
        description="Identifier of the licence in the cards; crawled text has its authors' own.",
    )
    hub: HubRecipe | None = None
