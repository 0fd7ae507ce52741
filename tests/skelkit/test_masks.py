"""masks: what is skipped at once is what would be read number by number."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skelkit.masks import skip_plain_numbers

pytestmark = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="only compiled code has masks"
)

PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")
NUMBERS = st.from_regex(r"[+-]?[0-9]{1,20}(\.[0-9]{0,20})?", fullmatch=True)
WORDS = NUMBERS | st.text("0123456789.+-e", min_size=1, max_size=30)
BLANKS = st.text(" \t\r", min_size=1, max_size=70)


def skip(line: str, fields: int, follows: str = "7 " * 64) -> int:
    data = np.frombuffer(f"8{line}\n{follows}\n".encode(), np.uint8)
    return int(skip_plain_numbers(data, np.uint64(1), fields))


@settings(deadline=None)  # the first compiles
@given(st.lists(st.tuples(BLANKS, WORDS), max_size=12), st.text(" \t\r", max_size=3), st.integers(-1, 1))
@example([(" ", "1.2.3"), (" ", "4")], "", 0)
@example([(" ", "1" * 62 + "."), (" ", "5")], "", 0)
@example([(" " * 62, "-"), (" ", "5")], "", 0)
def test_what_is_skipped_is_plain_numbers(words: list[tuple[str, str]], tail: str, off: int) -> None:
    line = "".join(blank + word for blank, word in words) + tail
    fields = max(0, len(words) + off)
    if skip(line, fields):
        assert fields == len(words)
        assert all(PLAIN.fullmatch(word) for _, word in words)
        assert skip(line, fields) == 1 + len(line)


@settings(deadline=None)  # the first compiles
@given(st.lists(st.tuples(BLANKS, NUMBERS), max_size=12))
def test_plain_numbers_are_skipped(words: list[tuple[str, str]]) -> None:
    line = "".join(blank + word for blank, word in words)
    assert skip(line, len(words)) == 1 + len(line)
    assert skip(line, len(words), "") in (0, 1 + len(line))


def test_nothing_is_read_beyond_the_end() -> None:
    assert skip(" 1 2", 2, "") == 0
