"""What every command store must do: one suite, subclassed for each implementation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from host.commands import (
    CancelAnswer,
    IllegalMove,
    NewCommand,
    Outcome,
    StaleAttempt,
    State,
    UnknownCommand,
)
from host.store.protocol import Append, CommandStore, QueueFull
from host.store.shares import PLACES_FOR_ANYBODY
from host.wire import system_payload

QUEUE = "chat_queue"


def new(
    name: str = "prompt", *, is_long: bool | None = True, key: str | None = None, **more: Any
) -> NewCommand:
    """A command with a payload of its own."""
    payload = system_payload(QUEUE, name, prompt="hello")
    return NewCommand("Chat", QUEUE, name, payload, is_long, idempotency_key=key, **more)


async def claimed(store: CommandStore, **more: Any) -> tuple[str, str]:
    """A running command: its id and its attempt."""
    await store.create(new(**more))
    command = await store.claim(QUEUE, "worker", wait_s=0)
    assert command is not None and command.attempt is not None
    return command.id, command.attempt


async def clients_in_turn(store: CommandStore, count: int) -> list[str]:
    """The clients of the next commands, in the order of their claims."""
    taken = [await store.claim(QUEUE, "worker", wait_s=0) for _ in range(count)]
    return [command.client for command in taken if command is not None]


async def until(is_so: Callable[[], Awaitable[Any]], limit_s: float = 10.0) -> None:
    """Wait for what only the clock brings about."""
    deadline = time.monotonic() + limit_s
    while not await is_so():
        assert time.monotonic() < deadline, "it has not come about"
        await asyncio.sleep(0.01)


class StoreSuite:
    """`store` and `small_store` come from the subclass's module, as fixtures.

    Both are open. In `small_store` a queue holds three commands, and a first lease is 50 ms.
    """

    async def test_commands_are_claimed_in_order_and_once(self, store: CommandStore) -> None:
        made = [await store.create(new()) for _ in range(3)]
        taken = [await store.claim(QUEUE, "worker", wait_s=0) for _ in range(4)]
        assert [c.id if c else None for c in taken] == [*(c.id for c in made), None]
        assert all(c.state is State.RUNNING for c in taken if c)

    async def test_ids_cannot_be_guessed_and_differ(self, store: CommandStore) -> None:
        ids = {(await store.create(new())).id for _ in range(100)}
        assert len(ids) == 100 and all(len(one) == 32 for one in ids)

    async def test_who_owns_a_command_is_kept(self, store: CommandStore) -> None:
        made = await store.create(new(client="ip:1.2.3.4", owner="session:\xe9"))
        plain = await store.create(new())
        for one, owner in ((made, "session:\xe9"), (plain, None)):
            read = await store.read(one.id)
            assert read is not None and read.owner == one.owner == owner

    async def test_position_counts_those_that_wait(self, store: CommandStore) -> None:
        ids = [(await store.create(new())).id for _ in range(3)]
        await store.claim(QUEUE, "worker", wait_s=0)
        assert [await store.position(one) for one in ids] == [0, 1, 2]
        await store.cancel(ids[1])
        assert await store.position(ids[2]) == 1

    async def test_a_claim_waits_for_a_command(self, store: CommandStore) -> None:
        waiting = asyncio.create_task(store.claim(QUEUE, "worker", wait_s=30))
        await asyncio.sleep(0)
        made = await store.create(new())
        command = await waiting
        assert command is not None and command.id == made.id

    async def test_a_cancelled_claim_loses_no_command(self, store: CommandStore) -> None:
        waiting = asyncio.create_task(store.claim(QUEUE, "gone", wait_s=30))
        await asyncio.sleep(0)
        made = await store.create(new())
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        command = await store.claim(QUEUE, "worker", wait_s=0)
        assert command is not None and command.id == made.id

    async def test_long_commands_can_be_left_aside(self, store: CommandStore) -> None:
        await store.create(new(is_long=True))
        await store.create(new(is_long=None))
        short = await store.create(new(is_long=False))
        command = await store.claim(QUEUE, "worker", wait_s=0, is_long_allowed=False)
        assert command is not None and command.id == short.id
        assert await store.claim(QUEUE, "worker", wait_s=0, is_long_allowed=False) is None

    async def test_appending_twice_changes_nothing(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store)
        assert await store.append(command_id, attempt, 0, "hello ", {}) == 6
        assert await store.append(command_id, attempt, 0, "hello ", {}) == 6
        assert await store.append(command_id, attempt, 0, "hello world", {}) == 11
        command = await store.read(command_id)
        assert command is not None and command.text == "hello world"

    async def test_a_gap_appends_nothing_and_says_where_to_resume(
        self, store: CommandStore
    ) -> None:
        command_id, attempt = await claimed(store)
        assert await store.append(command_id, attempt, 5, "world", {}) == 0

    async def test_offsets_are_code_points(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store)
        assert await store.append(command_id, attempt, 0, "\U0001f1e8\U0001f1ed中", {}) == 3
        assert await store.append(command_id, attempt, 3, "!", {}) == 4

    async def test_fields_are_merged(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store)
        await store.append(command_id, attempt, 0, "", {"promptTokens": 7})
        await store.append(command_id, attempt, 0, "", {"completionTokens": 1})
        command = await store.read(command_id)
        assert command is not None
        assert command.fields == {"promptTokens": 7, "completionTokens": 1}

    async def test_the_end_is_final(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store)
        await store.append(command_id, attempt, 0, "part", {})
        ended = await store.finish(command_id, attempt, Outcome.of({"success": True}))
        assert ended.state is State.COMPLETED and ended.text == "part"
        with pytest.raises(StaleAttempt):
            await store.append(command_id, attempt, 4, "more", {})
        with pytest.raises(StaleAttempt):
            await store.finish(command_id, attempt, Outcome.failed("late"))
        with pytest.raises(StaleAttempt):
            await store.finish(command_id, None, Outcome.failed("late"))
        assert await store.cancel(command_id) is CancelAnswer.ALREADY_FINISHED
        again = await store.read(command_id)
        assert again is not None and again.state is State.COMPLETED and again.text == "part"

    async def test_the_result_completes_the_text(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store)
        await store.append(command_id, attempt, 0, "hel", {})
        result = {"success": True, "reply": "hello"}
        assert (await store.finish(command_id, attempt, Outcome.of(result))).text == "hello"

    async def test_the_attempt_fences_an_earlier_claim(self, store: CommandStore) -> None:
        command_id, first = await claimed(store)
        await store.requeue(command_id, first)
        command = await store.claim(QUEUE, "other", wait_s=0)
        assert command is not None and command.attempt not in (None, first)
        with pytest.raises(StaleAttempt):
            await store.append(command_id, first, 0, "late", {})
        with pytest.raises(StaleAttempt):
            await store.finish(command_id, first, Outcome.of({"success": True}))

    async def test_requeued_commands_come_first(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store)
        await store.create(new())
        await store.requeue(command_id, attempt)
        command = await store.claim(QUEUE, "worker", wait_s=0)
        assert command is not None and command.id == command_id

    async def test_what_has_shown_text_does_not_start_again(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store)
        await store.append(command_id, attempt, 0, "seen", {})
        with pytest.raises(IllegalMove):
            await store.requeue(command_id, attempt)

    async def test_cancel_has_four_answers(self, store: CommandStore) -> None:
        assert await store.cancel("no such id") is CancelAnswer.UNKNOWN
        running, attempt = await claimed(store)
        waiting = (await store.create(new())).id
        assert await store.cancel(waiting) is CancelAnswer.CANCELLED
        assert await store.cancel(waiting) is CancelAnswer.CANCELLED
        assert await store.cancel(running) is CancelAnswer.REQUESTED
        assert await store.cancel(running) is CancelAnswer.REQUESTED
        await store.finish(running, attempt, Outcome.of({"success": True}))
        assert await store.cancel(running) is CancelAnswer.ALREADY_FINISHED
        assert await store.claim(QUEUE, "worker", wait_s=0) is None

    async def test_a_known_idempotency_key_returns_the_first(self, store: CommandStore) -> None:
        first = await store.create(new(key="k"))
        assert (await store.create(new(key="k"))).id == first.id
        assert (await store.create(new(key="other"))).id != first.id
        assert len(await store.queued(QUEUE)) == 2

    async def test_what_came_with_a_key_is_known_to_its_end(self, store: CommandStore) -> None:
        first = await store.create(new(key="k", request_digest="d1"))
        attempt = ((await store.claim(QUEUE, "worker", wait_s=0)) or first).attempt
        for is_running in (True, False):
            again = await store.create(new(key="k", request_digest="d2"))
            assert (again.id, again.request_digest) == (first.id, "d1")
            if is_running:
                await store.finish(first.id, attempt, Outcome.of({"success": True}))
        assert (await store.create(new())).request_digest is None

    async def test_a_reader_wakes_for_text_state_and_fields(self, store: CommandStore) -> None:
        made = await store.create(new())
        for change in ("claim", "append", "fields", "cancel"):
            before = await store.read(made.id)
            assert before is not None
            version, attempt = before.version, before.attempt or ""
            waiting = asyncio.create_task(store.wait(made.id, version, 30))
            await asyncio.sleep(0)
            if change == "claim":
                await store.claim(QUEUE, "worker", wait_s=0)
            elif change == "append":
                await store.append(made.id, attempt, 0, "x", {})
            elif change == "fields":
                await store.append(made.id, attempt, 1, "", {"n": 1})
            else:
                await store.cancel(made.id)
            after = await waiting
            assert after is not None and after.version > version

    async def test_a_reader_comes_back_when_its_time_is_over(self, store: CommandStore) -> None:
        made = await store.create(new())
        found = await store.wait(made.id, made.version, 0.01)
        assert found is not None and found.state is State.QUEUED
        assert await store.wait("no such id", 0, 30) is None

    async def test_deleting_forgets_an_ended_command_only(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store)
        assert not await store.delete(command_id)
        await store.finish(command_id, attempt, Outcome.failed("no"))
        assert await store.delete(command_id)
        assert await store.read(command_id) is None
        assert not await store.delete(command_id)
        with pytest.raises(UnknownCommand):
            await store.append(command_id, attempt, 0, "x", {})

    async def test_running_names_a_workers_commands(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store)
        assert [c.id for c in await store.running("worker")] == [command_id]
        assert await store.workers() == ["worker"]
        await store.finish(command_id, attempt, Outcome.of({"success": True}))
        assert await store.running("worker") == []
        assert await store.workers() == []

    async def test_without_an_attempt_only_what_waits_ends(self, store: CommandStore) -> None:
        running, _ = await claimed(store)
        waiting = (await store.create(new())).id
        ended = await store.finish(waiting, None, Outcome.failed("the module is gone"))
        assert ended.state is State.FAILED and ended.result["error"] == "the module is gone"
        assert await store.queued(QUEUE) == []
        assert await store.claim(QUEUE, "worker", wait_s=0) is None
        with pytest.raises(StaleAttempt):
            await store.finish(running, None, Outcome.failed("the module is gone"))
        with pytest.raises(UnknownCommand):
            await store.finish("no such id", None, Outcome.failed("the module is gone"))

    async def test_adopting_marks_a_long_process(self, store: CommandStore) -> None:
        made = await store.create(new(is_long=None))
        await store.adopt(made.id)
        found = await store.read(made.id)
        assert found is not None and found.is_long is True

    async def test_closing_releases_everyone(self, store: CommandStore) -> None:
        made = await store.create(new())
        reader = asyncio.create_task(store.wait(made.id, made.version, 30))
        claimer = asyncio.create_task(store.claim("empty_queue", "worker", wait_s=30))
        await asyncio.sleep(0)
        await store.close()
        assert await claimer is None
        await reader

    async def test_a_full_queue_says_so(self, small_store: CommandStore) -> None:
        for _ in range(3):
            await small_store.create(new())
        with pytest.raises(QueueFull, match="3 commands wait"):
            await small_store.create(new())

    async def test_a_commands_own_limit_of_the_queue_counts(self, store: CommandStore) -> None:
        for _ in range(2):
            await store.create(new(max_queue_length=2))
        with pytest.raises(QueueFull, match="2 commands wait"):
            await store.create(new(max_queue_length=2))
        await store.create(new(max_queue_length=3))
        known = await store.create(new(key="k"))
        assert (await store.create(new(key="k", max_queue_length=1))).id == known.id

    async def test_one_client_cannot_take_all_places(self, store: CommandStore) -> None:
        async def fill(client: str) -> list[str]:
            made = []
            with pytest.raises(QueueFull) as full:
                while True:
                    made.append((await store.create(new(client=client, max_queue_length=50))).id)
            assert full.value.own in (None, len(made))
            return made

        greedy = await fill("greedy")
        assert len(greedy) == 25, "as many as it leaves for others"
        assert len(await fill("second")) == PLACES_FOR_ANYBODY
        assert len(await fill("third")) == 50 - 25 - PLACES_FOR_ANYBODY
        for command_id in greedy:
            await store.cancel(command_id)
        again = await fill("greedy")
        assert len(again) == PLACES_FOR_ANYBODY, "what was cancelled waits no more"

    async def test_one_of_b_goes_before_most_of_a(self, store: CommandStore) -> None:
        for _ in range(100):
            await store.create(new(client="a"))
        assert await clients_in_turn(store, 3) == ["a"] * 3
        last = await store.create(new(client="b"))
        assert await store.position(last.id) <= 2
        assert "b" in await clients_in_turn(store, 2)
        assert await clients_in_turn(store, 100) == ["a"] * 96

    async def test_clients_take_turns(self, store: CommandStore) -> None:
        for client in "aaaabbbcc":
            await store.create(new(client=client))
        assert "".join(await clients_in_turn(store, 9)) == "abcabcaba"

    async def test_an_idle_time_is_no_credit(self, store: CommandStore) -> None:
        for _ in range(20):
            await store.create(new(client="a"))
        await clients_in_turn(store, 10)
        for _ in range(10):
            await store.create(new(client="late"))
        order = await clients_in_turn(store, 20)
        assert 4 <= order[:10].count("late") <= 6

    async def test_a_requeued_command_keeps_its_turn(self, store: CommandStore) -> None:
        for client in "aab":
            await store.create(new(client=client))
        first = await store.claim(QUEUE, "worker", wait_s=0)
        assert first is not None
        await store.requeue(first.id, first.attempt or "")
        await store.create(new(client="c"))
        assert [c.client for c in await store.queued(QUEUE)] == ["a", "b", "c", "a"]
        assert await store.position(first.id) == 1

    async def test_positions_at_depth(self, store: CommandStore) -> None:
        made = [await store.create(new(client=f"c{n % 7}")) for n in range(700)]
        places = {one.id: n + 1 for n, one in enumerate(await store.queued(QUEUE))}
        assert len(places) == 700
        for one in made[::97]:
            assert await store.position(one.id) == places[one.id]
        await store.cancel(made[0].id)
        assert await store.position(made[350].id) == places[made[350].id] - 1
        assert await store.position(made[0].id) == 0

    async def test_the_first_wish_to_stop_stands(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store)
        assert await store.cancel(command_id, "time_limit") is CancelAnswer.REQUESTED
        assert await store.cancel(command_id) is CancelAnswer.REQUESTED
        found = await store.read(command_id)
        assert found is not None and found.stop_wish == "time_limit" and found.is_cancel_requested
        ended = await store.finish(command_id, attempt, Outcome.cancelled())
        assert ended.state is State.COMPLETED
        assert ended.result["stop_reason"] == "time_limit"

    async def test_a_wish_that_came_too_late_changes_nothing(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store)
        await store.cancel(command_id, "time_limit")
        result = {"success": True, "stop_reason": "length"}
        ended = await store.finish(command_id, attempt, Outcome.of(result))
        assert ended.state is State.COMPLETED and ended.result["stop_reason"] == "length"

    async def test_a_lease_runs_out_without_a_sign_of_life(self, small_store: CommandStore) -> None:
        command_id, attempt = await claimed(small_store)
        await until(small_store.lapsed)
        assert await small_store.lapsed() == ["worker"]
        await small_store.renew("worker", 30)
        assert await small_store.lapsed() == []
        await small_store.finish(command_id, attempt, Outcome.cancelled())

    async def test_who_holds_nothing_has_no_lease_to_lose(self, small_store: CommandStore) -> None:
        command_id, attempt = await claimed(small_store)
        await until(small_store.lapsed)
        await small_store.requeue(command_id, attempt)
        assert await small_store.lapsed() == []
        await small_store.renew("idle", 0.001)
        await asyncio.sleep(0.01)
        assert await small_store.lapsed() == []

    async def test_waiting_too_long_is_noticed(self, store: CommandStore) -> None:
        made = await store.create(new(max_wait_s=0.05))
        await store.create(new(max_wait_s=60))
        await store.create(new())
        await until(store.overdue)
        assert [c.id for c, _ in await store.overdue()] == [made.id]
        await store.finish(made.id, None, Outcome.failed("it waited too long"))
        assert await store.overdue() == []

    async def test_running_too_long_is_noticed_until_the_end(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store, max_wait_s=60, max_run_s=0.05)
        assert await store.overdue() == []
        await until(store.overdue)
        assert [c.id for c, _ in await store.overdue()] == [command_id]
        await store.cancel(command_id, "time_limit")
        assert [c.id for c, _ in await store.overdue()] == [command_id]
        await store.finish(command_id, attempt, Outcome.cancelled())
        assert await store.overdue() == []

    async def test_a_wait_counts_from_the_last_time_it_began(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store, max_wait_s=0.2)
        await asyncio.sleep(0.3)  # it runs: that is no waiting
        await store.requeue(command_id, attempt, "the module crashed")
        assert await store.overdue() == []
        await until(store.overdue)
        ((command, over_s),) = await store.overdue()
        assert command.id == command_id and 0 <= over_s < 5

    async def test_a_clock_that_jumps_fails_nothing(
        self, store: CommandStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await claimed(store, max_run_s=600)
        waiting = await store.create(new(max_wait_s=600))
        real = time.time
        for jump_s in (3600, -3600):
            monkeypatch.setattr(time, "time", lambda jump_s=jump_s: real() + jump_s)
            assert (await store.overdue(), await store.lapsed()) == ([], [])
            assert await store.read(waiting.id) is not None

    async def test_failed_attempts_are_kept_with_their_errors(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store)
        await store.requeue(command_id, attempt, "the module \ud83d crashed")
        command = await store.claim(QUEUE, "other", wait_s=0)
        assert command is not None and command.attempts == 2
        (failed,) = command.failed_attempts
        assert failed["error"] == "the module \ud83d crashed"
        assert failed["startedAt"] <= failed["endedAt"]
        ended = await store.finish(command_id, command.attempt, Outcome.failed("again"))
        assert ended.failed_attempts == [failed]

    async def test_an_attempt_that_never_began_does_not_count(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store)
        await store.requeue(command_id, attempt)
        command = await store.claim(QUEUE, "other", wait_s=0)
        assert command is not None and command.id == command_id
        assert (command.attempts, command.failed_attempts) == (1, [])

    async def test_a_limits_wish_ends_with_its_attempt(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store)
        await store.cancel(command_id, "time_limit")
        waiting = await store.requeue(command_id, attempt)
        assert waiting.state is State.QUEUED and waiting.stop_wish == ""
        command = await store.claim(QUEUE, "other", wait_s=0)
        assert command is not None and not command.is_cancel_requested

    async def test_what_its_owner_stopped_does_not_run_again(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store)
        await store.cancel(command_id)
        ended = await store.requeue(command_id, attempt)
        assert ended.state is State.CANCELLED and ended.result["stop_reason"] == "cancelled"
        assert await store.claim(QUEUE, "other", wait_s=0) is None
        stats = await store.stats(QUEUE)
        assert (stats.waiting, stats.running, stats.cancelled) == (0, 0, 1)

    async def test_what_was_asked_is_with_a_claim_alone(self, store: CommandStore) -> None:
        made = await store.create(new())
        command = await store.claim(QUEUE, "worker", wait_s=0)
        assert command is not None and command.payload == new().payload
        assert made.payload is None
        for found in [await store.read(made.id), *(await store.running("worker"))]:
            assert found is not None and found.payload is None

    async def test_a_record_that_was_read_stays_as_it_is(self, store: CommandStore) -> None:
        """A slow reader asks for what is newer than the record that it has shown."""
        command_id, attempt = await claimed(store)
        seen = await store.read(command_id)
        assert seen is not None
        await store.append(command_id, attempt, 0, "more", {"n": 1})
        assert (seen.text, seen.fields) == ("", {})
        found = await store.wait(command_id, seen.version, 30)
        assert found is not None and found.text == "more"

    async def test_a_claim_that_leaves_wakes_another(self, store: CommandStore) -> None:
        gone, waiting = (
            asyncio.create_task(store.claim(QUEUE, worker, wait_s=30)) for worker in "ab"
        )
        await asyncio.sleep(0)
        made = await store.create(new())
        gone.cancel()
        command = await waiting
        assert command is not None and command.id == made.id

    async def test_stats_count_and_measure(self, store: CommandStore) -> None:
        empty = await store.stats(QUEUE)
        assert (empty.waiting, empty.running, empty.mean_run_s) == (0, 0, None)
        ends = [Outcome.of({"success": True}), Outcome.failed("no"), Outcome.cancelled()]
        for outcome in ends:
            command_id, attempt = await claimed(store)
            await store.finish(command_id, attempt, outcome)
        await claimed(store)
        for _ in range(2):
            waiting = await store.create(new())
        stats = await store.stats(QUEUE)
        assert stats.queue == QUEUE
        assert (stats.waiting, stats.running) == (2, 1)
        assert (stats.completed, stats.failed, stats.cancelled) == (1, 1, 1)
        assert stats.mean_run_s is not None and 0 <= stats.mean_run_s < 10
        assert stats.ended_per_s > 0
        await store.cancel(waiting.id)
        after = await store.stats(QUEUE)
        assert (after.waiting, after.cancelled) == (1, 2)

    async def test_a_key_holds_while_the_first_runs_and_after_its_end(
        self, store: CommandStore
    ) -> None:
        command_id, attempt = await claimed(store, key="k")
        assert (await store.create(new(key="k"))).id == command_id
        await store.finish(command_id, attempt, Outcome.of({"success": True}))
        again = await store.create(new(key="k"))
        assert again.id == command_id and again.state is State.COMPLETED
        assert await store.delete(command_id)
        assert (await store.create(new(key="k"))).id != command_id

    async def test_a_key_used_many_times_at_once_makes_one(self, store: CommandStore) -> None:
        made = await asyncio.gather(*(store.create(new(key="k")) for _ in range(20)))
        assert len({one.id for one in made}) == 1
        assert len(await store.queued(QUEUE)) == 1

    async def test_many_claims_at_once_share_nothing(self, store: CommandStore) -> None:
        made = {(await store.create(new())).id for _ in range(20)}
        claims = (store.claim(QUEUE, f"worker {n}", wait_s=0) for n in range(30))
        taken = [one.id for one in await asyncio.gather(*claims) if one is not None]
        assert len(taken) == 20 and set(taken) == made

    async def test_of_two_ends_at_once_one_stands(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store)
        outcomes = [Outcome.of({"success": True}), Outcome.failed("no")]
        ends = await asyncio.gather(
            *(store.finish(command_id, attempt, one) for one in outcomes), return_exceptions=True
        )
        assert sum(isinstance(end, StaleAttempt) for end in ends) == 1
        stands = await store.read(command_id)
        assert stands is not None and stands.state.is_terminal

    async def test_channels_grow_side_by_side_in_one_order(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store)
        call = "tool_calls:0:weather"
        for channel, offset, text in (
            ("reply", 0, "I look "),
            ("reasoning", 0, "where is \U0001f1e8? "),
            ("reasoning", 12, "there. "),
            (call, 0, '{"city": '),
            ("reply", 7, "it up. "),
            (call, 9, '"Bern"}'),
        ):
            before = await store.read(command_id)
            assert before is not None
            length = await store.append(command_id, attempt, offset, text, {}, channel)
            assert length == offset + len(text)
            assert await store.append(command_id, attempt, offset, text, {}, channel) == length
            found = await store.wait(command_id, before.version, 30)
            assert found is not None and found.output.since(before.output.length) == [
                (channel, text)
            ]
        expected = {
            "reply": "I look it up. ",
            "reasoning": "where is \U0001f1e8? there. ",
            call: '{"city": "Bern"}',
        }
        assert found.output.texts == expected and found.text == expected["reply"]
        assert await store.append(command_id, attempt, 99, "x", {}, "reasoning") == 19
        outcome = Outcome.of({"success": True, "reply": "I look it up. Sunny."})
        ended = await store.finish(command_id, attempt, outcome)
        assert ended.text == "I look it up. Sunny."
        assert [piece.channel for piece in ended.output.since(0)] == [
            *("reply", "reasoning", call, "reply", call, "reply")
        ]
        again = await store.read(command_id)
        assert again is not None and again.output == ended.output

    async def test_what_has_thought_does_not_start_again(self, store: CommandStore) -> None:
        command_id, attempt = await claimed(store)
        await store.append(command_id, attempt, 0, "seen", {}, "reasoning")
        with pytest.raises(IllegalMove):
            await store.requeue(command_id, attempt)

    async def test_a_report_carries_all_that_a_worker_has_to_say(self, store: CommandStore) -> None:
        (one, first), (two, second) = [await claimed(store) for _ in range(2)]
        await store.cancel(two)
        reported = await store.report(
            "worker",
            [
                Append(one, first, 0, "thought", {}, "reasoning"),
                Append(one, first, 0, "中x", {"n": 1}),
                Append("nobody", first, 0, "x"),
                Append(two, "stale", 0, "x"),
                Append(two, second, 0, "text", {"n": 2}),
                Append(two, second, 0, "text and more", {"m": 3}),
            ],
        )
        assert [one if isinstance(one, int) else type(one) for one in reported.found] == [
            *(7, 2, UnknownCommand, StaleAttempt, 4, 13)
        ]
        assert reported.to_stop == [two]
        read = [await store.read(command_id) for command_id in (one, two)]
        assert [(c.text, c.fields) for c in read if c] == [
            ("中x", {"n": 1}),
            ("text and more", {"n": 2, "m": 3}),
        ]
        assert await store.report("somebody else", []) == ([], [])
        assert await store.report("worker", []) == ([], [two])

    async def test_a_gap_in_a_report_keeps_the_order_of_channels(self, store: CommandStore) -> None:
        (one, first), (two, second) = [await claimed(store) for _ in range(2)]
        reported = await store.report(
            "worker",
            [
                Append(one, first, 0, "a", {}, "reasoning"),
                Append(one, first, 5, "late", {}, "reasoning"),
                Append(one, first, 0, "out of turn", {"n": 1}),
                Append(two, second, 0, "its own", {}),
            ],
        )
        assert reported.found == [1, 1, 0, 7]
        found = await store.read(one)
        assert found is not None and found.fields == {"n": 1}
        assert (found.output.texts, found.text) == ({"reasoning": "a"}, "")

    async def test_busy_says_what_workers_run_and_for_how_long(self, store: CommandStore) -> None:
        (one, first), (two, _) = [await claimed(store) for _ in range(2)]
        await store.create(new())
        other = await store.claim(QUEUE, "other", wait_s=0)
        assert other is not None

        async def run_s() -> dict[str, float]:
            found = await store.busy("worker", "nobody", "other")
            assert {busy.queue for busy in found} == {QUEUE}
            return {busy.command_id: busy.run_s for busy in found}

        assert set(await run_s()) == {one, two, other.id} and min((await run_s()).values()) >= 0
        await until(lambda: _is_past(run_s, 0.05))
        await store.finish(one, first, Outcome.of({"success": True}))
        assert set(await run_s()) == {two, other.id}
        assert await store.busy() == []


async def _is_past(run_s: Callable[[], Awaitable[dict[str, float]]], limit_s: float) -> bool:
    return min((await run_s()).values()) > limit_s
