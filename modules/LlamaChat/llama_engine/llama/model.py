"""A loaded model: its vocabulary, its metadata, its handle.

Invariant: the handle is freed once, and everything here but `close()` may be called from any
thread: llama.cpp only reads the model.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import llama_cpp

from llama_engine.plan.cache_shape import CacheShape, shape_of

_PIECE_BYTES = 256
_NAMED_TEMPLATE = b"tokenizer.chat_template."


class Model:
    """Weights and vocabulary behind a `llama_model *`, which it owns."""

    def __init__(self, handle: Any, path: Path) -> None:
        vocab = llama_cpp.llama_model_get_vocab(handle)
        if vocab is None:
            raise ValueError(f"'{path}' has no vocabulary")
        self.handle = handle
        self.path = path
        self.vocab: Any = vocab
        self.vocab_tokens = int(llama_cpp.llama_vocab_n_tokens(vocab))
        self.train_tokens = int(llama_cpp.llama_model_n_ctx_train(handle))
        """The context length that the model was trained for."""
        self.window_tokens = int(llama_cpp.llama_model_n_swa(handle))
        """Size of the sliding attention window; 0 where there is none."""
        self.is_recurrent = bool(
            llama_cpp.llama_model_is_recurrent(handle) or llama_cpp.llama_model_is_hybrid(handle)
        )
        """Whether its memory cannot be cut at a token."""
        self._pieces: dict[int, bytes] = {}

    def why_not_chat(self) -> str | None:
        """Why the model cannot write a reply token by token; None where it can."""
        if llama_cpp.llama_vocab_type(self.vocab) == llama_cpp.LLAMA_VOCAB_TYPE_NONE:
            return "it has no vocabulary"
        if llama_cpp.llama_model_is_diffusion(self.handle):
            return "it writes whole texts by diffusion"
        if not llama_cpp.llama_model_has_decoder(self.handle):
            return "it is an encoder, which turns texts into numbers"
        if llama_cpp.llama_model_has_encoder(self.handle):
            return "it translates from an encoder to a decoder"
        return None

    def cache_shape(self) -> CacheShape:
        """What its KV cells are made of, alike in all layers: for a header that does not say."""
        layers = int(llama_cpp.llama_model_n_layer(self.handle))
        heads = int(llama_cpp.llama_model_n_head(self.handle))
        kv_heads = int(llama_cpp.llama_model_n_head_kv(self.handle)) or heads
        size = int(llama_cpp.llama_model_n_embd(self.handle)) // heads if heads else 0
        return shape_of([kv_heads] * layers, size, size)

    def close(self) -> None:
        """Free the weights. No context of it may be left."""
        handle, self.handle = self.handle, None
        if handle is not None:
            llama_cpp.llama_model_free(handle)

    def tokenize(self, text: str, *, parse_special: bool = True) -> list[int]:
        """The tokens of a text. Nothing is added in front or behind.

        `parse_special` takes the text of special tokens for the tokens themselves.
        """
        raw = text.encode("utf-8", errors="replace")
        room = len(raw) + 16
        while True:
            buffer = (llama_cpp.llama_token * room)()
            count = llama_cpp.llama_tokenize(
                self.vocab, raw, len(raw), buffer, room, False, parse_special
            )
            if count >= 0:
                return list(buffer[:count])
            room = -count

    def piece(self, token: int) -> bytes:
        """The bytes of a token as they stand in a text; control tokens show their names.

        Reasoning models divide their replies with them (`<|channel|>`, `[THINK]`): without them
        nobody could tell what was thought from what is answered. End tokens never get here.
        """
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._read_piece(token, _PIECE_BYTES)
        return piece

    def _read_piece(self, token: int, room: int) -> bytes:
        buffer = ctypes.create_string_buffer(room)
        count = llama_cpp.llama_token_to_piece(self.vocab, token, buffer, room, 0, True)
        return self._read_piece(token, -count) if count < 0 else buffer.raw[:count]

    def is_end(self, token: int) -> bool:
        """Whether the token ends a generation."""
        return bool(llama_cpp.llama_vocab_is_eog(self.vocab, token))

    def token_text(self, token: int) -> str:
        """The name of a token in the vocabulary, `<|im_end|>` for instance; empty for -1."""
        raw = llama_cpp.llama_vocab_get_text(self.vocab, token) if token >= 0 else b""
        return bytes(raw).decode("utf-8", errors="replace")

    @property
    def bos_text(self) -> str:
        return self.token_text(llama_cpp.llama_vocab_bos(self.vocab))

    @property
    def eos_text(self) -> str:
        return self.token_text(llama_cpp.llama_vocab_eos(self.vocab))

    @property
    def adds_bos(self) -> bool:
        return bool(llama_cpp.llama_vocab_get_add_bos(self.vocab))

    def chat_templates(self) -> dict[str, str]:
        """The chat templates in the model's file by name; the one without a name is `default`."""
        found = {"default": self._chat_template(None)}
        for at in range(llama_cpp.llama_model_meta_count(self.handle)):
            buffer = ctypes.create_string_buffer(_PIECE_BYTES)
            llama_cpp.llama_model_meta_key_by_index(self.handle, at, buffer, _PIECE_BYTES)
            if buffer.value.startswith(_NAMED_TEMPLATE):
                name = buffer.value.removeprefix(_NAMED_TEMPLATE)
                found[name.decode("utf-8", errors="replace")] = self._chat_template(name)
        return {name: text for name, text in found.items() if text}

    def _chat_template(self, name: bytes | None) -> str:
        raw = llama_cpp.llama_model_chat_template(self.handle, name)
        return bytes(raw).decode("utf-8", errors="replace") if raw else ""
