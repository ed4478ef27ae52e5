"""The recipe's corpus section: which pages are read, and what a segment must be to stay."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from humpback_pipeline.recipe_section import CorpusLocation, DataPath, Fraction, Section


class FiltersRecipe(Section):
    """Thresholds of the paper's filters; the paper states the lengths, the rest is ours."""

    repeat_ngram: int = Field(3, ge=1, description="Words of the n-grams two sentences share.")
    repeat_similarity: Fraction = Field(0.7, description="Jaccard from which a sentence repeats.")
    repeat_min_words: int = Field(6, ge=1, description="Shorter sentences may repeat.")
    max_repeated_share: Fraction = Field(0.1, description="Share of sentences that may repeat.")
    text_capitals: Fraction = Field(0.9, description="Share of capitals that makes all-capitals.")
    header_capitals: Fraction = 0.7
    max_link_share: Fraction = Field(0.5, description="Share of a segment inside links.")
    navigation_headers: DataPath | None = Field(
        None, description="File of headers to drop, added to the bundled navigation_headers.txt."
    )


class ScreensRecipe(Section):
    """Optional screens for quality and safety; all off unless named."""

    url_blocklist: DataPath | None = Field(
        None, description="File of domains and of words in URLs whose pages are not read."
    )
    gopher: bool = Field(False, description="Statistics of Rae et al. (2021), appendix A1.1.")
    c4: bool = Field(False, description="Rules of Raffel et al. (2020), section 2.2.")
    personal_data: Literal["keep", "mask", "drop"] = Field(
        "keep", description="E-mail and IP addresses and telephone numbers."
    )
    toxic_words: DataPath | None = Field(
        None, description="File of words; a text with too many of them is dropped."
    )
    max_toxic_share: Fraction = Field(0.005, description="Of a text's words.")


class CorpusRecipe(Section):
    """The web crawl and how segments are cut, filtered and sampled (paper section 2.2)."""

    warc_dir: CorpusLocation = Field(
        description="Folder or URL (s3://, https://) of WARC files; each file is one partition."
    )
    extractor: Literal["trafilatura", "resiliparse"] = "trafilatura"
    languages: tuple[str, ...] = Field(("en",), description="Two-letter codes; empty for all.")
    min_chars: int = Field(600, ge=1)
    max_chars: int = Field(3_000, ge=1)
    max_html_bytes: int = Field(10_000_000, ge=1_000)
    max_page_s: float = Field(2.0, gt=0, description="CPU time that one page may take.")
    processes: int | None = Field(
        None, ge=1, description="Shards cut at the same time; one for each core if not given."
    )
    filters: FiltersRecipe = FiltersRecipe()
    screens: ScreensRecipe = ScreensRecipe()
    near_duplicate_jaccard: Fraction = 0.8
    contamination_ngram: int | None = Field(
        13,
        ge=5,
        description="Segments that share so many words in a row with an evaluation prompt or "
        "reference are dropped; null: none are.",
    )
    sample_segments: int = Field(502_133, ge=1, description="Segments given to the backward model.")
    max_segments_per_host: int | None = Field(None, ge=1)
    sample_seed: int = 0

    @model_validator(mode="after")
    def _lengths_in_order(self) -> CorpusRecipe:
        if self.min_chars >= self.max_chars:
            raise ValueError(
                f"min_chars ({self.min_chars}) must be below max_chars ({self.max_chars})"
            )
        return self
