"""Files from the model hub: found by a glob, fetched so that a broken download goes on.

Invariant: a file appears under its own name only when it is whole and is what the hub announced
(size, SHA-256, GGUF magic); until then it is a `.part` file, which the next attempt continues.
huggingface_hub's own download starts afresh after an interruption (since its version 1.0 each
process has a temporary file of its own), so its parts are used here, and its progress bar.
"""

from __future__ import annotations

import fnmatch
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import httpx2
import huggingface_hub
from huggingface_hub import errors as hub_errors
from huggingface_hub.file_download import http_get
from llama_engine.gguf.header import MAGIC
from llama_engine.gguf.shards import models_among, shard_names, shard_paths
from llama_engine.load_errors import LoadReason, ModelLoadError, spoken_bytes

logger = logging.getLogger(__name__)

_SPARE_BYTES = 256 * 1024**2
"""What a download leaves free on the disk."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIMEOUT_S = 10.0
_READ_BYTES = 4 * 1024**2
_GB = 1e9
_HTTP_CLIENTS = ("httpx", "httpx2", "httpcore", "httpcore2")
"""The loggers of what huggingface_hub asks with, under its old and its new name."""

FreeBytes = Callable[[Path], int]


@dataclass(frozen=True)
class RemoteFile:
    """What the hub announces of a file."""

    repo: str
    name: str
    url: str
    size_bytes: int
    etag: str

    @property
    def sha256(self) -> str | None:
        """Large files have their SHA-256 as etag; small ones something else."""
        return self.etag if _SHA256.fullmatch(self.etag) else None


class Hub:
    """The model hub at `endpoint`; None is huggingface_hub's own choice (HF_ENDPOINT)."""

    def __init__(self, endpoint: str | None = None, free_bytes: FreeBytes | None = None) -> None:
        self._endpoint = endpoint
        self._free_bytes = free_bytes or _free_bytes
        for name in _HTTP_CLIENTS:  # a line for each request is no news to anybody
            logging.getLogger(name).setLevel(logging.WARNING)

    def find(self, repo: str, fileglob: str) -> str:
        """The one model of the repository whose file matches; of several files, the first.

        Raises ModelLoadError.
        """
        with _failures_told(repo):
            api = huggingface_hub.HfApi(endpoint=self._endpoint)
            siblings = api.model_info(repo, timeout=_TIMEOUT_S).siblings or []
        files = [sibling.rfilename for sibling in siblings]
        found = models_among([name for name in files if fnmatch.fnmatch(name, fileglob)])
        if len(found) == 1:
            return found[0]
        came = f"{len(found)} do: {', '.join(found)}" if found else f"none of its {len(files)} does"
        raise ModelLoadError(
            LoadReason.NO_MATCH,
            f"Expected one model of hub repository '{repo}' to match '{fileglob}', and {came}. "
            "Correct CPAI_MODULE_LLAMA_MODEL_FILEGLOB",
        )

    def announce(self, repo: str, name: str) -> RemoteFile:
        """Size and checksum of a file, as the hub has it now. Raises ModelLoadError."""
        url = huggingface_hub.hf_hub_url(repo, name, endpoint=self._endpoint)
        with _failures_told(repo):
            metadata = huggingface_hub.get_hf_file_metadata(url)
        if metadata.size is None or not metadata.etag:
            raise ModelLoadError(
                LoadReason.OTHER, f"The hub does not say how large '{repo}/{name}' is"
            )
        return RemoteFile(repo, name, metadata.location, metadata.size, metadata.etag)

    def fetch(self, repo: str, name: str, target: Path) -> Path:
        """Have the model at `target`, all its files, downloading what is missing of them.

        Returns the first file. Raises ModelLoadError (NO_NETWORK, NO_MATCH, DISK_FULL,
        DAMAGED_DOWNLOAD).
        """
        remotes = [self.announce(repo, shard) for shard in shard_names(name)]
        targets = shard_paths(target)
        if len(targets) != len(remotes):
            raise ValueError(f"expected a name like '{name}' for its copy, got '{target.name}'")
        wanted = [pair for pair in zip(remotes, targets, strict=True) if not _is_there(*pair)]
        target.parent.mkdir(parents=True, exist_ok=True)
        parts = [(remote, _part_of(path, remote), path) for remote, path in wanted]
        self._require_room(name, [(remote, part) for remote, part, _ in parts], target.parent)
        for remote, part, path in parts:
            _download(remote, part, self._endpoint)
            _verify(remote, part)
            os.replace(part, path)
        return targets[0]

    def _require_room(
        self, name: str, parts: list[tuple[RemoteFile, Path]], directory: Path
    ) -> None:
        missing = sum(remote.size_bytes - _size(part) for remote, part in parts)
        needed = missing + _SPARE_BYTES
        free = self._free_bytes(directory)
        if parts and needed > free:
            raise ModelLoadError(
                LoadReason.DISK_FULL,
                f"Not enough disk space for '{name}': {needed / _GB:.2f} GB are needed in "
                f"'{directory}', {free / _GB:.2f} GB are free. Free some, or choose a smaller "
                "model",
            )


