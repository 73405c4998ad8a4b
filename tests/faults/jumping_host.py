"""The patient host, with a clock that is set by signals: SIGUSR1 puts it on by an hour, SIGUSR2
back by one."""

from __future__ import annotations

import signal
import time

HOUR_S = 3600.0

_real = time.time
_shift_s = 0.0


def _set(number: int, frame: object) -> None:
    global _shift_s
    _shift_s += HOUR_S if number == signal.SIGUSR1 else -HOUR_S


time.time = lambda: _real() + _shift_s  # before anything of the host takes hold of it
signal.signal(signal.SIGUSR1, _set)
signal.signal(signal.SIGUSR2, _set)

if __name__ == "__main__":
    from patient_host import main

    main()
