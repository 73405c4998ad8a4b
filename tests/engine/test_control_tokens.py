"""Control tokens that a model writes inside its reply are seen in the text."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_helpers import MakeEngine, ask, collect
from llama_engine.text.sampling import SamplingParams
from odd_models import write_sliding

MARKERS = ("<|channel|>", "<|message|>", "[THINK]", "[/THINK]")


@pytest.fixture(scope="module")
def reasoning_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sliding(tmp_path_factory.mktemp("models") / "reasoning.gguf", MARKERS)


@pytest.mark.parametrize("marker", MARKERS)
def test_a_marker_does_not_vanish(
    make_engine: MakeEngine, reasoning_model: Path, marker: str
) -> None:
    engine = make_engine(reasoning_model)
    (token,) = engine.tokenize(marker)
    sampling = SamplingParams(temperature=0, logit_bias={token: 100.0})
    reply = collect(ask(engine, [5, 6, 7], max_tokens=3, sampling=sampling))
    assert reply.text == 3 * marker
    assert [each.piece for each in reply.tokens] == 3 * [marker.encode()]


def test_a_marker_can_be_a_stop_string(make_engine: MakeEngine, reasoning_model: Path) -> None:
    engine = make_engine(reasoning_model)
    (token,) = engine.tokenize("[/THINK]")
    sampling = SamplingParams(temperature=0, logit_bias={token: 100.0})
    reply = collect(ask(engine, [5, 6, 7], max_tokens=3, sampling=sampling, stop=("[/THINK]",)))
    assert (reply.text, reply.finished.reason) == ("", "stop")


def test_an_end_token_is_not_text(make_engine: MakeEngine, reasoning_model: Path) -> None:
    engine = make_engine(reasoning_model)
    sampling = SamplingParams(temperature=0, logit_bias={2: 100.0})
    reply = collect(ask(engine, [5, 6, 7], max_tokens=3, sampling=sampling))
    assert (reply.text, reply.finished.reason) == ("", "stop")


def test_the_end_of_a_channel_is_not_the_end_of_the_reply(
    make_engine: MakeEngine, tmp_path: Path
) -> None:
    """gpt-oss goes on after `<|end|>`; its replies end with `<|return|>` or `<|call|>`."""
    names = ("<|return|>", "<|call|>", "<|end|>", "<|start|>", "<|channel|>", "<|message|>")
    model = make_engine(write_sliding(tmp_path / "harmony.gguf", names)).model
    tokens = {name: model.tokenize(name)[0] for name in names}
    assert [name for name in names if model.is_end(tokens[name])] == ["<|return|>", "<|call|>"]
    assert model.piece(tokens["<|end|>"]) == b"<|end|>"
