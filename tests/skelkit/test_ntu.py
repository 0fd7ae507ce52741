"""readers.ntu: the scanner reads what float() reads, and says in which line a bad file is bad."""

from __future__ import annotations

import re
import tracemalloc

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skelkit.errors import InputError
from skelkit.readers import READERS, ntu
from skelkit.sequence import SkeletonSequence

NAME = "S001C002P003R002A013.skeleton"
BODY_LINE, COUNT_LINE, JOINT_LINE = 3, 4, 5  # of the tiny file: the body's, its number of joints', joint 0's

digits = st.text("0123456789", min_size=1, max_size=25)
mantissas = st.one_of(
    digits, st.builds("{}.{}".format, digits, digits), digits.map(".{}".format), digits.map("{}.".format)
)
spellings = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "-", "+"]),
    mantissas,
    st.one_of(
        st.just(""),
        st.builds(
            "{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "-", "+"]), st.integers(0, 60)
        ),
    ),
)
numbers = st.one_of(spellings, st.floats(-1e30, 1e30).map(repr), st.floats(-9, 9, width=32).map(str)).filter(
    lambda text: abs(float(text)) < 3.4e38
)


def equals_naive(sequence: SkeletonSequence, data: bytes) -> None:
    """Every coordinate is, bit for bit, what float() makes of its text, rounded to float32."""
    frames = naive.read_skeleton(data)
    assert sequence.tracks is not None
    assert sequence.joints.shape == (len(frames), max(map(len, frames), default=0), 25, 3)
    for t, bodies in enumerate(frames):
        assert sequence.present[t].tolist() == [m < len(bodies) for m in range(sequence.bodies)]
        assert sequence.tracks[t, : len(bodies)].tolist() == [track for track, _ in bodies]
        for m, (_, joints) in enumerate(bodies):
            assert (
                sequence.joints[t, m].tobytes() == np.array(joints, np.float64).astype(np.float32).tobytes()
            )


def with_line(data: bytes, line: int, text: str) -> bytes:
    lines = data.split(b"\n")
    lines[line - 1] = text.encode()
    return b"\n".join(lines)


def with_word(data: bytes, line: int, word: int, text: str) -> bytes:
    words = data.split(b"\n")[line - 1].decode().split()
    words[word] = text
    return with_line(data, line, " ".join(words))


def refused(data: bytes, name: str = NAME) -> InputError:
    with pytest.raises(InputError) as caught:
        ntu.read(data, name)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(name)
    return caught.value


def test_the_real_files_are_read_as_float_reads_them(real_files: dict[str, bytes]) -> None:
    for name, data in real_files.items():
        equals_naive(ntu.read(data, name), data)


@settings(deadline=None, max_examples=60)
@given(st.lists(numbers, min_size=75, max_size=75))
def test_any_spelling_of_a_number(texts: list[str]) -> None:
    joints = [texts[i : i + 3] for i in range(0, 75, 3)]
    equals_naive(ntu.read(data := naive.skeleton_text([[(1, joints)]]), NAME), data)


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "-0",
        "-0.0",
        "+.5",
        "5.",
        "1e22",
        "1e-22",
        "1e23",
        "9007199254740993",
        "0.1e-44",
        "1e-60",
        "0e99999",
        "0." + "0" * 60 + "1e60",
        "1" + "0" * 500 + "e-500",
        "123456789012345678901234567890e-25",
        "1.17549435e-38",
        "0.30000001192092895507812499999999",
        "16777217",
        "16777217.0000000001",
        "3.4028235e38",
        # Digits beyond 2**53, so near the middle of two float32 that a double off by one bit shows.
        "1.63851171731948853",
        "7.74687027931213379",
    ],
)
def test_numbers_that_are_hard_to_read(tiny: bytes, text: str) -> None:
    data = with_word(tiny, JOINT_LINE, 1, text)
    equals_naive(ntu.read(data, NAME), data)


