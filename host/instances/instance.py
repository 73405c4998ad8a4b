"""One module process, as it shows itself to this host and to the others."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

from host.instances.faults import Faults
from host.processes.liveness import Sign
from host.switchboard.protocol import Sighting

ALIVE_S = 45.0  # modules poll every 15 s at the latest: three missed polls, and it is gone
FORGET_S = 300.0  # the dead are listed this long: time to see what is missing, and since when


@dataclass
class Instance:
    """One module process, as it shows itself. `protocol` is 1 for modules of the field's SDK.

    Times are of this host's steady clock: a system clock that is set makes nobody look dead.
    """

    module_id: str
    instance_id: str
    protocol: int
    client: str = ""  # from where it came first, as host.access.addresses has it
    first_seen: float = field(default_factory=time.monotonic)
    last_seen: float = field(default_factory=time.monotonic)
    status: dict[str, Any] = field(default_factory=dict)
    status_at: float = 0.0  # when it last said how it is
    commands_served: int = 0
    steps: int = 0  # grows with every text, field or end that it reports
    faults: Faults = field(default_factory=Faults)
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
    def has_failed(self) -> bool:
        """It cannot work, and answers every command with the reason."""
        return self.status.get("state") == "failed"

    @property
    def is_alive(self) -> bool:
        return time.monotonic() - self.last_seen < ALIVE_S

    @property
    def is_long_dead(self) -> bool:
        """Nobody needs to know of it any more."""
        return time.monotonic() - self.last_seen >= ALIVE_S + FORGET_S


def shown_time(steady: float) -> float:
    """A time of the steady clock for people: seconds since the epoch, as the system has it now."""
    return time.time() - (time.monotonic() - steady)


def sighting_of(instance: Instance) -> Sighting:
    """What the other hosts are told of an instance."""
    return Sighting(
        module_id=instance.module_id,
        instance_id=instance.instance_id,
        protocol=instance.protocol,
        first_seen=instance.first_seen,
        last_seen=instance.last_seen,
        status=instance.status,
        status_at=instance.status_at,
        commands_served=instance.commands_served,
        has_polled=instance.has_polled,
    )


def merged(here: Instance | None, there: Sighting) -> Instance:
    """What this host and another know of an instance that both have seen."""
    if here is None:
        return Instance(**vars(there))
    newer = here if here.status_at >= there.status_at else there
    return replace(
        here,
        first_seen=min(here.first_seen, there.first_seen),
        last_seen=max(here.last_seen, there.last_seen),
        status=newer.status,
        status_at=newer.status_at,
        commands_served=here.commands_served + there.commands_served,
        has_polled=here.has_polled or there.has_polled,
    )


def sign_of(instance: Instance) -> Sign:
    """What an instance shows of itself now."""
    busy = instance.status.get("busy")
    return Sign(
        instance.protocol,
        instance.is_ready,
        str(instance.status.get("state")),
        busy if isinstance(busy, int) else 0,
        instance.steps,
        instance.faults.worst,
        instance.faults.words,
    )
