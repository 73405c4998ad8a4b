"""The one secret of a data directory, and what is made of it.

Invariant: only its user can read it, and nobody ever sees half of it. Whoever has it is whoever
they like: hosts that share a store may share it, others must not.
"""

from __future__ import annotations

import hmac
import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path

from host.settings.places import make_private_dir

_log = logging.getLogger(__name__)

FOLDER = "access"
_NAME = "secret"
_BYTES = 32


def access_folder(data_dir: Path) -> Path:
    """Where the secret and the keys of a data directory lie."""
    return data_dir / FOLDER


def open_secret(data_dir: Path) -> bytes:
    """The secret, made where there is none. What cannot be kept is one for this process alone."""
    folder = access_folder(data_dir)
    try:
        if (found := read_secret(data_dir)) is not None:
            return found
        make_private_dir(data_dir, is_own=False)
        make_private_dir(folder)
        return _made(folder)
    except OSError as error:
        _log.warning("the sessions of browsers end with this host: %s", error)
        return secrets.token_bytes(_BYTES)


def read_secret(data_dir: Path) -> bytes | None:
    """The secret, where there is one. Raises OSError where it may not be read."""
    try:
        found = (access_folder(data_dir) / _NAME).read_bytes()
    except FileNotFoundError:
        return None
    return found if len(found) >= _BYTES else None


def _made(folder: Path) -> bytes:
    """Another host may make it at the same moment: the first one's stands."""
    fresh = folder / f"{_NAME}.{secrets.token_hex(8)}"
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(_BYTES))
    try:
        with suppress(FileExistsError):
            os.link(fresh, folder / _NAME)
    finally:
        fresh.unlink()
    return (folder / _NAME).read_bytes()


def derived(secret: bytes, purpose: str) -> str:
    """A token for one purpose, from which neither the secret nor another token can be found."""
    return hmac.digest(secret, purpose.encode(), "sha256").hex()


def session_key(secret: bytes) -> str:
    """What browsers' cookies are signed with, by a host that shares its store with no other."""
    return derived(secret, "sessions")


def own_token(secret: bytes) -> str:
    """What the host's own user shows, from the command line."""
    return derived(secret, "own user")


def module_token(secret: bytes) -> str:
    """What the modules show that a host launches."""
    return derived(secret, "launched module")
