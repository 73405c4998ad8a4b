"""The patient host, whose store looks twice a second whether its full disk has room again."""

from __future__ import annotations

from patient_host import main

from host.store.rows import store

store.TIDY_EVERY_S = 0.5

if __name__ == "__main__":
    main()
