"""What event readers are sent: built once for all at one place, anew when something changes."""

from __future__ import annotations

import json
from dataclasses import replace

from host.channels import REPLY
from host.commands import Command, State
from host.instances.load import RUNS, Place
from host.web.news import Newsroom
from host.work.follow import News


def command_with(text: str, state: State = State.RUNNING) -> Command:
    command = Command("id", "Chat", "chat_queue", "prompt", True, state=state)
    command.output = command.output.grown(REPLY, text)
    return command


def test_readers_at_one_place_get_the_same_bytes() -> None:
    room, command = Newsroom(), command_with("hello")
    with room.reader(command.id), room.reader(command.id):
        event = room.event(News(command, RUNS, 0))
        assert room.event(News(command, RUNS, 0)) is event
        assert json.loads(event.split(b"data: ")[1])["delta"] == "hello"
        behind = room.event(News(command, RUNS, 2))
        assert behind is not event and b'"delta":"llo"' in behind


def test_a_change_of_anything_is_built_anew() -> None:
    room, command = Newsroom(), command_with("hello")
    with room.reader(command.id):
        before = room.event(News(command, RUNS, 5))
        assert before.startswith(b"id: 5\nevent: status\n")
        assert room.event(News(replace(command), RUNS, 5)) is not before
        placed = room.event(News(command, Place(2, 1.5), 5))
        assert json.loads(placed.split(b"data: ")[1])["queuePosition"] == 2 and placed != before
        ended = room.event(News(command_with("hello!", State.COMPLETED), RUNS, 5))
        assert ended.startswith(b"id: 6-done\nevent: done\n")
        assert json.loads(ended.split(b"data: ")[1])["reply"] == "hello!"


def test_with_the_last_reader_its_events_leave() -> None:
    room, command = Newsroom(), command_with("hello")
    with room.reader(command.id):
        with room.reader(command.id):
            room.event(News(command, RUNS, 0))
        assert room._built
    assert not room._built and not room._readers
