"""Published models by their config.json alone, which is all that an estimate needs."""

from __future__ import annotations

from pathlib import Path

# Touvron et al., 2023, table 2: width, layers, heads, width of the feed-forward part; and how many
# parameters the checkpoints on the Hub have.
LLAMAS = {
    "7B": ((4_096, 32, 32, 11_008), 6_738_415_616),
    "33B": ((6_656, 60, 52, 17_920), 32_528_943_616),
    "65B": ((8_192, 80, 64, 22_016), 65_285_660_672),
}


def save_llama_config(folder: Path, name: str) -> Path:
    """Write the config.json of a Llama, and nothing else."""
    from transformers import LlamaConfig

    (hidden, layers, heads, wide), _ = LLAMAS[name]
    LlamaConfig(
        vocab_size=32_000,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=wide,
    ).save_pretrained(folder)
    return folder
