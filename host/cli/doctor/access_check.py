"""Who is let in: can a host start as the settings say, and are there keys?"""

from __future__ import annotations

from pathlib import Path

from host.access.keys import KeyFile, KeyRefused
from host.access.opening import is_reached_by_others
from host.cli.doctor.checks import Check, bad, good
from host.settings import ServerSettings

NAME = "access"


def check_access(server: ServerSettings, folder: Path) -> Check:
    """As a host over that data directory would find it."""
    file = KeyFile(folder)
    try:
        count = len(file.all())
    except (KeyRefused, OSError) as error:
        return bad(NAME, str(error), f"mend it, or remove {file.path} and make the keys anew")
    if count:
        return good(NAME, f"with a key: there {'is one' if count == 1 else f'are {count}'}")
    if not is_reached_by_others(server.host):
        if file.path.exists():
            remedy = f"llamachat keys add NAME; or, to open the host, remove {file.path}"
            return bad(NAME, "all keys are revoked, and nobody is let in without one", remedy)
        return good(NAME, "this machine alone, without keys")
    if server.insecure:
        return good(NAME, f"everybody who reaches {server.host} (Server.Insecure)")
    finding = f"Server.Host: {server.host} lets other machines in, and there is no key"
    return bad(NAME, finding, "llamachat keys add NAME")
