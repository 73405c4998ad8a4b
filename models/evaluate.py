"""Ask a guide the questions of `held_out.md` and print what it answers.

    python -m models.evaluate models/guide.gguf

Exit status 0 if at least seven in ten answers have the words that they must have.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llama_cpp import Llama

HERE = Path(__file__).resolve().parent
NEEDED = 0.7


def held_out(path: Path = HERE / "held_out.md") -> Iterator[tuple[str, list[str]]]:
    """The questions with the words that their answers must have."""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("- "):
            question, _, words = line[2:].partition(" => ")
            yield question, words.split(", ")


def ask(model: Llama, question: str, system_prompt: str | None, temperature: float) -> str:
    """The whole answer of the model to one question."""
    messages: list[Any] = [{"role": "user", "content": question}]
    if system_prompt is not None:
        messages.insert(0, {"role": "system", "content": system_prompt})
    reply: Any = model.create_chat_completion(messages, max_tokens=400, temperature=temperature)
    choice = reply["choices"][0]
    is_cut_off = choice["finish_reason"] != "stop"
    return str(choice["message"]["content"]) + (" [cut off]" if is_cut_off else "")


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask a guide questions that it has not seen.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--system-prompt")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--quiet", action="store_true", help="print the wrong answers only")
    options = parser.parse_args()
    model = Llama(str(options.model), n_ctx=2048, verbose=False)
    right = asked = 0
    for question, words in held_out():
        answer = ask(model, question, options.system_prompt, options.temperature)
        is_right = all(word in answer for word in words) and "[cut off]" not in answer
        asked, right = asked + 1, right + is_right
        if not (is_right and options.quiet):
            print(f"{'   ' if is_right else '!! '}{question}\n{answer}\n")
    print(f"{right} of {asked} right")
    sys.exit(right < NEEDED * asked)


if __name__ == "__main__":
    main()
