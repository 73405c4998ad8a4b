"""Who serves which queue: the module instances that talk to this host, and their mailboxes.

Invariant: control (cancel, quit, a question) waits in a mailbox of its own, never behind work.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from host.wakeups import Wakeups
from host.wire import Control, Payload

ALIVE_S = 45.0  # modules poll every 15 s at the latest: three missed polls, and it is gone


class ModuleDidNotAnswer(Exception):
    """A question to a module had no answer in time."""

    def __init__(self, module_id: str, command: str, timeout_s: float) -> None:
        super().__init__(
            f"module {module_id} did not answer {command!r} within {timeout_s:g} seconds"
        )


@dataclass
class Instance:
    """One module process, as it shows itself. `protocol` is 1 for modules of the field's SDK."""

    module_id: str
    instance_id: str
    protocol: int
    first_seen: float = field(default_factory=time.time)
    last_seen: float = field(default_factory=time.time)
    status: dict[str, Any] = field(default_factory=dict)
    mailbox: deque[Control] = field(default_factory=deque)
    commands_served: int = 0
    has_polled: bool = False
    is_quitting: bool = False
    is_exclusive_busy: bool = False  # part 1 only: a long command runs, or may turn out to be one

    @property
    def is_ready(self) -> bool:
        """Takes commands: it says so itself or, in protocol 1, asks for them."""
        if self.protocol == 1:
            return self.has_polled
        return self.status.get("state") in ("ready", "failed")  # failed: it answers with the reason

    @property
    def is_alive(self) -> bool:
        return time.time() - self.last_seen < ALIVE_S


class ModuleRegistry:
    """All instances by module, and the questions that wait for their answers."""

    def __init__(self) -> None:
        self._instances: dict[str, dict[str, Instance]] = {}
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._mail = Wakeups()
        self._long_commands: dict[tuple[str, str], bool] = {}
        self._is_closed = False

    def seen(self, module_id: str, instance_id: str, protocol: int) -> Instance:
        """Note a sign of life; the first one makes the instance known."""
        instances = self._instances.setdefault(module_id.lower(), {})
        instance = instances.get(instance_id)
        if instance is None:
            instance = instances[instance_id] = Instance(module_id, instance_id, protocol)
        instance.last_seen = time.time()
        return instance

    def instances(self, module_id: str) -> list[Instance]:
        return list(self._instances.get(module_id.lower(), {}).values())

    def find(self, instance_id: str) -> Instance | None:
        for instances in self._instances.values():
            if instance_id in instances:
                return instances[instance_id]
        return None

    def forget(self, module_id: str, instance_id: str) -> None:
        """The process is gone: so is its mailbox."""
        self._instances.get(module_id.lower(), {}).pop(instance_id, None)

    def post(self, instance: Instance, control: Control) -> None:
        instance.mailbox.append(control)
        self._mail.wake(instance.instance_id)

    def post_cancel(self, instance_id: str | None, command_id: str) -> None:
        """Tell the instance that runs a command to stop it; nobody there is no error."""
        instance = self.find(instance_id) if instance_id else None
        if instance is not None and instance.protocol >= 2:  # the mirror tells the others
            self.post(instance, {"type": "cancel", "commandId": command_id})

    def poke(self, instance: Instance) -> None:
        """Make waiting polls of an instance look again at what they may take."""
        self._mail.wake(instance.instance_id)

    async def wait_for_mail(self, instance: Instance, timeout_s: float) -> None:
        """Return when something came into the mailbox, the instance was poked, or time is over."""
        if not instance.mailbox and not self._is_closed:
            await self._mail.wait(instance.instance_id, timeout_s)

    def take_mail(self, instance: Instance) -> list[Control]:
        mail = list(instance.mailbox)
        instance.mailbox.clear()
        return mail

    async def ask(self, instance: Instance, payload: Payload, timeout_s: float) -> dict[str, Any]:
        """Put a system command before an instance and wait for its answer.

        Raises ModuleDidNotAnswer.
        """
        reqid = secrets.token_hex(16)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[reqid] = future
        self.post(instance, {"type": "request", "reqid": reqid, "payload": payload})
        try:
            return await asyncio.wait_for(future, timeout_s)
        except asyncio.TimeoutError:
            raise ModuleDidNotAnswer(instance.module_id, payload["command"], timeout_s) from None
        finally:
            self._answers.pop(reqid, None)

    def answered(self, reqid: str, answer: dict[str, Any]) -> bool:
        """Hand an answer to whoever asked; False when nobody waits for this id."""
        future = self._answers.get(reqid)
        if future is None or future.done():
            return False
        future.set_result(answer)
        return True

    def learn(self, queue: str, command: str, is_long: bool) -> None:
        """Remember what the first answer to an unmarked route showed about it."""
        self._long_commands[queue, command] = is_long

    def is_long(self, queue: str, command: str) -> bool | None:
        """What is known of an unmarked route; None before its first answer."""
        return self._long_commands.get((queue, command))

    def close(self) -> None:
        """Release every waiting poll."""
        self._is_closed = True
        self._mail.wake_all()
