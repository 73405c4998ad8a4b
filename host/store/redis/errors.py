"""What can be wrong between a host and its Redis, in plain words.

Invariant: no message holds a password.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    TimeoutError,
)

_AWAY = "is it running, and may this machine reach it?"


class ConnectionLost(Exception):
    """The connection ended before an answer came: what was asked may have been done."""

    def __init__(self, why: BaseException | str) -> None:
        super().__init__(str(why))
        self.why = why


def spoken_url(url: str) -> str:
    """The address without user and password."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}{parts.path}"


def plain_words(error: BaseException) -> str:
    """What is wrong and what to do about it."""
    if isinstance(error, ConnectionLost) and isinstance(error.why, BaseException):
        return plain_words(error.why)
    if isinstance(error, AuthenticationError) or _starts(error, "NOAUTH", "WRONGPASS", "NOPERM"):
        return f"it does not let this host in ({error}): put user and password into Server.Store"
    if isinstance(error, BusyLoadingError):
        return "it is still loading its data: wait until it has"
    if isinstance(error, ReadOnlyError):
        return "it is a read-only replica: name the primary in Server.Store"
    if isinstance(error, OutOfMemoryError):
        return (
            "its memory is full: commands can end and be deleted, none can begin; raise its "
            "maxmemory, or keep commands for less time (KeepHours)"
        )
    if _starts(error, "FORMAT"):
        return f"a later version of this program works with it ({error}): update this host"
    if _starts(error, "MISCONF", "NOREPLICAS"):
        return f"it cannot write ({error}): look at its disk and its log"
    if isinstance(error, (ConnectionError, TimeoutError, ConnectionLost, OSError)):
        return f"{error or type(error).__name__}: {_AWAY}"
    return f"{error or type(error).__name__}"


def is_away(error: BaseException) -> bool:
    """Whether nobody answers there, or not yet; not that who answers cannot be used."""
    if isinstance(error, ConnectionLost) and isinstance(error.why, BaseException):
        return is_away(error.why)
    if isinstance(error, AuthenticationError):
        return False
    return isinstance(error, (ConnectionError, TimeoutError, ConnectionLost, OSError))


def _starts(error: BaseException, *codes: str) -> bool:
    return str(error).startswith(codes)