def test_more_hard_numbers_than_expected() -> None:
    joints: list[list[object]] = [["0.12345678901234567890123", f"1e-{30 + v}", "2"] for v in range(25)]
    data = naive.skeleton_text([[(1, joints)]] * 9)
    equals_naive(ntu.read(data, NAME), data)


@pytest.mark.parametrize("bodies", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("end", ["\n", "\r\n", " \n", "\t\r\n"])
def test_any_number_of_bodies_and_any_line_end(bodies: int, end: str) -> None:
    joints = np.random.default_rng(bodies).normal(0, 1, (bodies, 25, 3)).tolist()
    people = [(72057594037930000 + m, joints[m]) for m in range(bodies)]
    data = naive.skeleton_text([people, [], people[::-1], people[:1]], end)
    equals_naive(ntu.read(data, NAME), data)


@pytest.mark.parametrize("tail", [b"", b"\n", b"\r\n \t\r\n\n", b"   "])
def test_the_end_of_the_file(tiny: bytes, tail: bytes) -> None:
    bare = tiny.rstrip(b"\n")
    assert ntu.read(bare + tail, NAME).joints.tobytes() == ntu.read(tiny, NAME).joints.tobytes()


def test_tabs_and_blanks_before_and_between(tiny: bytes) -> None:
    spaced = b"".join(b" \t" + line.replace(b" ", b" \t ") + b"\n" for line in tiny.splitlines())
    assert ntu.read(spaced, NAME).joints.tobytes() == ntu.read(tiny, NAME).joints.tobytes()


@pytest.mark.parametrize("data", [b"0\n", b"0", b"0\r\n\r\n"])
def test_no_frame(data: bytes) -> None:
    assert ntu.read(data, NAME).joints.shape == (0, 0, 25, 3)


def test_nobody_in_any_frame() -> None:
    assert ntu.read(b"3\n0\n0\n0\n", NAME).joints.shape == (3, 0, 25, 3)


def test_what_the_name_says(tiny: bytes) -> None:
    sequence = ntu.read(tiny, f"a.zip!folder/{NAME}")
    assert (sequence.name, sequence.label) == ("S001C002P003R002A013", 12)
    assert sequence.columns == {"setup": 1, "camera": 2, "subject": 3, "replication": 2}


def test_the_suffix_in_capitals(tiny: bytes) -> None:
    assert ntu.read(tiny, "S001C002P003R002A013.SKELETON").name == "S001C002P003R002A013"


def test_both_datasets_have_this_reader() -> None:
    assert READERS["ntu60"] is READERS["ntu120"] is ntu.read


@pytest.mark.parametrize(
    "name",
    [
        "a.skeleton",
        "S01C001P001R001A001.skeleton",
        "S001C001P001R001A001 (1).skeleton",
        "S001C001P001R001A000.skeleton",
        "S001C001P001R001A001.txt",
        "s001c001p001r001a001.skeleton",
        "S\u0660\u0661\u0661C001P001R001A001.skeleton",
        ".skeleton",
        "S000C001P001R001A001.skeleton",
        "S001C001P001R001A0011.skeleton",
    ],
)
def test_a_bad_name(tiny: bytes, name: str) -> None:
    assert "expected SsssCcccPpppRrrrAaaa" in str(refused(tiny, name))


@pytest.mark.parametrize("data", [b"", b"\n", b" \r\n\t"])
def test_an_empty_file(data: bytes) -> None:
    error = refused(data)
    assert error.line == 1
    assert "the file is empty" in error.reason


def test_truncated_after_every_line() -> None:
    joints = np.random.default_rng(1).normal(0, 1, (2, 25, 3)).tolist()
    data = naive.skeleton_text([[(1, joints[0])], [(1, joints[0]), (2, joints[1])]])
    lines = data.splitlines(keepends=True)
    for kept in range(1, len(lines)):
        cut = b"".join(lines[:kept])
        for text in (cut, cut.replace(b"\n", b"\r\n"), cut.removesuffix(b"\n")):
            error = refused(text)
            assert error.line == kept + 1, text
            assert "the file ends here" in error.reason


def test_truncated_within_every_line(tiny: bytes) -> None:
    at = 0
    for line, text in enumerate(tiny.splitlines(keepends=True)[2:], 3):
        at = tiny.index(text, at)
        blank = text.find(b" ")
        if blank > 0:
            error = refused(tiny[: at + blank])
            assert (error.line, "the file ends here" in error.reason) == (line, True)


@pytest.mark.parametrize("joints", ["24", "26", "0", "-25", "99999999999"])
def test_a_wrong_number_of_joints(tiny: bytes, joints: str) -> None:
    error = refused(with_line(tiny, COUNT_LINE, joints))
    assert (error.line, error.reason) == (4, f"found {joints}, expected the number of joints, 25")


@pytest.mark.parametrize("word", range(12))
@pytest.mark.parametrize("line", [JOINT_LINE, 16, 29])
def test_a_word_that_is_no_number_in_a_joint(tiny: bytes, line: int, word: int) -> None:
    error = refused(with_word(tiny, line, word, "1.2.3"))
    assert error.line == line
    assert (
        f"found '1.2.3' as field {word + 1}, expected a number among the 12 fields of a joint" == error.reason
    )


@pytest.mark.parametrize("word", range(1, 10))
def test_a_word_that_is_no_number_in_a_body(tiny: bytes, word: int) -> None:
    error = refused(with_word(tiny, BODY_LINE, word, "yes"))
    assert error.line == BODY_LINE
    assert error.reason.startswith(f"found 'yes' as field {word + 1}, expected a number")


@pytest.mark.parametrize(
    "word", ["abc", "1e", "e5", ".", "-", "+-1", "1,5", "1_0", "0x10", "1..2", "1e5.5", "--1", "1\0", "\xe9"]
)
def test_what_is_no_number(tiny: bytes, word: str) -> None:
    error = refused(with_word(tiny, JOINT_LINE, 0, word))
    assert (error.line, "expected a number" in error.reason) == (JOINT_LINE, True)


@pytest.mark.parametrize("word", ["nan", "NaN", "-nan", "inf", "-Inf", "+INF"])
def test_not_finite_is_refused_among_coordinates_only(tiny: bytes, word: str) -> None:
    for column in range(3):
        error = refused(with_word(tiny, 7, column, word))
        assert error.line == 7
        assert error.reason == f"found {word!r} as coordinate {'xyz'[column]}, expected a finite number"
    expected = ntu.read(tiny, NAME).joints.tobytes()
    for column in range(3, 12):
        assert ntu.read(with_word(tiny, 7, column, word), NAME).joints.tobytes() == expected
    for column in range(1, 10):
        assert ntu.read(with_word(tiny, BODY_LINE, column, word), NAME).joints.tobytes() == expected


@pytest.mark.parametrize(
    "word", ["5.", ".5", "+1", "-.5e-3", "1E400", "1e-400", "00", "7" * 400, "." + "7" * 400]
)
def test_any_spelling_in_fields_that_are_not_kept(tiny: bytes, word: str) -> None:
    expected = ntu.read(tiny, NAME).joints.tobytes()
    for line, columns in ((BODY_LINE, range(1, 10)), (7, range(3, 12))):
        for column in columns:
            assert ntu.read(with_word(tiny, line, column, word), NAME).joints.tobytes() == expected


@pytest.mark.parametrize(
    "word", ["", ".", "-", "+.", "1e", "1e+", "e5", "1.2.3", "infinity", "1\v", "1,5", "0x1"]
)
def test_what_is_no_number_in_fields_that_are_not_kept(tiny: bytes, word: str) -> None:
    for line, columns in ((BODY_LINE, range(1, 10)), (7, range(3, 12))):
        for column in columns:
            assert refused(with_word(tiny, line, column, word)).line == line


@pytest.mark.parametrize("word", ["1e39", "-3.41e38", "9" * 60, "1e400"])
def test_a_coordinate_that_no_float32_holds(tiny: bytes, word: str) -> None:
    error = refused(with_word(tiny, 9, 2, word))
    assert error.line == 9
    assert word[:40] in error.reason


@pytest.mark.parametrize(("line", "fields"), [(JOINT_LINE, 12), (29, 12), (BODY_LINE, 10)])
def test_too_few_and_too_many_fields(tiny: bytes, line: int, fields: int) -> None:
    text = tiny.split(b"\n")[line - 1].decode()
    few = refused(with_line(tiny, line, text.rsplit(" ", 1)[0]))
    assert (few.line, f"found {fields - 1} fields, expected the {fields} fields" in few.reason) == (
        line,
        True,
    )
    many = refused(with_line(tiny, line, text + " 77"))
    assert (many.line, "found more, from '77' on" in many.reason) == (line, True)


@pytest.mark.parametrize("line", range(1, 30))
def test_an_empty_line_anywhere(tiny: bytes, line: int) -> None:
    lines = tiny.split(b"\n")
    error = refused(b"\n".join([*lines[: line - 1], b"", *lines[line - 1 :]]))
    assert error.line == line


@pytest.mark.parametrize("garbage", ["1", "x", "\0", "0 0 0"])
def test_trailing_garbage(tiny: bytes, garbage: str) -> None:
    error = refused(tiny + b"\n\n" + garbage.encode())
    assert (error.line, "expected the end of the file" in error.reason) == (32, True)


@pytest.mark.parametrize(
    ("line", "count"), [(1, "-1"), (1, "1.0"), (1, "x"), (2, "-1"), (2, "1e0"), (2, "1 2")]
)
def test_counts_that_are_none(tiny: bytes, line: int, count: str) -> None:
    assert refused(with_line(tiny, line, count)).line == line


@pytest.mark.parametrize("track", ["7.2e16", "abc", "1" * 30, "1.0", "nan"])
def test_a_tracking_id_that_is_no_whole_number(tiny: bytes, track: str) -> None:
    error = refused(with_word(tiny, BODY_LINE, 0, track))
    assert (error.line, error.reason) == (3, f"found {track!r}, expected the tracking id, a whole number")


def test_a_tracking_id_beyond_float64(tiny: bytes) -> None:
    tracks = ntu.read(with_word(tiny, BODY_LINE, 0, "72057594037944739"), NAME).tracks
    assert tracks is not None
    assert tracks.tolist() == [[72057594037944739]]


@pytest.mark.parametrize(
    "data",
    [
        b"999999999999999999\n0\n",
        b"9\n999999999999999999\n",
        b"99999999999999999999999\n",
        b"1000000\n" + b"0\n" * 1000,
        b"9" * 100_000,
    ],
)
def test_huge_counts_take_no_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        refused(data)
        assert tracemalloc.get_traced_memory()[1] < 8e6
    finally:
        tracemalloc.stop()


def test_frames_times_bodies_beyond_memory(monkeypatch: pytest.MonkeyPatch, tiny: bytes) -> None:
    crowd = b"2001\n" + b"0\n" * 2000 + b"20\n" + b"".join(tiny.splitlines(keepends=True)[2:]) * 20
    assert ntu.read(crowd, NAME).joints.shape == (2001, 20, 25, 3)
    monkeypatch.setattr(ntu, "_MOST_PLACES", 40_000)
    assert "2001 frames with up to 20 bodies" in str(refused(crowd))


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_binary_junk(data: bytes) -> None:
    if re.fullmatch(rb"[ \t\r]*0+[ \t\r]*(\n[ \t\r\n]*)?", data) is None:
        refused(data)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_changed_byte_is_read_or_refused(tiny: bytes, data: st.DataObject) -> None:
    """Nothing but a sequence or an InputError comes of a damaged file."""
    at, byte = data.draw(st.integers(0, len(tiny) - 1)), data.draw(st.integers(0, 255))
    changed = tiny[:at] + bytes([byte]) + tiny[at + 1 :]
    result: SkeletonSequence | InputError
    try:
        result = ntu.read(changed, NAME)
    except InputError as error:
        result = error
    if isinstance(result, SkeletonSequence):
        equals_naive(result, changed)
    else:
        assert result.line is not None
