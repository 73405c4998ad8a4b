"""What a client sees of one command, checked against what may be seen.

Invariant: whatever was seen is an exact beginning of what the module writes for that input, offsets
only grow, and an end is final.
"""

from __future__ import annotations

from typing import Any

ENDS = ("completed", "cancelled", "failed")


def counted(words: int, word: str) -> str:
    """What the example module writes: a function of its input."""
    return "".join(f"{word}{n} " for n in range(1, words + 1))


class Watch:
    """`expected` is the whole reply.

    `may_lose_tail`: the host was killed, and its local store keeps a growing reply every second:
    what a client has seen of it may be up to a second more than what was kept.
    """

    def __init__(self, command_id: str, expected: str, *, may_lose_tail: bool = False) -> None:
        self.command_id = command_id
        self.text = ""
        self.state = "queued"
        self.end: dict[str, Any] = {}
        self.is_cancel_wanted = False
        self._expected = expected
        self._may_lose_tail = may_lose_tail

    @property
    def has_ended(self) -> bool:
        return bool(self.end)

    def saw(self, status: dict[str, Any]) -> None:
        """One status, from a poll or an event, asked for from the offset `len(text)`."""
        assert not self.has_ended, f"something came after the end: {status}"
        assert status["commandId"] == self.command_id
        state = status["state"]
        assert state != "queued" or not self.text, f"it begins again after its text: {status}"
        self.text += status["delta"]
        assert self._expected.startswith(self.text), f"a gap or a repeat: {self.text!r}"
        assert status["nextOffset"] == len(self.text), status
        self.state = state
        if state in ENDS:
            self._ended(status)

    def _ended(self, status: dict[str, Any]) -> None:
        reply = status["reply"]
        assert self._expected.startswith(reply), f"a gap or a repeat: {reply!r}"
        assert self._may_lose_tail or reply == self.text, f"{reply!r} is not {self.text!r}"
        if status["state"] == "completed":
            assert reply == self._expected, f"it is not whole: {status}"
        if status["state"] == "failed":
            assert status["success"] is False and status["error"], f"no reason: {status}"
        if status["state"] == "cancelled":
            assert self.is_cancel_wanted, f"nobody has cancelled this: {status}"
        self.end = status

    def still_stands(self, status: dict[str, Any]) -> None:
        """A later look at the ended command."""
        fields = ("state", "reply", "finishedAt")
        assert [status[one] for one in fields] == [self.end[one] for one in fields], status

    @property
    def lost_characters(self) -> int:
        """How much of what was seen was not kept."""
        return max(0, len(self.text) - len(self.end["reply"]))
