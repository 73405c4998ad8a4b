"""What holds for all tests."""

import atexit
import os
import shutil
import tempfile

import pytest

WORKERS = 2  # most of what they do is waiting; more would wait for the processor

# Before anything loads llama.cpp: how long its threads spin while they wait, as in the module's
# settings.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# No test touches the data of the user who runs it; one that starts hosts names a directory itself.
os.environ["LLAMACHAT_DATA_DIR"] = tempfile.mkdtemp(prefix="llamachat-tests-")
atexit.register(shutil.rmtree, os.environ["LLAMACHAT_DATA_DIR"], ignore_errors=True)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The whole run has two workers; what is named, and what is slow, has none."""
    is_named = config.args_source is pytest.Config.ArgsSource.ARGS
    return 0 if is_named or config.option.markexpr != "not slow" else WORKERS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of the fault runs, whichever process ran them."""
    ended = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    lines = [text for one in ended for name, text in one.user_properties if name == "figures"]
    if lines:
        terminalreporter.section("figures of the fault runs")
    for line in lines:
        terminalreporter.write_line(line)
