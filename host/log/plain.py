"""Text from elsewhere as it may stand in a log: it moves no cursor and begins no line.

Invariant: what is logged is one line for each entry. Where the host itself logs more (a traceback),
the lines after the first are indented, so that no text in them looks like an entry.
"""

from __future__ import annotations

import logging
import re

# Control characters, what a terminal or a page takes for a new line or for a change of direction,
# and halves of surrogate pairs, which no file can hold. A tab is harmless.
_SPECIAL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNPLAIN = re.compile(f"[{_SPECIAL}\ud800-\udfff]")
_UNPLAIN_OR_BREAK = re.compile(f"[\n{_SPECIAL}\ud800-\udfff]")
_INDENT = "\n    "


def one_line(text: str) -> str:
    """The text with what is special escaped, as Python spells it: `\\n`, `\\x1b`, `\\u202e`."""
    return _UNPLAIN_OR_BREAK.sub(_escaped, text)


class PlainFormatter(logging.Formatter):
    """For the console and the files: every line of an entry but the first is indented."""

    def format(self, record: logging.LogRecord) -> str:
        return _UNPLAIN.sub(_escaped, super().format(record)).replace("\n", _INDENT)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
