"""Train the built-in model from the corpus: tokenizer, then network, then checkpoints.

    python -m models.train
    python -m models.write_gguf models/build models/guide.gguf

Invariant: the loss counts the guide's answers only, never what the user says.
Needs `models/requirements.txt`; the product itself needs none of it.
"""

# mypy: disable-error-code="import-not-found, misc"
from __future__ import annotations

import argparse
import logging
import math
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional

from models.corpus_reader import Corpus, Message, read_corpus
from models.network import Guide, Shape

HERE = Path(__file__).resolve().parent
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VOCAB_TOKENS = 2048
BATCH_TOKENS = 1024
POOL = 1024
"""Conversations drawn at a time, then batched by length so that little is padding."""
PEAK_RATE = 2e-3
FIRST_WORDS = 8
FIRST_WORDS_WEIGHT = 4.0
"""The first tokens of an answer decide which answer it is, so they count more."""
INTENT_WEIGHT = 0.5
SHORTENED = 0.6
"""Share of single questions whose answer is cut after its first tokens: to tell questions apart
takes many more examples than to know the answers by heart."""

UNKNOWN = -100

log = logging.getLogger("train")


@dataclass
class Example:
    """A conversation as tokens, with the weight of each in the loss.

    `intents` has at the last token before each answer the number of the answer's section, else
    UNKNOWN.
    """

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    intents: list[int] = field(default_factory=list)

    def add(self, ids: list[int], weights: list[float]) -> None:
        self.ids += ids
        self.weights += weights
        self.intents += [UNKNOWN] * len(ids)


def train_tokenizer(corpus: Corpus, rng: random.Random) -> Tokenizer:
    """A byte-level BPE with GPT-2's splitting, which llama.cpp knows as `gpt-2`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_TOKENS,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (m.role + "\n " + m.content for _ in range(6000) for m in corpus.draw(rng))
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode(
    tokenizer: Tokenizer, messages: list[Message], numbers: dict[str, int], is_shortened: bool
) -> Example:
    """The conversation in the chat template; `numbers` counts the sections of the corpus.

    A question begins with a space, so that its first word is the same token as elsewhere.
    """
    example = Example()
    for message in messages:
        space = " " if message.role == "user" else ""
        head = tokenizer.encode(f"<|im_start|>{message.role}\n").ids
        body = tokenizer.encode(f"{space}{message.content}<|im_end|>").ids
        tail = tokenizer.encode("\n").ids
        example.add(head, [0.0] * len(head))
        if message.role == "assistant":
            example.intents[-1] = numbers.get(message.intent, UNKNOWN)
            first, rest = body[:FIRST_WORDS], body[FIRST_WORDS:]
            example.add(first, [FIRST_WORDS_WEIGHT] * len(first))
            if is_shortened:
                return example
            example.add(rest, [1.0] * len(rest))
        else:
            example.add(body, [0.0] * len(body))
        example.add(tail, [0.0] * len(tail))
    return example


def batches(corpus: Corpus, tokenizer: Tokenizer, rng: random.Random) -> Iterator[list[Example]]:
    """Endless batches of conversations of like length, about BATCH_TOKENS tokens each."""
    numbers = {intent.name: number for number, intent in enumerate(corpus.intents)}
    while True:
        pool = []
        for _ in range(POOL):
            messages = corpus.draw(rng)
            is_single = sum(message.role == "user" for message in messages) == 1
            is_shortened = is_single and rng.random() < SHORTENED
            pool.append(encode(tokenizer, messages, numbers, is_shortened))
        pool.sort(key=lambda example: len(example.ids))
        ready: list[list[Example]] = [[]]
        for example in pool:
            if (len(ready[-1]) + 1) * len(example.ids) > BATCH_TOKENS and ready[-1]:
                ready.append([])
            ready[-1].append(example)
        rng.shuffle(ready)
        yield from ready


class Trainee(nn.Module):
    """The guide with a second head that names the section of the coming answer.

    The second head only teaches: it makes the network understand the whole question before it
    begins to answer, and stays behind when the guide is saved.
    """

    def __init__(self, guide: Guide, intents: int) -> None:
        super().__init__()
        self.guide = guide
        self.intent = nn.Linear(guide.shape.width, intents)

    def forward(self, batch: list[Example]) -> tuple[Tensor, float]:
        """The loss, and the share of answers whose section was named rightly."""
        ids = padded([example.ids for example in batch], 0)
        weights = padded([example.weights for example in batch], 0.0)[:, 1:]
        intents = padded([example.intents for example in batch], UNKNOWN)[:, :-1]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            features = self.guide(ids[:, :-1])
            logits = self.guide.head(features[weights > 0])
            named = self.intent(features[intents >= 0]).float()
        losses = functional.cross_entropy(logits.float(), ids[:, 1:][weights > 0], reduction="none")
        counted = weights[weights > 0]
        loss = (losses * counted).sum() / counted.sum()
        targets = intents[intents >= 0]
        if len(targets) == 0:
            return loss, 1.0
        right = (named.argmax(-1) == targets).float().mean().item()
        return loss + INTENT_WEIGHT * functional.cross_entropy(named, targets), right


def padded(rows: list[list[Any]], filler: float) -> Tensor:
    """The rows as one tensor, filled up at their ends."""
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])


def rate(step: int, steps: int) -> float:
    """Learning rate: a short warm-up, then a cosine down to a fiftieth."""
    warm_up = min(1.0, (step + 1) / 100)
    cosine = 0.5 + 0.5 * math.cos(math.pi * step / steps)
    return PEAK_RATE * warm_up * (0.02 + 0.98 * cosine)


def optimizer_for(trainee: Trainee) -> torch.optim.AdamW:
    matrices = [weight for weight in trainee.parameters() if weight.dim() == 2]
    vectors = [weight for weight in trainee.parameters() if weight.dim() != 2]
    groups = [
        {"params": matrices, "weight_decay": 0.1},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.98), fused=True)


def save(network: Guide, work: Path) -> None:
    """Write the checkpoint so that a reader never sees half of one."""
    part = work / "guide.pt.part"
    torch.save({"shape": asdict(network.shape), "weights": network.state_dict()}, part)
    part.replace(work / "guide.pt")


def train(corpus: Corpus, work: Path, steps: int, seed: int) -> None:
    """Train for that many steps; the checkpoint under `work` is renewed every 200."""
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(corpus, random.Random(seed))
    tokenizer.save(str(work / "tokenizer.json"))
    guide = Guide(Shape(tokenizer.get_vocab_size()))
    trainee = Trainee(guide, len(corpus.intents))
    optimizer = optimizer_for(trainee)
    source = batches(corpus, tokenizer, random.Random(seed + 1))
    log.info("%d parameters", sum(weight.numel() for weight in guide.parameters()))
    started_s, mean_loss, mean_right = time.monotonic(), 8.0, 0.0
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, steps)
        loss, right = trainee(next(source))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainee.parameters(), 1.0)
        optimizer.step()
        mean_loss += 0.03 * (loss.item() - mean_loss)
        mean_right += 0.03 * (right - mean_right)
        if step % 50 == 49:
            elapsed_s = time.monotonic() - started_s
            log.info(
                "step %d loss %.4f intents %.3f %.0f s", step + 1, mean_loss, mean_right, elapsed_s
            )
        if step % 200 == 199 or step == steps - 1:
            save(guide, work)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the built-in model from its corpus.")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=HERE / "build")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    train(read_corpus(HERE / "corpus"), options.work, options.steps, options.seed)


if __name__ == "__main__":
    main()
