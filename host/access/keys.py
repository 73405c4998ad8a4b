"""The keys that let people, programs and modules in: `access/keys.json` in the data directory.

Invariants: a key itself is kept nowhere, only its SHA-256, and of 256 random bits nothing can be
found by trying. Once a key was made the host is closed, also when the last one is revoked or the
file cannot be read: what opens it again is that the file is taken away.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock

from host.access.principal import Role
from host.access.secret import access_folder
from host.settings.places import make_private_dir

_log = logging.getLogger(__name__)

PREFIX = "lc_"
FILE_NAME = "keys.json"
_KEY_BYTES = 32
_ID_BYTES = 6
_MAX_NAME = 100


class KeyRefused(Exception):
    """What was asked of the keys cannot be done; the message says why."""


@dataclass(frozen=True)
class Key:
    """One key. `digest` is the SHA-256 of what its holder shows, in hex."""

    id: str
    name: str
    roles: frozenset[Role]
    digest: str
    made_at: str

    @staticmethod
    def read(record: dict[str, Any]) -> Key:
        """Raises KeyError, TypeError, ValueError."""
        roles = frozenset(Role(one) for one in record["roles"])
        texts = {name: str(record[name]) for name in ("id", "name", "digest", "made_at")}
        return Key(roles=roles, **texts)

    def record(self) -> dict[str, Any]:
        """As the file has it."""
        return {**asdict(self), "roles": sorted(self.roles)}


class KeyFile:
    """The keys of a data directory. `look` sees what others have changed; it costs one stat."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.path = access_folder(data_dir) / FILE_NAME
        self._seen: tuple[int, ...] | None = None
        self._keys: dict[str, Key] = {}
        self.is_there = False
        """Whether keys were ever made: the host is for those who show one."""

    def look(self) -> bool:
        """Read the file if it has changed since the last look; whether it has."""
        seen = self._stamp()
        if seen == self._seen:
            return False
        self._seen, self.is_there = seen, seen is not None
        self._keys = {}
        try:
            self._keys = {one.digest: one for one in self._read()}
        except (OSError, KeyRefused) as error:
            _log.error("no key lets anybody in: %s", error)
        return True

    def _stamp(self) -> tuple[int, ...] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError:
            return ()  # it is there, and may not be looked at
        return found.st_ino, found.st_mtime_ns, found.st_size

    def find(self, shown: str) -> Key | None:
        """The key that somebody shows. It is found by its digest, which tells nobody anything of
        the key, and compared in constant time once more."""
        digest = _digest(shown)
        found = self._keys.get(digest)
        return found if found is not None and hmac.compare_digest(found.digest, digest) else None

    @property
    def has_any(self) -> bool:
        """Whether there is a key that lets anybody in."""
        return bool(self._keys)

    def by_id(self, key_id: str) -> Key | None:
        return next((one for one in self._keys.values() if one.id == key_id), None)

    def all(self) -> list[Key]:
        """Those that stand, the oldest first. Raises KeyRefused, OSError."""
        return self._read()

    def add(self, name: str, roles: Iterable[Role]) -> tuple[Key, str]:
        """Make a key; it, and what its holder is to show. Raises KeyRefused, OSError."""
        if not (0 < len(name) <= _MAX_NAME and name.isprintable()):
            raise KeyRefused(f"NAME: expected 1 to {_MAX_NAME} printable characters, got {name!r}")
        shown = PREFIX + secrets.token_urlsafe(_KEY_BYTES)
        made_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        key_id = secrets.token_hex(_ID_BYTES)
        made = Key(key_id, name, frozenset(roles), _digest(shown), made_at)
        with self._alone():
            keys = self._read()
            if any(one.name == name for one in keys):
                raise KeyRefused(f"NAME: there is a key {name!r} already: choose another name")
            self._write([*keys, made])
        return made, shown

    def revoke(self, name: str) -> Key:
        """Take back the key of that name, or id. Raises KeyRefused, OSError."""
        with self._alone():
            keys = self._read()
            gone = next((one for one in keys if name in (one.name, one.id)), None)
            if gone is None:
                names = ", ".join(one.name for one in keys) or "none"
                raise KeyRefused(f"NAME: expected the name of a key ({names}), got {name!r}")
            self._write([one for one in keys if one is not gone])
        return gone

    def _alone(self) -> FileLock:
        make_private_dir(self._data_dir, is_own=False)
        make_private_dir(self.path.parent)
        return FileLock(self.path.with_suffix(".lock"), mode=0o600, timeout=10)

    def _read(self) -> list[Key]:
        try:
            records = json.loads(self.path.read_bytes())
            return [Key.read(one) for one in records["keys"]]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError, KeyError) as error:
            raise KeyRefused(f"{self.path} cannot be read: {error!r}") from error

    def _write(self, keys: list[Key]) -> None:
        fresh = self.path.with_name(f"{FILE_NAME}.{os.getpid()}")
        records = {"keys": [one.record() for one in keys]}
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            json.dump(records, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self.path)


def _digest(shown: str) -> str:
    return hashlib.sha256(shown.encode("utf-8", "surrogateescape")).hexdigest()
