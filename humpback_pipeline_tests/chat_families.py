"""Chat templates as models are published with them, over small tokenizers of the same kind.

Each tokenizer is trained here, in well under a second, with its family's special tokens, its way of
splitting text and its way with spaces. Templates that TRL ships are read from TRL.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from humpback_pipeline.recipe_section import PACKAGE_DIR

# The families that the paper's method is most often run on, and further ones with other habits.
FAMILIES = ("llama-2", "llama-3", "qwen-2.5", "mistral-v0.1", "mistral-v0.3", "smollm-2", "none")
OTHERS = (
    "llama-3.2",
    "qwen-2.5-base",
    "qwen-3",
    "gemma",
    "phi-3",
    "no-generation-prompt",
    "vicuna",
)

_ALTERNATE = (
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
    "{% endif %}"
)
_SPLIT_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
    "{% set turns = messages[1:] %}{% else %}{% set turns = messages %}{% endif %}"
)
# What these models' tokenizer_config.json render, character for character.
TEMPLATES = {
    # Llama 2 Chat: the system text inside the first user turn, answers between two spaces.
    "llama-2": _SPLIT_SYSTEM
    + "{% for m in turns %}"
    + _ALTERNATE
    + "{% if loop.first and system is defined %}"
    "{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + m['content'] %}"
    "{% else %}{% set content = m['content'] %}{% endif %}"
    "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    # Mistral 7B Instruct v0.1: refuses a system turn; nothing between instruction and answer.
    "mistral-v0.1": "{{ bos_token }}{% for m in messages %}"
    + _ALTERNATE
    + "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ m['content'] + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}"
    "{% endfor %}",
    # Mistral 7B Instruct v0.3: the system text goes into the last turn, if that is the user's.
    "mistral-v0.3": _SPLIT_SYSTEM
    + "{{ bos_token }}{% for m in turns %}"
    + _ALTERNATE
    + "{% if m['role'] == 'user' %}{% if loop.last and system is defined %}"
    "{{ '[INST] ' + system + '\\n\\n' + m['content'] + '[/INST]' }}"
    "{% else %}{{ '[INST] ' + m['content'] + '[/INST]' }}{% endif %}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}",
    # SmolLM2: ChatML with a system text of its own where none is given.
    "smollm-2": "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\\n' }}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "none": None,
    # ChatML as some early models have it, which opens no answer.
    "no-generation-prompt": "{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}",
    # Vicuna's: words for roles, one space before each answer.
    "vicuna": _SPLIT_SYSTEM
    + "{{ bos_token + (system + ' ' if system is defined else '') }}{% for m in turns %}"
    "{% if m['role'] == 'user' %}{{ 'USER: ' + m['content'] + ' ' }}"
    "{% else %}{{ 'ASSISTANT: ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}",
}
_OF_TRL = {
    "llama-3": "llama3",
    "llama-3.2": "llama3_2",
    "qwen-2.5": "qwen2_5",
    "qwen-2.5-base": "qwen2_5",  # the very template of the chat model, with another end of text
    "qwen-3": "qwen3",
    "gemma": "gemma",
    "phi-3": "phi3",
}
# How GPT-4, Llama 3 and Qwen split text before merging; Qwen one digit at a time.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA_3_HEADERS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


@cache
def template_of(family: str) -> str | None:
    """The published template; None for a base model without one."""
    if family not in _OF_TRL:
        return TEMPLATES[family]
    trl = importlib.util.find_spec("trl")
    assert trl is not None
    assert trl.origin is not None
    path = Path(trl.origin).parent / "chat_templates" / f"{_OF_TRL[family]}.jinja"
    return path.read_text(encoding="utf-8")


def family_tokenizer(family: str) -> Any:
    """A new tokenizer of a family, with its template."""
    tokenizer = _MAKERS[family]()
    tokenizer.chat_template = template_of(family)
    return tokenizer


def _sentencepiece(prepend: str = "first", *commands: str, eos: str = "</s>") -> Any:
    """Llama 2's and Mistral's kind: a space opens the text, unknown characters become bytes."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<s>", "</s>", *commands]
    vocabulary, merges = _trained("metaspace")
    tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *vocabulary]
    raw = Tokenizer(
        models.BPE(
            {token: n for n, token in enumerate(dict.fromkeys(tokens))},
            merges,
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    if prepend == "first":  # as transformers builds a Llama tokenizer
        raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:  # as older tokenizer.json files have it: a space after every special token too
        raw.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    raw.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    raw.add_special_tokens(special)
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", raw.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, unk_token="<unk>", bos_token="<s>", eos_token=eos
    )


def _byte_level(
    *commands: str,
    eos: str,
    bos: str | None = None,
    digits: str = "",
    words: tuple[str, ...] = (),
    opens_with_bos: bool = False,
) -> Any:
    """Llama 3's, Qwen's and SmolLM's kind: every text is bytes, and no space is made up."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )
    from transformers import PreTrainedTokenizerFast

    vocabulary, merges = _trained("byte-level")
    raw = Tokenizer(models.BPE({token: n for n, token in enumerate(vocabulary)}, merges))
    if digits:
        raw.normalizer = normalizers.NFC()
        raw.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_SPLIT % digits), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    else:
        raw.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens(list(dict.fromkeys([*([bos] if bos else []), eos, *commands])))
    raw.add_tokens([AddedToken(word, normalized=False, special=False) for word in words])
    if opens_with_bos:
        raw.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, raw.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token=bos, eos_token=eos)


@cache
def _trained(kind: str) -> tuple[list[str], list[tuple[str, str]]]:
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    raw = Tokenizer(models.BPE())
    if kind == "metaspace":
        raw.pre_tokenizer = pre_tokenizers.Metaspace()
        alphabet: list[str] = [chr(byte) for byte in range(33, 127)]
    else:
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=alphabet, show_progress=False, special_tokens=[]
    )
    pairs = (PACKAGE_DIR / "examples" / "seed_pairs.jsonl").read_text(encoding="utf-8")
    texts = [text for line in pairs.splitlines() for text in json.loads(line).values()]
    raw.train_from_iterator([text for text in texts if isinstance(text, str)], trainer)
    model = json.loads(raw.to_str())["model"]
    vocabulary = sorted(model["vocab"], key=model["vocab"].get)
    if kind == "byte-level":
        # Real vocabularies have these: line breaks of a paragraph are one token.
        return [*vocabulary, "ĊĊ"], [*map(tuple, model["merges"]), ("Ċ", "Ċ")]
    # "](" is a token of Llama 2 and Mistral: it can span the end of a prompt and an answer.
    return [*vocabulary, "]("], [*map(tuple, model["merges"]), ("]", "(")]


def _llama_3() -> Any:
    return _byte_level(
        *_LLAMA_3_HEADERS,
        "<|end_of_text|>",
        bos="<|begin_of_text|>",
        eos="<|eot_id|>",
        digits="{1,3}",
        opens_with_bos=True,
    )


def _qwen(eos: str) -> Any:
    commands = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    return _byte_level(*commands, eos=eos, digits="{1}", words=("<think>", "</think>"))


_MAKERS: dict[str, Any] = {
    "llama-2": _sentencepiece,
    "llama-3": _llama_3,
    "llama-3.2": _llama_3,
    "qwen-2.5": lambda: _qwen("<|im_end|>"),
    "qwen-2.5-base": lambda: _qwen("<|endoftext|>"),
    "qwen-3": lambda: _qwen("<|im_end|>"),
    "mistral-v0.1": lambda: _sentencepiece("always"),
    "mistral-v0.3": lambda: _sentencepiece("always", "[INST]", "[/INST]"),
    "smollm-2": lambda: _byte_level(
        "<|endoftext|>", "<|im_start|>", bos="<|im_start|>", eos="<|im_end|>"
    ),
    "none": _sentencepiece,
    "gemma": lambda: _byte_level("<start_of_turn>", "<end_of_turn>", bos="<bos>", eos="<eos>"),
    "phi-3": lambda: _byte_level(
        "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", bos="<s>", eos="<|endoftext|>"
    ),
    "no-generation-prompt": lambda: _byte_level("<|im_start|>", eos="<|im_end|>"),
    "vicuna": _sentencepiece,
}
