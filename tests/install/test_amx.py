"""What is found out about AMX, with compilers that behave as some do."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from llama_setup.amx import Amx, try_amx

pytestmark = pytest.mark.skipif(os.name == "nt", reason="shell scripts take the compiler's place")


def compiler(folder: Path, plain: str, mended: str) -> list[str]:
    """A compiler whose programs do this, without and with the header."""
    path = folder / "c++"
    path.write_text(
        "#!/bin/sh\n"
        f"body='{plain}'\n"
        'for argument in "$@"; do\n'
        f"  [ \"$argument\" = -include ] && body='{mended}'\n"
        '  output="$argument"\n'
        "done\n"
        '[ "$body" = refuse ] && exit 1\n'
        'printf "#!/bin/sh\\n%s\\n" "$body" > "$output"; chmod +x "$output"\n'
    )
    path.chmod(0o755)
    return [str(path)]


@pytest.mark.parametrize(
    ("plain", "mended", "verdict"),
    [
        ("exit 0", "exit 1", Amx.WORKS),
        ("exit 2", "exit 2", Amx.ABSENT),
        ("kill -SEGV $$", "exit 0", Amx.MENDED),
        ("kill -ILL $$", "kill -ILL $$", Amx.BROKEN),
        ("exit 1", "exit 1", Amx.BROKEN),
        ("refuse", "refuse", Amx.BROKEN),
    ],
)
def test_verdicts(tmp_path: Path, plain: str, mended: str, verdict: Amx) -> None:
    assert try_amx(compiler(tmp_path, plain, mended)) is verdict


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
def test_with_the_compiler_that_is_here() -> None:
    """Whatever this processor is: the programs compile, and what they say is believed."""
    from llama_setup.processor import this_processor

    verdict = try_amx(["c++"])
    if not this_processor().has_amx:
        assert verdict is not Amx.WORKS
    else:
        assert verdict is not Amx.ABSENT
