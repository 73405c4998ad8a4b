"""The SDK's errors. Each message says what was expected, what came, and where."""

from __future__ import annotations

MAX_SHOWN_CHARS = 100


class RequestError(ValueError):
    """A client's value cannot be used. Raised by a module, it becomes an answer with code 400."""

    def __init__(self, field: str, expected: str, got: object) -> None:
        self.field = field
        self.expected = expected
        self.got = got
        super().__init__(f"{field}: expected {expected}, got {_shown(got)}")


class HostUnavailable(ConnectionError):
    """The host did not answer, or answered with what only a host in trouble says: try again."""


class HostDenied(HostUnavailable):
    """The host wants another token, or another name for itself: try again when that is mended."""

    def __init__(self, status: int, error: str) -> None:
        self.status = status
        super().__init__(f"it answers {status}: {error}" if error else f"it answers {status}")


class HostRefused(Exception):
    """The host understood and said no: trying the same again is pointless."""

    def __init__(self, status: int, error: str) -> None:
        self.status = status
        self.error = error
        super().__init__(f"the host refused with {status}: {error}")


def describe(error: BaseException) -> str:
    """An error's own words, or its class where it has none."""
    return str(error) or type(error).__name__


def _shown(got: object) -> str:
    shown = repr(got)
    return shown if len(shown) <= MAX_SHOWN_CHARS else f"{shown[:MAX_SHOWN_CHARS]}..."
