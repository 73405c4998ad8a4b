"""A file as JSON carries it.

Invariant: it is made in pieces: whoever works on megabytes in one go keeps every thread waiting.
"""

from __future__ import annotations

import binascii

_PIECE_BYTES = 3 * 2**17  # three bytes make four characters; given back as json_pieces are


def base64_text(data: bytes | memoryview) -> str:
    """Its base64 (RFC 4648), in one line."""
    pieces = [
        binascii.b2a_base64(data[begin : begin + _PIECE_BYTES], newline=False)
        for begin in range(0, len(data), _PIECE_BYTES)
    ]
    return b"".join(pieces).decode("ascii")
