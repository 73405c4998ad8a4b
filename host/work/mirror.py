"""Long commands of modules that keep their own state (the field's SDK), mirrored into the store.

Such a module is asked for its status through its queue, as pages in the field do it; what it says
is appended to the command, so that events, offsets and kept results work for it too.
Invariant: a mirror reports under the attempt of the claim that it follows, like any module.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from host.commands import Command, CommandError, Outcome
from host.instances.instance import Instance
from host.instances.registry import ModuleDidNotAnswer, ModuleRegistry
from host.store.protocol import CommandStore, StoreUnavailable
from host.wire import CANCEL_COMMAND, COMMAND_STATUS, RUNNING_ANSWER, system_payload

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.25
ANSWER_WITHIN_S = 5.0
SILENCES_ALLOWED = 6
STORE_PAUSE_S = 1.0

# what belongs to the exchange of messages rather than to the command's own status
_ENVELOPE = frozenset(
    {"success", "message", "reply", "error", "code"}
    | {"commandId", "commandStatus", "moduleId", "moduleName", "command", "requestId"}
)


class Mirror:
    """Follows one running command of one instance until it ends."""

    def __init__(
        self, store: CommandStore, registry: ModuleRegistry, instance: Instance, command: Command
    ) -> None:
        self._store = store
        self._registry = registry
        self._instance = instance
        self._command = command
        self._attempt = command.attempt or ""
        self._is_told = False
        self._silences = 0

    async def follow(self) -> None:
        """Look until the command has ended, by its module's word or by its silence."""
        while not self._command.state.is_terminal:
            try:
                found = await self._changed()
                if found is None:
                    return
                self._command = found
                await self._pass_on_cancel()
                await self._look()
            except StoreUnavailable:  # the module keeps its state: look again
                await asyncio.sleep(STORE_PAUSE_S)
            except CommandError as error:  # ended elsewhere: its process died, say
                _log.info("no longer following a command: %s", error.plain)
                return

    async def _changed(self) -> Command | None:
        """The command after the next change or look's pause; None when the claim is over."""
        found = await self._store.wait(self._command.id, self._command.version, LOOK_EVERY_S)
        return found if found is not None and found.attempt == self._attempt else None

    async def _pass_on_cancel(self) -> None:
        if self._command.is_cancel_requested and not self._is_told:
            self._is_told = True
            await self._ask(CANCEL_COMMAND)

    async def _ask(self, name: str) -> dict[str, Any] | None:
        payload = system_payload(
            self._command.queue, name, commandId=self._command.id, moduleId=self._command.module_id
        )
        try:
            return await self._registry.ask(self._instance, payload, ANSWER_WITHIN_S)
        except ModuleDidNotAnswer as error:
            _log.warning("%s", error)
            return None

    async def _look(self) -> None:
        answer = await self._ask(COMMAND_STATUS)
        if answer is None:
            await self._endure_silence()
            return
        self._silences = 0
        fields = {key: value for key, value in answer.items() if key not in _ENVELOPE}
        status = answer.get("commandStatus", RUNNING_ANSWER)
        if answer.get("success", True) and status == RUNNING_ANSWER:
            await self._append(answer, fields)
        else:
            await self._finish(answer, fields)

    async def _append(self, answer: dict[str, Any], fields: dict[str, Any]) -> None:
        text, reply = self._command.text, answer.get("reply")
        grown = reply[len(text) :] if isinstance(reply, str) and reply.startswith(text) else ""
        await self._store.append(self._command.id, self._attempt, len(text), grown, fields)

    async def _finish(self, answer: dict[str, Any], fields: dict[str, Any]) -> None:
        if isinstance(answer.get("reply"), str):
            fields["reply"] = answer["reply"]
        if answer.get("success", True):
            outcome = Outcome.of(fields)
        elif self._is_told:  # some modules know nothing of a command that they have cancelled
            outcome = Outcome.cancelled()
        else:
            outcome = Outcome.failed(str(answer.get("error") or "the module gave no reason"))
        await self._store.finish(self._command.id, self._attempt, outcome)

    async def _endure_silence(self) -> None:
        self._silences += 1
        if self._is_told:  # the field's SDK never answers after it has killed a command's task
            await self._store.finish(self._command.id, self._attempt, Outcome.cancelled())
        elif self._silences >= SILENCES_ALLOWED:
            silent_s = self._silences * ANSWER_WITHIN_S
            error = f"module {self._instance.module_id} did not answer for {silent_s:g} seconds"
            await self._store.finish(self._command.id, self._attempt, Outcome.failed(error))
