"""Real children that misbehave: none stays behind, none blocks."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from host.processes.process import (
    STDERR,
    STDOUT,
    Child,
    LaunchError,
    LaunchSpec,
    launch_process,
)

FOREVER = "import time\nwhile True: time.sleep(60)\n"
GRANDCHILD = f"""
import subprocess, sys, time
options = {{"start_new_session": True}} if "--own-session" in sys.argv else {{}}
child = subprocess.Popen([sys.executable, "-c", {FOREVER!r}], **options)
print(child.pid, flush=True)
if "--exit" in sys.argv:
    sys.exit(0)
time.sleep(60)
"""
STUBBORN = f"""
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
{FOREVER}
"""


class Output:
    """Collects what a child prints; `line` waits for the next line of standard output."""

    def __init__(self) -> None:
        self.all: dict[int, bytes] = {STDOUT: b"", STDERR: b""}
        self._changed = asyncio.Event()

    def __call__(self, stream: int, data: bytes) -> None:
        self.all[stream] += data
        self._changed.set()

    async def line(self) -> str:
        while b"\n" not in self.all[STDOUT]:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 20)
        line, _, self.all[STDOUT] = self.all[STDOUT].partition(b"\n")
        return line.decode()


def spec(folder: Path, code: str, *arguments: str) -> LaunchSpec:
    script = folder / "child.py"
    script.write_text(code)
    return LaunchSpec([sys.executable, str(script), *arguments], folder, dict(os.environ))


async def launched(folder: Path, code: str, *arguments: str) -> tuple[Child, Output]:
    output = Output()
    return await launch_process(spec(folder, code, *arguments), output), output


async def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_output_and_exit_code_come_through(tmp_path: Path) -> None:
    code = "import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(7)\n"
    child, output = await launched(tmp_path, code)
    assert await child.wait() == 7
    await child.close()
    assert child.returncode == 7
    assert output.all[STDOUT].split() == [b"out"]
    assert output.all[STDERR].split() == [b"err"]


async def test_it_runs_where_and_with_what_it_was_told(tmp_path: Path) -> None:
    code = "import os\nprint(os.getcwd(), os.environ['WHO'], sep='|')\n"
    base = spec(tmp_path, code)
    output = Output()
    child = await launch_process(
        LaunchSpec(base.command, base.cwd, {**base.env, "WHO": "me"}), output
    )
    assert await output.line() == f"{tmp_path}|me"
    await child.close()


async def test_standard_input_is_empty(tmp_path: Path) -> None:
    child, output = await launched(tmp_path, "import sys\nprint(repr(sys.stdin.read()))\n")
    assert await output.line() == "''"
    await child.close()


async def test_several_can_wait_and_waiting_can_be_cancelled(tmp_path: Path) -> None:
    child, _ = await launched(tmp_path, FOREVER)
    first, second = (asyncio.create_task(child.wait()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    child.kill()
    assert await second == (-signal.SIGKILL if os.name == "posix" else 1)
    await child.close()


@pytest.mark.skipif(os.name != "posix", reason="SIGTERM is not there")
async def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    child, output = await launched(tmp_path, STUBBORN)
    assert await output.line() == "ready"
    child.terminate()
    child.kill()
    assert await child.wait() == -signal.SIGKILL
    await child.close()
    assert not psutil.pid_exists(child.pid)


async def test_close_ends_one_that_still_runs_and_reaps_it(tmp_path: Path) -> None:
    child, _ = await launched(tmp_path, FOREVER)
    await child.close()
    await child.wait()
    assert not psutil.pid_exists(child.pid)


async def test_terminate_and_kill_after_the_end_do_nothing(tmp_path: Path) -> None:
    child, _ = await launched(tmp_path, "")
    assert await child.wait() == 0
    child.terminate()
    child.kill()
    await child.close()
    await child.close()


@pytest.mark.parametrize("arguments", [(), ("--exit",)])
async def test_grandchildren_go_with_the_child(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    child, output = await launched(tmp_path, GRANDCHILD, *arguments)
    grandchild = int(await output.line())
    if not arguments:
        child.kill()
    await child.wait()
    await child.close()
    await wait_until_gone(grandchild)


@pytest.mark.skipif(os.name != "posix", reason="a job holds all of them")
async def test_one_that_left_the_group_with_the_pipe_does_not_block(tmp_path: Path) -> None:
    child, output = await launched(tmp_path, GRANDCHILD, "--own-session", "--exit")
    stray = int(await output.line())
    try:
        assert await asyncio.wait_for(child.wait(), 20) == 0
        await asyncio.wait_for(child.close(), 20)
    finally:
        os.kill(stray, signal.SIGKILL)


async def test_a_flood_does_not_stall_the_child(tmp_path: Path) -> None:
    size = 8_000_000
    code = f"import os\nleft = {size}\nwhile left: left -= os.write(2, b'x' * min(left, 65536))\n"
    child, output = await launched(tmp_path, code)
    assert await asyncio.wait_for(child.wait(), 60) == 0
    await child.close()
    assert len(output.all[STDERR]) == size


async def test_a_missing_working_directory_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(LaunchError, match=r"the working directory .*gone is not there"):
        await launch_process(LaunchSpec([sys.executable], gone, {}), Output())


async def test_a_missing_program_is_named(tmp_path: Path) -> None:
    program = str(tmp_path / "python")
    with pytest.raises(LaunchError, match=r"the program .*python is not there"):
        await launch_process(LaunchSpec([program], tmp_path, {}), Output())


@pytest.mark.skipif(os.name != "posix", reason="no execute permission there")
async def test_a_file_that_is_no_program_is_told_apart(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("hello")
    with pytest.raises(LaunchError, match="is not an executable file"):
        await launch_process(LaunchSpec([str(plain)], tmp_path, {}), Output())
    plain.chmod(0o755)
    with pytest.raises(LaunchError, match="could not be launched"):
        await launch_process(LaunchSpec([str(plain)], tmp_path, {}), Output())


async def test_a_null_byte_in_a_variable_is_a_launch_error(tmp_path: Path) -> None:
    bad = LaunchSpec([sys.executable], tmp_path, {"A": "x\0y"})
    with pytest.raises(LaunchError, match="null byte"):
        await launch_process(bad, Output())
