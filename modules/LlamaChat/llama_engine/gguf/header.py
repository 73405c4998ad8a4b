"""The head of a GGUF: what it says of itself, without loading it. A model may have several files.

Invariant: nothing read from the file is trusted for an allocation; whatever runs past the end of
the file is reported as truncated. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path

from llama_engine import load_errors
from llama_engine.gguf.shards import missing_shards, shard_paths
from llama_engine.gguf.weight_sizes import WeightSizes

Scalar = int | float | bool | str
Value = Scalar | list[int]

MAGIC = b"GGUF"
_ALIGNMENT_BYTES = 32
_MAX_KEPT_ITEMS = 4096
"""Per-layer arrays are kept, vocabularies are not."""

_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_FORMATS[12] = "d"
_STRING, _ARRAY = 8, 9

_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0",
    38: "MXFP4_MOE",
}  # fmt: skip
"""`general.file_type`, as llama.cpp's `enum llama_ftype` numbers them."""


@dataclass(frozen=True)
class GgufHeader:
    """What the file says of itself. Sizes in bytes, of all its files together."""

    path: Path
    """The first file, where there are several."""
    file_bytes: int
    metadata: dict[str, Value] = field(repr=False)
    weights: WeightSizes = field(repr=False)

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", "unknown"))

    @property
    def quantisation(self) -> str | None:
        """Such as `Q4_K_M`; None where the file does not say or the number is new."""
        kind = self.metadata.get("general.file_type")
        return _FILE_TYPES.get(kind) if isinstance(kind, int) else None

    @property
    def name(self) -> str | None:
        name = self.metadata.get("general.name")
        return str(name) if name else None

    @property
    def context_tokens(self) -> int:
        """The context length it was trained for; 0 where the file does not say."""
        return self.number("context_length")

    def number(self, key: str, default: int = 0) -> int:
        """One of the architecture's own whole numbers, such as `block_count`."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) else default

    def per_layer(self, key: str) -> list[int] | None:
        """One of the architecture's numbers, once per layer; None where it is one for all."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, list) else None


def read_header(path: Path) -> GgufHeader:
    """Read the metadata; check that each file is there and reaches the start of its last tensor.

    Any file of a model in several leads to the whole. Raises ModelLoadError (MISSING_FILE,
    NOT_GGUF, TRUNCATED), OSError where a file cannot be read.
    """
    paths = shard_paths(path)
    missing = [] if len(paths) == 1 else missing_shards(path)
    if missing:
        raise load_errors.missing_shards(path, missing, len(paths))
    metadata: dict[str, Value] = {}
    tensors: dict[str, int] = {}
    for shard in paths:
        found = _read_file(shard, tensors)
        metadata = metadata or found
    _check_name(paths, metadata)
    size = sum(shard.stat().st_size for shard in paths)
    return GgufHeader(paths[0], size, metadata, WeightSizes.of(tensors))


def _check_name(paths: list[Path], metadata: dict[str, Value]) -> None:
    """llama.cpp finds the other files by the name of the first, so that must be the usual one."""
    count = metadata.get("split.count")
    if isinstance(count, int) and count > 1 and count != len(paths):
        number = metadata.get("split.no")
        at = number + 1 if isinstance(number, int) else 1
        raise load_errors.renamed_shard(paths[0], at, count)


def _read_file(path: Path, tensors: dict[str, int]) -> dict[str, Value]:
    """One file's metadata; the sizes of its tensors are added to `tensors`."""
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(4)
        if magic != MAGIC:
            raise load_errors.not_gguf(path, magic)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                return _parse(path, content, size, tensors)
            except (struct.error, IndexError) as ex:
                raise load_errors.truncated(
                    path, f"the header runs past the end of the file ({size} bytes)"
                ) from ex


def _parse(path: Path, content: mmap.mmap, size: int, sizes: dict[str, int]) -> dict[str, Value]:
    reader = _Reader(content, offset=4)
    version = reader.number("I")
    if not 2 <= version <= 100:
        raise load_errors.not_gguf(path, MAGIC + struct.pack("<I", version))
    tensors, entries = reader.number("Q"), reader.number("Q")
    metadata: dict[str, Value] = {}
    for _ in range(entries):
        key = reader.string()
        value = reader.value(reader.number("I"))
        if value is not None:
            metadata[key] = value
    starts = _tensor_starts(reader, tensors)
    alignment = metadata.get("general.alignment")
    step = alignment if isinstance(alignment, int) and alignment > 0 else _ALIGNMENT_BYTES
    data_start = -(-reader.offset // step) * step
    needed = data_start + max(starts.values(), default=0)
    if tensors and size <= needed:
        raise load_errors.truncated(
            path, f"it has {size} bytes, and its last tensor begins only at byte {needed}"
        )
    sizes |= _sizes(starts, size - data_start)
    return metadata


def _tensor_starts(reader: _Reader, tensors: int) -> dict[str, int]:
    """Each tensor's offset, counted from where tensor data begins."""
    starts = {}
    for _ in range(tensors):
        name = reader.string()
        dimensions = reader.number("I")
        reader.skip(8 * dimensions + 4)
        starts[name] = reader.number("Q")
    return starts


def _sizes(starts: dict[str, int], data_bytes: int) -> dict[str, int]:
    """What lies between a tensor's start and the next one's is its own, padding included."""
    ordered = sorted(starts, key=lambda name: starts[name])
    ends = [starts[name] for name in ordered[1:]] + [data_bytes]
    return {name: end - starts[name] for name, end in zip(ordered, ends, strict=False)}


class _Reader:
    """Reads little-endian values one after the other; IndexError past the end."""

    def __init__(self, content: mmap.mmap, offset: int) -> None:
        self._content = content
        self.offset = offset

    def skip(self, count: int) -> None:
        self.offset += count
        if self.offset > len(self._content):
            raise IndexError

    def number(self, form: str) -> int:
        value = self._unpack(form)
        return int(value)

    def string(self) -> str:
        length = self.number("Q")
        start = self.offset
        self.skip(length)
        return self._content[start : self.offset].decode("utf-8", errors="replace")

    def value(self, kind: int) -> Value | None:
        """One value of that type; None for an array that is not kept."""
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self._array()
        if kind not in _FORMATS:
            raise IndexError
        return self._unpack(_FORMATS[kind])

    def _unpack(self, form: str) -> int | float | bool:
        (value,) = struct.unpack_from("<" + form, self._content, self.offset)
        self.skip(struct.calcsize("<" + form))
        result: int | float | bool = value
        return result

    def _array(self) -> list[int] | None:
        kind, count = self.number("I"), self.number("Q")
        if kind == _STRING:
            for _ in range(count):
                self.skip(self.number("Q"))
            return None
        if kind not in _FORMATS:
            raise IndexError
        form = _FORMATS[kind]
        if form in "fd" or count > _MAX_KEPT_ITEMS:
            self.skip(count * struct.calcsize("<" + form))
            return None
        return [int(self._unpack(form)) for _ in range(count)]
