"""How many processes of a module there are, and what each has in its environment.

Invariant: there is at least one, and a question to the GPU driver never hangs the host.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Mapping

from host.settings.schema import PER_GPU, Instances

_logger = logging.getLogger(__name__)

GPU_VARIABLE = "CUDA_VISIBLE_DEVICES"
ASK_WITHIN_S = 10.0


async def instance_environments(
    wish: Instances, base_env: Mapping[str, str]
) -> list[dict[str, str]]:
    """What to add to the environment of each instance, for `LaunchSettings.Instances`."""
    if wish == PER_GPU:
        return [{GPU_VARIABLE: gpu} for gpu in await _gpus(base_env)] or [{}]
    if isinstance(wish, int):
        return [{} for _ in range(wish)]
    return [dict(environment) for environment in wish]


async def _gpus(base_env: Mapping[str, str]) -> list[str]:
    """The GPUs to use: those that the environment names, else all that `nvidia-smi` lists."""
    named = base_env.get(GPU_VARIABLE)
    if named is not None:
        gpus = [gpu.strip() for gpu in named.split(",") if gpu.strip()]
        return gpus if "-1" not in gpus else gpus[: gpus.index("-1")]
    lines = await _nvidia_smi(base_env)
    return [str(number) for number, _ in enumerate(lines)]


async def _nvidia_smi(base_env: Mapping[str, str]) -> list[str]:
    """One line for each GPU; none where there is no driver, or none that answers."""
    program = shutil.which("nvidia-smi", path=base_env.get("PATH"))
    if program is None:
        return []
    process = await asyncio.create_subprocess_exec(
        program,
        "-L",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), ASK_WITHIN_S)
    except asyncio.TimeoutError:
        _logger.warning("nvidia-smi has not answered within %g s: no GPU is used", ASK_WITHIN_S)
        process.kill()
        return []
    return [line for line in out.decode(errors="replace").splitlines() if line.startswith("GPU ")]
