"""The log of live commands against a dictionary, through restarts and cleanings at any moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import diskcache  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.store.live_log import ENDED, LiveLog

IDS = [f"id{number}" for number in range(8)]
WRITE = st.dictionaries(st.sampled_from(IDS), st.sampled_from(["live", "ended"]), min_size=1)
STEP = st.one_of(WRITE, st.sampled_from(["clean", "restart", *IDS]))


@pytest.fixture(scope="module")
def cache() -> Iterator[diskcache.Cache]:
    with TemporaryDirectory() as folder, diskcache.Cache(folder, cull_limit=0) as made:
        yield made


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(STEP, max_size=25))
def test_it_has_what_was_written_last(cache: diskcache.Cache, steps: list[object]) -> None:
    cache.clear()
    log, model, version = LiveLog(cache), dict[str, str](), 0
    for step in steps:
        if isinstance(step, dict):
            version += 1
            wanted = {one: f"{one}-{version}-" for one, what in step.items() if what == "live"}
            ends = [one for one, what in step.items() if what == "ended" and one in log]
            log.put([*wanted.items(), *((one, ENDED) for one in ends)])
            model.update(wanted)
            for one in ends:
                model.pop(one, None)
        elif step == "restart":
            log = LiveLog(cache)
            assert log.load() == model
        elif step == "clean":
            log.clean()
            assert text_of(cache) == "".join(sorted(model.values()))
        else:
            log.clean(str(step))
            kept = [model[str(step)]] if step in model else []
            assert [one for one in words_of(cache) if one.startswith(f"{step}-")] == kept
    assert LiveLog(cache).load() == model


def words_of(cache: diskcache.Cache) -> list[str]:
    """The records on disk, dead ones too."""
    lines = [line for key in cache for line in str(cache.get(key)).split("\n")]
    return sorted(line.partition(" ")[2] for line in lines if line.partition(" ")[2])


def text_of(cache: diskcache.Cache) -> str:
    return "".join(words_of(cache))


def test_a_row_of_dead_lines_is_removed_at_once(tmp_path: Path) -> None:
    with diskcache.Cache(str(tmp_path)) as cache:
        log = LiveLog(cache)
        log.put((f"id{number}", "first") for number in range(150))
        assert len(cache) == 3
        log.put((f"id{number}", "second") for number in range(150))
        assert len(cache) == 3 and "first" not in text_of(cache)
