"""Write the trained network and its tokenizer as one GGUF that llama.cpp loads.

    python -m models.write_gguf models/build models/guide.gguf

Invariant: everything needed to chat is in the file: weights, vocabulary, merges, chat template.
Source: the GGUF specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

# mypy: disable-error-code="import-not-found, misc"
from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gguf
import torch
from gguf.quants import quantize

CHAT_TEMPLATE = """\
{%- set turns = messages | rejectattr('role', 'equalto', 'system') | list -%}
{%- for turn in turns[-3:] -%}
{{- '<|im_start|>' + turn['role'] + '\n' -}}
{%- if turn['role'] == 'user' -%}
{{- ' ' + ((turn['content'] | trim).split('\n\n')[-1][-400:] | lower | replace('?', '')
    | replace('!', '') | replace('\u2019', "'") | trim) -}}
{%- else -%}
{{- turn['content'] | trim -}}
{%- endif -%}
{{- '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}
"""
"""ChatML, made easy for a tiny model: no system prompt, the last question with at most one exchange
before it, and of a question the last paragraph, in lower case and without question marks, as in
training (`corpus_reader.as_seen`)."""


def write_gguf(work: Path, target: Path) -> None:
    """Turn the checkpoint in `work` into the GGUF `target`: matrices Q8_0, norms F32."""
    checkpoint = torch.load(work / "guide.pt", weights_only=True)
    tokenizer = json.loads((work / "tokenizer.json").read_text("utf-8"))
    part = target.with_name(target.name + ".part")
    writer = gguf.GGUFWriter(part, "llama")
    _add_metadata(writer, checkpoint["shape"])
    _add_tokenizer(writer, tokenizer)
    for name, weight in checkpoint["weights"].items():
        values = weight.float().numpy()
        if values.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.replace(target)


def _add_metadata(writer: gguf.GGUFWriter, shape: dict[str, Any]) -> None:
    writer.add_name("LlamaChat guide")
    writer.add_description("The built-in guide to LlamaChat: it knows this product and no more")
    writer.add_license("apache-2.0")
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_vocab_size(shape["vocab_tokens"])
    writer.add_context_length(shape["context_tokens"])
    writer.add_embedding_length(shape["width"])
    writer.add_block_count(shape["layers"])
    writer.add_feed_forward_length(shape["ffn"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["heads"])
    writer.add_rope_dimension_count(shape["width"] // shape["heads"])
    writer.add_rope_freq_base(shape["rope_base"])
    writer.add_layer_norm_rms_eps(shape["norm_epsilon"])


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: dict[str, Any]) -> None:
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    special = {added["content"] for added in tokenizer["added_tokens"]}
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([int(control if token in special else normal) for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(vocabulary["<|im_end|>"])
    writer.add_pad_token_id(vocabulary["<|endoftext|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the trained guide as a GGUF.")
    parser.add_argument("work", type=Path, help="folder with guide.pt and tokenizer.json")
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    write_gguf(options.work, options.target)
    print(f"{options.target}: {options.target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