def _is_there(remote: RemoteFile, target: Path) -> bool:
    return target.is_file() and target.stat().st_size == remote.size_bytes


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _free_bytes(directory: Path) -> int:
    return shutil.disk_usage(directory).free


def _part_of(target: Path, remote: RemoteFile) -> Path:
    """Where the download grows. Parts of another version of the file are removed."""
    part = target.with_name(f"{target.name}.{remote.etag[:12]}.part")
    for old in target.parent.glob(f"{target.name}.*.part"):
        if old != part:
            old.unlink()
    return part


def _download(remote: RemoteFile, part: Path, endpoint: str | None) -> None:
    part.touch()
    have = part.stat().st_size
    if have > remote.size_bytes:
        os.truncate(part, 0)
        have = 0
    if have:
        logger.info("Going on with %s at %d of %d bytes", remote.name, have, remote.size_bytes)
    with part.open("r+b") as file, _failures_told(remote.repo):
        file.seek(have)
        http_get(
            remote.url,
            file,
            resume_size=have,
            headers=_headers(remote.url, endpoint),
            expected_size=remote.size_bytes,
            displayed_filename=remote.name,
        )


def _headers(url: str, endpoint: str | None) -> dict[str, str]:
    """A token is for the hub alone: not for the storage that it sends us on to."""
    hub = endpoint or huggingface_hub.constants.ENDPOINT
    token = huggingface_hub.get_token()
    is_hub = urlparse(url).netloc == urlparse(hub).netloc
    return {"authorization": f"Bearer {token}"} if token and is_hub else {}


def _verify(remote: RemoteFile, part: Path) -> None:
    """Size, checksum and magic; a file that fails is removed, for it cannot be mended."""
    problem = _problem_with(remote, part)
    if problem:
        part.unlink()
        raise ModelLoadError(
            LoadReason.DAMAGED_DOWNLOAD,
            f"The download of '{remote.name}' is damaged and was removed: {problem}. Try again",
        )


def _problem_with(remote: RemoteFile, part: Path) -> str | None:
    size = part.stat().st_size
    if size != remote.size_bytes:
        return f"expected {remote.size_bytes} bytes, got {size}"
    with part.open("rb") as file:
        magic = file.read(len(MAGIC))
        if magic != MAGIC:
            return f'expected it to begin with "GGUF", found {spoken_bytes(magic)}'
        file.seek(0)
        if remote.sha256 is not None:
            digest = hashlib.sha256()
            while block := file.read(_READ_BYTES):
                digest.update(block)
            if digest.hexdigest() != remote.sha256:
                return f"expected SHA-256 {remote.sha256}, got {digest.hexdigest()}"
    return None


@contextmanager
def _failures_told(repo: str) -> Iterator[None]:
    """Turn what the hub's client raises into ModelLoadError."""
    try:
        yield
    except hub_errors.GatedRepoError as ex:
        raise ModelLoadError(
            LoadReason.OTHER,
            f"Hub repository '{repo}' wants its licence accepted: do that on its page, and set "
            "HF_TOKEN to your token",
        ) from ex
    except (hub_errors.EntryNotFoundError, hub_errors.RepositoryNotFoundError) as ex:
        raise ModelLoadError(
            LoadReason.NO_MATCH, f"The hub has no such repository or file: '{repo}' ({ex})"
        ) from ex
    except hub_errors.HfHubHTTPError as ex:
        raise ModelLoadError(LoadReason.OTHER, f"The hub refused '{repo}': {ex}") from ex
    except (httpx2.HTTPError, hub_errors.OfflineModeIsEnabled) as ex:
        raise ModelLoadError(
            LoadReason.NO_NETWORK,
            f"The model hub cannot be reached for '{repo}' ({type(ex).__name__}: {ex}). Check the "
            "network; a download that had begun goes on where it stopped",
        ) from ex
