"""Who serves which queue: the module instances that talk to this host, and to the others.

Invariant: control (cancel, quit, a question) waits in a mailbox of its own, never behind work; and
whatever ids are made up, a bounded number of instances is known.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from host.instances.instance import Instance, merged, sighting_of
from host.store.protocol import StoreUnavailable
from host.store.shares import is_within_share
from host.switchboard.memory import MemorySwitchboard
from host.switchboard.protocol import Sighting, Switchboard
from host.wakeups import until_set
from host.wire import Control, Payload

MAX_INSTANCES = 1_000  # that speak to this host
MAX_INSTANCES_OF_MODULE = 250
FOR_ANYBODY = 64  # that any one client may have, as long as there is room
EXCHANGE_S = 1.0  # how often the hosts tell each other which instances they have seen

_QUESTION = "ask-"


class ModuleDidNotAnswer(Exception):
    """A question to a module had no answer in time."""

    def __init__(self, module_id: str, command: str, timeout_s: float) -> None:
        super().__init__(
            f"module {module_id} did not answer {command!r} within {timeout_s:g} seconds"
        )


class TooManyInstances(Exception):
    """As many instances as a host knows speak to it already; the message says of what."""


class ModuleRegistry:
    """All instances by module, and what they are told and asked.

    Those that speak to other hosts are known as of the last exchange with these.
    """

    def __init__(self, switchboard: Switchboard | None = None) -> None:
        self._switchboard: Switchboard = switchboard or MemorySwitchboard()
        self._instances: dict[str, Instance] = {}
        self._displaced: list[Instance] = []
        self._elsewhere: list[Sighting] = []
        self._has_news = asyncio.Event()
        self._long_commands: dict[tuple[str, str], bool] = {}

    # -- who is there -------------------------------------------------------------------------

    def seen(
        self,
        module_id: str,
        instance_id: str,
        protocol: int,
        is_launched: Callable[[str], bool] = lambda instance_id: False,
        client: str = "",
    ) -> Instance:
        """Note a sign of life; the first one makes the instance known.

        Where there are as many as may be, it takes the place of the one that is silent for longest;
        where its client has its share of them, of the client's own. Raises TooManyInstances when
        all of these speak; not for those that `is_launched` knows.
        """
        instance = self._instances.get(instance_id)
        if instance is None:
            instance = Instance(module_id, instance_id, protocol, client)
            self._make_room(instance, is_launched)
            self._instances[instance_id] = instance
            self._has_news.set()
        instance.last_seen = time.monotonic()
        return instance

    def _make_room(self, new: Instance, is_launched: Callable[[str], bool]) -> None:
        others = list(self._instances.values())
        siblings = [one for one in others if one.module_id == new.module_id]
        for most, crowd, of in (
            (MAX_INSTANCES_OF_MODULE, siblings, f" of {new.module_id}"),
            (MAX_INSTANCES, others, ""),
        ):
            own = [one for one in crowd if one.client == new.client]
            if is_within_share(len(own) + 1, len(crowd) + 1, most, FOR_ANYBODY):
                continue
            limit, in_the_way = f"{most} instances{of}", crowd
            if len(crowd) < most:
                limit, in_the_way = f"{len(own)} instances{of} from your address", own
            self._displace(new, in_the_way, limit, is_launched)
            return

    def _displace(
        self,
        new: Instance,
        crowd: list[Instance],
        limit: str,
        is_launched: Callable[[str], bool],
    ) -> None:
        silent = [one for one in crowd if not one.is_alive and not is_launched(one.instance_id)]
        if silent:
            oldest = min(silent, key=lambda one: one.last_seen)
            self.forget(oldest.module_id, oldest.instance_id)
            self._displaced.append(oldest)
        elif not is_launched(new.instance_id):
            raise TooManyInstances(
                f"instanceId: expected one of the {limit} that speak to this host, which is as "
                f"many as it takes, got a new one: {new.instance_id}"
            )

    def tells(self, instance: Instance, status: dict[str, Any]) -> None:
        """Note what an instance says of itself."""
        if status.get("state") != instance.status.get("state"):
            self._has_news.set()
        instance.status, instance.status_at = status, time.monotonic()

    def instances(self, module_id: str) -> list[Instance]:
        """Every instance of a module, with what all hosts together know of it."""
        wanted = module_id.lower()
        known = {
            one.instance_id: one
            for one in self._instances.values()
            if one.module_id.lower() == wanted
        }
        for sighting in self._elsewhere:
            if sighting.module_id.lower() == wanted:
                here = known.get(sighting.instance_id)
                known[sighting.instance_id] = merged(here, sighting)
        return list(known.values())

    def served(self, module_id: str) -> int:
        """How many commands its instances have ended, as far as they are known."""
        wanted = module_id.lower()
        known: Iterable[Instance | Sighting] = chain(self._instances.values(), self._elsewhere)
        return sum(one.commands_served for one in known if one.module_id.lower() == wanted)

    def is_hopeless(self, instance: Instance) -> bool:
        """It has failed while another instance of its module has not: that one is to be given what
        this one would only refuse, and faster than that one can work."""
        return instance.has_failed and any(
            one.is_alive and not one.has_failed for one in self.instances(instance.module_id)
        )

    def find(self, instance_id: str) -> Instance | None:
        """The instance as this host has seen it, or else as another has."""
        if instance_id in self._instances:
            return self._instances[instance_id]
        elsewhere = (one for one in self._elsewhere if one.instance_id == instance_id)
        return next((merged(None, one) for one in elsewhere), None)

    def forget(self, module_id: str, instance_id: str) -> None:
        """The process is gone: so is its mailbox."""
        self._instances.pop(instance_id, None)
        self._elsewhere = [one for one in self._elsewhere if one.instance_id != instance_id]
        self._switchboard.drop(instance_id)
        self._has_news.set()

    def long_dead(self) -> list[Instance]:
        """Instances that spoke to this host, and have been dead for so long that nobody asks, or
        had to make room for others since the last call."""
        displaced = [one for one in self._displaced if one.instance_id not in self._instances]
        self._displaced = []
        return displaced + [one for one in self._instances.values() if one.is_long_dead]

    def was_away(self, seconds: float) -> None:
        """This host was stopped for so long: nobody could be seen."""
        for one in self._instances.values():
            one.last_seen += seconds

    async def refresh(self) -> None:
        """Tell the other hosts who is here, and hear who is there. May raise StoreUnavailable."""
        self._has_news.clear()
        alive = [sighting_of(one) for one in self._instances.values() if one.is_alive]
        self._elsewhere = await self._switchboard.exchange(alive)

    async def run(self) -> None:
        """Exchange with the other hosts until cancelled; at once when there is news."""
        while True:
            try:
                await self.refresh()
            except StoreUnavailable:  # what was heard last stands until it is too old
                await asyncio.sleep(EXCHANGE_S)
            await until_set(self._has_news, EXCHANGE_S)

    # -- what they are told -------------------------------------------------------------------

    async def post(self, instance: Instance, control: Control) -> None:
        """Put a message into the mailbox of an instance, whichever host it polls."""
        await self._switchboard.post(instance.instance_id, control)

    async def post_cancel(self, instance_id: str | None, command_id: str) -> None:
        """Tell the instance that runs a command to stop it; nobody there is no error."""
        instance = self.find(instance_id) if instance_id else None
        if instance is not None and instance.protocol >= 2:  # the mirror tells the others
            await self.post(instance, {"type": "cancel", "commandId": command_id})

    def poke(self, instance: Instance) -> None:
        """Make waiting polls of an instance look again at what they may take."""
        self._switchboard.poke(instance.instance_id)

    async def wait_for_mail(self, instance: Instance, timeout_s: float) -> None:
        """Return when something came into the mailbox, the instance was poked, or time is over."""
        await self._switchboard.wait(instance.instance_id, timeout_s)

    async def take_mail(self, instance: Instance) -> list[Control]:
        """All that the instance is to be told."""
        return await self._switchboard.collect(instance.instance_id)

    async def take_one(self, instance: Instance) -> Control | None:
        """The next thing that the instance is to be told."""
        mail = await self._switchboard.collect(instance.instance_id, limit=1)
        return mail[0] if mail else None

    # -- what they are asked ------------------------------------------------------------------

    async def ask(self, instance: Instance, payload: Payload, timeout_s: float) -> dict[str, Any]:
        """Put a system command before an instance and wait for its answer.

        Raises ModuleDidNotAnswer.
        """
        reqid = _QUESTION + secrets.token_hex(16)
        control: Control = {"type": "request", "reqid": reqid, "payload": payload}
        answer = await self._switchboard.ask(instance.instance_id, control, timeout_s)
        if answer is None:
            raise ModuleDidNotAnswer(instance.module_id, payload["command"], timeout_s)
        return answer

    async def answered(self, reqid: str, answer: dict[str, Any]) -> bool:
        """Hand an answer to whoever asked; False when nobody waits for this id."""
        return reqid.startswith(_QUESTION) and await self._switchboard.answer(reqid, answer)

    # -- what is known of routes --------------------------------------------------------------

    def learn(self, queue: str, command: str, is_long: bool) -> None:
        """Remember what the first answer to an unmarked route showed about it."""
        self._long_commands[queue, command] = is_long

    def is_long(self, queue: str, command: str) -> bool | None:
        """What is known of an unmarked route; None before its first answer."""
        return self._long_commands.get((queue, command))

    async def open(self) -> None:
        """Take hold of the switchboard."""
        await self._switchboard.open()

    async def close(self) -> None:
        """Release every waiting poll."""
        await self._switchboard.close()
