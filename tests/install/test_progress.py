"""What a person sees while llama.cpp compiles."""

from __future__ import annotations

import io

from llama_setup.progress import CompileProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_step_percentage_and_time_left() -> None:
    now = [0.0]
    out = Terminal()
    progress = CompileProgress(out, clock=lambda: now[0])
    progress.feed("  *** Configuring CMake...")
    assert progress.text() == "  Configuring ..."
    progress.feed("  [1/80] c++ -c a.cpp")
    now[0] = 60.0
    progress.feed("  [20/80] c++ -c b.cpp")
    assert "Compiling llama.cpp [######......" in progress.text()
    assert " 25% 20/80, about 3 min left" in progress.text()
    now[0] = 230.0
    progress.feed("  [78/80] c++ -c c.cpp")
    assert progress.text().endswith("a few seconds left")
    progress.close()
    assert "25%" in out.getvalue()
    assert out.getvalue().endswith("\r\x1b[K")


def test_nothing_is_drawn_where_nobody_looks() -> None:
    out = io.StringIO()
    progress = CompileProgress(out)
    progress.feed("[1/2] c++")
    progress.close()
    assert out.getvalue() == ""
