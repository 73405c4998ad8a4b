"""The number of threads follows what steps take."""

from __future__ import annotations

from collections.abc import Callable

from llama_engine.schedule.thread_choice import ThreadChoice

QUIET = {2: 12.0, 1: 19.0}
BUSY = {2: 190.0, 1: 20.0}


def run(choice: ThreadChoice, takes: dict[int, float], lasting_ms: float) -> float:
    """Steps of one reply for so long; returns the mean time of a step."""
    steps, spent_ms = 0, 0.0
    while spent_ms < lasting_ms:
        took_ms = takes[choice.threads]
        choice.learn(1, took_ms)
        steps, spent_ms = steps + 1, spent_ms + took_ms
    return spent_ms / steps


def test_on_a_quiet_machine_all_are_used() -> None:
    choice = ThreadChoice(2)
    assert run(choice, QUIET, 60_000) < 12.3
    assert choice.threads == 2


def test_beside_a_busy_process_one_less_is() -> None:
    choice = ThreadChoice(2)
    run(choice, QUIET, 10_000)
    run(choice, BUSY, 600)
    assert choice.threads == 1
    assert run(choice, BUSY, 120_000) < 24
    run(choice, QUIET, 20_000)
    assert choice.threads == 2


def test_half_speed_is_noticed_as_soon() -> None:
    choice = ThreadChoice(2)
    run(choice, QUIET, 60_000)
    run(choice, {2: 38.0, 1: 20.0}, 1_000)
    assert choice.threads == 1


def test_also_when_it_was_busy_from_the_start() -> None:
    choice = ThreadChoice(2)
    run(choice, BUSY, 5_000)
    assert run(choice, BUSY, 60_000) < 25


def test_a_try_is_given_up_when_the_number_of_replies_changes() -> None:
    choice = ThreadChoice(4)
    generating = 0

    def step(took: Callable[[int], float]) -> None:
        nonlocal generating
        generating = generating % 3 + 1
        choice.learn(generating, took(choice.threads))

    for _ in range(2_000):
        step(lambda threads: 48.0 / threads)
    assert choice.threads == 4


def test_one_thread_is_one_thread() -> None:
    choice = ThreadChoice(1)
    run(choice, {1: 19.0}, 10_000)
    assert choice.threads == 1


def test_all_are_used_again_soon_while_the_number_of_replies_changes() -> None:
    choice = ThreadChoice(2)
    run(choice, BUSY, 5_000)
    assert choice.threads == 1
    for step in range(600):
        generating = 1 + step // 3 % 4
        choice.learn(generating, QUIET[choice.threads] * generating)
    assert choice.threads == 2
