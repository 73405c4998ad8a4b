"""How long a context the free memory allows.

Invariant: nothing is allocated here, and what is refused is refused before anything is: the numbers
come from the file's header and from the operating system.
"""

from __future__ import annotations

from pathlib import Path

import load_errors
import psutil
from gguf_header import GgufHeader

KV_BYTES_PER_VALUE = 2
"""llama.cpp keeps keys and values as F16 unless told otherwise."""
COMPUTE_BYTES = 128 * 1024**2
"""Room left for the compute buffers and the process itself."""
KV_SHARE = 0.5
"""Of what is free beside the weights, how much a context of unset length may take."""
SMALLEST_CONTEXT_TOKENS = 512
_STEP_TOKENS = 256
_GIB = 1024**3


def kv_bytes_per_token(header: GgufHeader) -> int:
    """Size of one KV cell in bytes: layers x KV heads x (key + value size) x 2.

    Upper bound for models with sliding windows; 0 where the header does not say.
    """
    layers = header.number("block_count")
    heads = header.number("attention.head_count")
    if not layers or not heads:
        return 0
    head_size = header.number("embedding_length") // heads
    key = header.number("attention.key_length", head_size)
    value = header.number("attention.value_length", head_size)
    per_layer = header.per_layer("attention.head_count_kv")
    kv_heads = sum(per_layer) if per_layer else layers * _kv_heads(header, heads)
    return kv_heads * (key + value) * KV_BYTES_PER_VALUE


def _kv_heads(header: GgufHeader, heads: int) -> int:
    return header.number("attention.head_count_kv", heads)


def plan_context(header: GgufHeader, wanted_tokens: int, available_bytes: int) -> int:
    """The context length to open, in tokens.

    `wanted_tokens` 0 means the model's own, shortened to what memory allows. A wanted length is
    never shortened. Raises ModelLoadError (OUT_OF_MEMORY) with both sizes.
    """
    per_token = kv_bytes_per_token(header)
    free = available_bytes - header.file_bytes - COMPUTE_BYTES
    if wanted_tokens:
        _require(header, wanted_tokens, per_token, available_bytes)
        return wanted_tokens
    longest = header.context_tokens or SMALLEST_CONTEXT_TOKENS
    shortest = min(longest, SMALLEST_CONTEXT_TOKENS)
    _require(header, shortest, per_token, available_bytes)
    if not per_token:
        return longest
    affordable = int(free * KV_SHARE) // per_token
    if affordable >= longest:
        return longest
    return max(shortest, affordable // _STEP_TOKENS * _STEP_TOKENS)


def _require(header: GgufHeader, tokens: int, per_token: int, available_bytes: int) -> None:
    needed = header.file_bytes + tokens * per_token + COMPUTE_BYTES
    if needed > available_bytes:
        raise load_errors.out_of_memory(
            header.path,
            f"the weights take {header.file_bytes / _GIB:.1f} GiB and a context of {tokens} tokens "
            f"{tokens * per_token / _GIB:.1f} GiB, {needed / _GIB:.1f} GiB in all, and "
            f"{available_bytes / _GIB:.1f} GiB are free",
        )


def available_memory_bytes() -> int:
    """What a new allocation can have: the system's, or the container's where that is less."""
    free = int(psutil.virtual_memory().available)
    limit = _cgroup_free_bytes(Path("/sys/fs/cgroup"))
    return free if limit is None else min(free, limit)


def _cgroup_free_bytes(root: Path) -> int | None:
    """What the control group (version 2) still allows; None without one or without a limit."""
    try:
        limit = (root / "memory.max").read_text().strip()
        used = int((root / "memory.current").read_text())
        stat = (root / "memory.stat").read_text()
    except (OSError, ValueError):
        return None
    if not limit.isdigit():
        return None
    # The page cache is counted as used, and given back when asked for.
    cache = next((int(line.split()[1]) for line in stat.splitlines() if line[:5] == "file "), 0)
    return max(0, int(limit) - used + cache)


def physical_cores() -> int:
    """Cores for llama.cpp's threads: physical ones, and only those this process may use."""
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # not on macOS
        cores = min(cores, len(process.cpu_affinity() or []) or cores)
    return max(1, cores)
