"""Ten thousand damaged files for every reader: it takes what a strict and obvious reading takes, with
the same values, and refuses with an InputError what that refuses.

Each reader is fuzzed in a process of its own, so that a crash or a hang of compiled code is a failed test. A
finding can be repeated by itself: ``python tests/skelkit/test_fuzz.py ntu 1234``.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import naive
import numpy as np
import pytest

from skelkit.errors import InputError
from skelkit.readers import ntu, pku

T = TypeVar("T")

INPUTS = 10_000
NTU_NAME, PKU_NAME = "S001C002P003R002A013.skeleton", "A10N08-L.txt"

NUMBER = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
NOT_FINITE = re.compile(rb"[+-]?(nan|inf)", re.IGNORECASE)
WHOLE = re.compile(rb"-?[0-9]{1,18}")
FIELD = rb"[ \t\r]*(-?[0-9]{1,18})[ \t\r]*"
CLIP = re.compile(rb"%b,%b,%b(?:,%b)?[ \t\r,]*" % (FIELD, FIELD, FIELD, FIELD))
VIDEO = re.compile(rb"([0-9]{4}|A[0-9]{2}N[0-9]{2})-[LMR]")
GARBAGE = [
    b"1e999", b"-1e39", b"3.4028235e38", b"3.4028236e38", b"1e-999", b"nan", b"-NaN", b"inf", b"+INF",
    b"infinity", b"0x10", b"1_000", "\u0661".encode(), "\uff11".encode(), b"+-1", b"--1", b"", b"-", b"+",
    b".", b"-.", b"e", b"e5", b"1e", b"1e+", b"1.2.3", b"1,5", b"5.", b".5", b"+.5e-3", b"-0", b"0e0", b"00",
    b"007", b"1E5", b"1e22", b"1e23", b"0.1e-44", b"9" * 18, b"9" * 19, b"9" * 20, b"-" + b"9" * 18,
    b"1" * 400, b"0." + b"3" * 400, b"0" * 30 + b"1", b"9007199254740993", b"1e-2147483649",
    b"1e99999999999999999999", b"18446744073709551616", b"999999999", b"-1", b"0", b"1", b"2", b"25", b"26",
    b"52", b"1\r2", b"1\t2", b"1\v2", b"1\x002", b"\xff", b"Training videos:", b"Validation videos:",
    b"A01N01-L", b"A1N1-L", b"0002-L", b"0000-R", b":", b",", b",,",
]  # fmt: skip
FLOAT32_END = float(2**128 - 2**103)
"""The least number that rounds to an infinite float32."""


class Refused(Exception):
    """By the strict reading."""


def demand(good: object) -> None:
    if not good:
        raise Refused


def words_of(line: bytes) -> list[bytes]:
    return [word for word in re.split(rb"[ \t\r]", line) if word]


def is_coordinate(word: bytes) -> bool:
    return NUMBER.fullmatch(word) is not None and abs(float(word)) < FLOAT32_END


def whole_number(line: bytes) -> int:
    words = words_of(line)
    demand(len(words) == 1 and WHOLE.fullmatch(words[0]))
    return int(words[0])


def taken(
    read: Callable[[bytes, str], T], form: Callable[[bytes], object], data: bytes, file: str
) -> T | None:
    """What the reader makes of the data; None if it refuses them, rightly."""
    result: T | InputError
    try:
        result = read(data, file)
    except InputError as error:
        result = error
    try:
        form(data)
    except Refused:
        assert isinstance(result, InputError), "taken, but not of the form"
        check_error(result, data, file)
        return None
    assert not isinstance(result, InputError), result
    return result


def check_error(error: InputError, data: bytes, file: str) -> None:
    assert str(error).startswith(file)
    assert "\n" not in str(error)
    assert len(str(error)) < 250
    assert error.line is None or 1 <= error.line <= data.count(b"\n") + 2


def ntu_form(data: bytes) -> None:
    """Refuse what is no .skeleton file."""
    lines = iter(data.split(b"\n"))
    try:
        frames = whole_number(next(lines))
        demand(frames >= 0)
        for _ in range(frames):
            bodies = whole_number(next(lines))
            demand(bodies >= 0)
            for _ in range(bodies):
                track, *others = words_of(next(lines)) or [b""]
                demand(WHOLE.fullmatch(track) and len(others) == 9)
                demand(all(NUMBER.fullmatch(word) or NOT_FINITE.fullmatch(word) for word in others))
                demand(whole_number(next(lines)) == 25)
                for _ in range(25):
                    words = words_of(next(lines))
                    demand(len(words) == 12 and all(is_coordinate(word) for word in words[:3]))
                    demand(all(NUMBER.fullmatch(word) or NOT_FINITE.fullmatch(word) for word in words[3:]))
    except StopIteration:
        raise Refused from None
    demand(not any(words_of(line) for line in lines))


def check_ntu(data: bytes) -> bool:
    sequence = taken(ntu.read, ntu_form, data, NTU_NAME)
    if sequence is None:
        return False
    frames = naive.read_skeleton(data)
    assert sequence.tracks is not None
    assert sequence.present.sum(1).tolist() == [len(bodies) for bodies in frames]
    for t, bodies in enumerate(frames):
        assert sequence.tracks[t, : len(bodies)].tolist() == [track for track, _ in bodies]
        joints = np.array([joints for _, joints in bodies], np.float64).astype(np.float32)
        assert sequence.joints[t, : len(bodies)].tobytes() == joints.tobytes()
    return True


def pku_form(data: bytes) -> None:
    """Refuse what is no skeleton file of PKU-MMD."""
    lines = data.rstrip(b" \t\r\n").split(b"\n")
    for line in lines:
        words = words_of(line)
        demand(len(words) == 150 and all(is_coordinate(word) for word in words))


def check_pku(data: bytes) -> bool:
    sequence = taken(pku.read, pku_form, data, PKU_NAME)
    if sequence is None:
        return False
    expected = naive.read_pku(data)
    assert sequence.joints.tobytes() == expected.tobytes()
    assert sequence.present.tolist() == expected.any((2, 3)).tolist()
    return True


def check_labels(data: bytes) -> bool:
    clips, wrong = [], []
    for number, line in enumerate(data.split(b"\n"), 1):
        found = CLIP.fullmatch(line)
        action, start, end, confidence = (int(word or -1) for word in found.groups()) if found else [0] * 4
        if 1 <= action <= 51 and (confidence >= 0 or (found and found[4] is None)):
            clips.append(pku.Clip(number, action - 1, start, end, confidence))
        elif words_of(line):
            wrong.append(number)
    read, errors = pku.read_labels(data, PKU_NAME)
    assert read == clips
    assert [error.line for error in errors] == wrong
    for error in errors:
        check_error(error, data, PKU_NAME)
    return not errors


def split_form(data: bytes) -> tuple[set[bytes], set[bytes]]:
    """The two lists, or Refused."""
    lists: dict[bytes, set[bytes]] = {b"training": set(), b"other": set()}
    part = b""
    for line in data.split(b"\n"):
        header = re.match(
            rb"[ \t\r]*(training|validat(?:a?)ion|test|testing)[ \t]+videos?[ \t]*:", line, re.I
        )
        if header:
            part = b"training" if header[1].lower() == b"training" else b"other"
            line = line[header.end() :]
        for word in line.split(b","):
            if name := word.strip(b" \t\r"):
                demand(part and VIDEO.fullmatch(name) and not re.search(rb"0000|A00|N00", name))
                lists[part].add(name)
    demand(lists[b"training"] and lists[b"other"] and not lists[b"training"] & lists[b"other"])
    return lists[b"training"], lists[b"other"]


def check_split(data: bytes) -> bool:
    lists = taken(pku.read_split, split_form, data, PKU_NAME)
    if lists is None:
        return False
    assert tuple({name.encode() for name in part} for part in lists) == split_form(data)
    return True


def people(rng: np.random.Generator, *bodies: int) -> bytes:
    joints = rng.normal(0, 1, (9, 25, 3)).round(5).tolist()
    return naive.skeleton_text([[(2**56 + m, joints[m]) for m in range(count)] for count in bodies])


def seeds(reader: str) -> list[bytes]:
    """Small valid files."""
    rng = np.random.default_rng(0)
    if reader == "ntu":
        return [people(rng, 1), people(rng, 0, 1, 0), people(rng, 1, 2), b"0\n", b"3\n0\n0\n0\n"]
    if reader == "pku":
        frames = rng.normal(0, 1, (3, 150)).round(5)
        frames[1:, 75:] = 0
        lines = [b" " + b" ".join(b"%f" % number for number in frame) for frame in frames]
        return [b"\n".join(lines[:n]) + b"\n" for n in (1, 2, 3)]
    if reader == "labels":
        return [b"5,30,110,2\n12,130,260,1\n51,300,520,0\n", b"1,0,9\n2, 9,20,\n\n 3,20,30,2,\n"]
    names = [f"A{a:02}N{n:02}-{c}".encode() for a in (1, 2) for n in (1, 2) for c in "LMR"]
    return [
        b"Training videos: \n" + b", ".join(names[:9]) + b"\nValidataion videos: \n" + b", ".join(names[9:]),
        b"validation videos:\n0002-L, 0002-M,\n0003-R,\n\nTRAINING videos: 0004-L,\n0005-M\n",
    ]


def damaged(data: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        data = rng.choice(MUTATIONS)(data, rng)
    return data


def _any_byte(rng: random.Random) -> bytes:
    return bytes([rng.choice(b"0123456789 .-+eE,\n\r\t:") if rng.random() < 0.5 else rng.randrange(256)])


def flip(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + _any_byte(rng) + data[at + 1 :]


def insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice((_any_byte(rng), rng.choice(GARBAGE))) + data[at:]


def delete(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.choice((1, 1, 2, 9)) :]


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def change_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    changes: tuple[list[bytes], ...] = (
        [lines[at]] * 2,
        [lines[at]] * 3,
        [],
        [b""],
        [lines[at], b""],
        [lines[other]],
        [lines[at] + b" "],
    )
    lines[at : at + 1] = rng.choice(changes)
    return b"\n".join(lines)


def change_word(data: bytes, rng: random.Random) -> bytes:
    """Any word, or one of the first few, which are likelier to be a count."""
    words = re.split(rb"([ \t\r\n,]+)", data)
    at = rng.choice((rng.randrange(len(words)), rng.randrange(min(len(words), 9))))
    words[at] = rng.choice((rng.choice(GARBAGE), words[at] + rng.choice(GARBAGE), b"-" + words[at]))
    return b"".join(words)


def respell(data: bytes, rng: random.Random) -> bytes:
    """A number, otherwise written."""
    words = re.split(rb"([ \t\r\n,]+)", data)
    at = rng.randrange(len(words))
    endings = (b"e0", b"E-3", b"e+1", b"0" * 30, b"e-60", b"e39", b"1234567890123456789")
    words[at] = rng.choice((b"+" + words[at], b"0" * 20 + words[at], words[at] + rng.choice(endings)))
    return b"".join(words)


def change_ends(data: bytes, rng: random.Random) -> bytes:
    return data.replace(
        b"\n", rng.choice((b"\r\n", b" \n", b"\n ", b"\r", b"\n\n", b"\t\r\n", b",\n", b"\v\n"))
    )


def change_tail(data: bytes, rng: random.Random) -> bytes:
    return data.rstrip() + rng.choice((b"", b" ", b"\r", b"\r\n\r\n \t", b"\n\n0", b"\0", b"\x1a", b"\n\x0c"))


MUTATIONS = (
    flip, flip, insert, delete, truncate, change_lines, change_word, change_word, respell, change_ends,
    change_tail,
)  # fmt: skip
CHECKS = {"ntu": check_ntu, "pku": check_pku, "labels": check_labels, "split": check_split}


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="too slow with the JIT off")
@pytest.mark.parametrize("reader", CHECKS)
def test_damaged_files(reader: str) -> None:
    paths = [str(Path(naive.__file__).parent), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-W", "error", __file__, reader],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    taken = int(done.stdout)
    assert INPUTS / 20 < taken < INPUTS * 19 / 20, "the damage is too heavy or too light to find anything"


def main(reader: str, numbers: range) -> None:
    """Print how many files were taken."""
    files, taken = seeds(reader), 0
    for number in numbers:
        rng = random.Random(number)
        data = damaged(rng.choice(files), rng)
        try:
            taken += CHECKS[reader](data)
        except Exception as error:
            error.add_note(f"{reader} {number}: {data!r}")
            raise
    print(taken)


if __name__ == "__main__":
    first = int(sys.argv[2]) if len(sys.argv) > 2 else None
    main(sys.argv[1], range(INPUTS) if first is None else range(first, first + 1))
