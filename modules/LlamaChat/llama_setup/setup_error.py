"""What stops an installation."""

from __future__ import annotations


class SetupError(Exception):
    """Something did not work. `remedy` is what to do; `details`, such as the end of a log, come
    after it."""

    def __init__(self, remedy: str, details: str = "") -> None:
        super().__init__(f"{remedy}\n{details}" if details else remedy)
        self.remedy = remedy
        self.details = details
