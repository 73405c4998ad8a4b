"""What every command store must do: one suite, subclassed for each implementation."""

from __future__ import annotations

import asyncio

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
from host.store.protocol import CommandStore, QueueFull
from host.wire import system_payload

QUEUE = "chat_queue"


def new(name: str = "prompt", *, is_long: bool | None = True, key: str | None = None) -> NewCommand:
    """A command with a payload of its own."""
    payload = system_payload(QUEUE, name, prompt="hello")
    return NewCommand("Chat", QUEUE, name, payload, is_long, idempotency_key=key)


async def claimed(store: CommandStore) -> tuple[str, str]:
    """A running command: its id and its attempt."""
    await store.create(new())
    command = await store.claim(QUEUE, "worker", wait_s=0)
    assert command is not None and command.attempt is not None
    return command.id, command.attempt


class StoreSuite:
    """`store` comes from the subclass's module, as a fixture."""

    async def test_commands_are_claimed_in_order_and_once(self, store: CommandStore) -> None:
        made = [await store.create(new()) for _ in range(3)]
        taken = [await store.claim(QUEUE, "worker", wait_s=0) for _ in range(4)]
        assert [c.id if c else None for c in taken] == [*(c.id for c in made), None]
        assert all(c.state is State.RUNNING for c in taken if c)

    async def test_ids_cannot_be_guessed_and_differ(self, store: CommandStore) -> None:
        ids = {(await store.create(new())).id for _ in range(100)}
        assert len(ids) == 100 and all(len(one) == 32 for one in ids)

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
        assert (await store.fail(command_id, "late")).state is State.COMPLETED
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
        assert command is not None and command.id == command_id and command.attempts == 2

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
        await store.finish(command_id, attempt, Outcome.of({"success": True}))
        assert await store.running("worker") == []

    async def test_failing_ends_what_waits_and_what_runs(self, store: CommandStore) -> None:
        running, _ = await claimed(store)
        waiting = (await store.create(new())).id
        for one in (running, waiting):
            ended = await store.fail(one, "the module is gone")
            assert ended.state is State.FAILED
            assert ended.result["error"] == "the module is gone"
        assert await store.queued(QUEUE) == []

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
