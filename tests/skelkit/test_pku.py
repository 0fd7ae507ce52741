"""readers.pku: skeletons as float() reads them, labels line by line, splits whole or not at all."""

from __future__ import annotations

import zipfile
from pathlib import Path

import naive
import numpy as np
import pytest

from skelkit.errors import InputError
from skelkit.readers import READERS, pku

NAME = "A10N08-L.txt"
SPLIT = b"Training videos: \nA01N01-L, A01N01-M, \nValidataion videos: \nA02N01-L, A02N01-M"


def members(archive: Path, folder: str) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as file:
        return {
            Path(name).name: file.read(name)
            for name in file.namelist()
            if name.startswith(folder) and not name.endswith("/")
        }


def frame_lines(seed: int = 0, frames: int = 3) -> list[bytes]:
    """Lines of two people."""
    numbers = np.random.default_rng(seed).normal(0, 1, (frames, 150)).round(6)
    return [b" ".join(b"%.6f" % number for number in frame) for frame in numbers]


def skeleton(lines: list[bytes], end: bytes = b"\n") -> bytes:
    return b"".join(line + end for line in lines)


def with_number(lines: list[bytes], line: int, number: int, text: bytes) -> bytes:
    """The file with another text as a number; both count from 1."""
    words = lines[line - 1].split()
    words[number - 1] = text
    return skeleton([*lines[: line - 1], b" ".join(words), *lines[line:]])


def equals_naive(data: bytes, name: str = NAME) -> None:
    sequence, expected = pku.read(data, name), naive.read_pku(data)
    assert sequence.joints.tobytes() == expected.tobytes()
    assert sequence.joints.shape == expected.shape
    assert sequence.present.tolist() == [[bool(body.any()) for body in frame] for frame in expected]


def refused(data: bytes, name: str = NAME) -> InputError:
    with pytest.raises(InputError) as caught:
        pku.read(data, name)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(name)
    return caught.value


def split_refused(data: bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        pku.read_split(data, "split.txt")
    assert "\n" not in str(caught.value)
    return caught.value


def test_the_real_recording_is_read_as_float_reads_it(shared_pku: Path) -> None:
    ((name, data),) = members(shared_pku / "pku2_sample.zip", "PKU_Skeleton_v2").items()
    equals_naive(data, name)
    sequence = pku.read(data, name)
    assert sequence.joints.shape == (1040, 2, 25, 3)
    assert sequence.present.sum(0).tolist() == [1040, 728]


def test_the_real_split_files(shared_pku: Path) -> None:
    splits = members(shared_pku / "pku2_sample.zip", "Split_v2")
    training, validation = pku.read_split(splits["cross_subject_v2.txt"], "a")
    assert (len(training), len(validation)) == (775, 234)
    assert {name[3:6] for name in validation} == {"N02", "N03", "N07"}
    training, validation = pku.read_split(splits["cross_view_v2.txt"], "a")
    assert (len(training), len(validation)) == (671, 338)
    assert {name[-1] for name in validation} == {"L"}


def test_the_real_label_files(shared_pku: Path) -> None:
    files = members(shared_pku / "pku1_labels_derived.zip", "")
    assert len(files) == 942
    for name, data in files.items():
        clips, errors = pku.read_labels(data, name)
        assert errors == []
        rows = [[c.label + 1, c.start, c.end, c.confidence] for c in clips]
        assert rows == [[int(word) for word in line.split(b",")] for line in data.split()]
    odd = pku.read_labels(files["0043-L.txt"], "0043-L.txt")[0]
    assert [(clip.start, clip.end) for clip in odd if clip.start > clip.end] == [(4925, 4036)]


def test_every_real_file_is_of_its_kind(shared_pku: Path) -> None:
    archive = shared_pku / "pku2_sample.zip"
    for folder, kind in (("PKU_S", "skeleton"), ("Label", "labels"), ("Split", "split")):
        assert {pku.kind(data[:512]) for data in members(archive, folder).values()} == {kind}
    labels = members(shared_pku / "pku1_labels_derived.zip", "")
    assert {pku.kind(data[:512]) for data in labels.values()} == {"labels"}


def test_a_real_list_without_headers_is_refused(shared_pku: Path) -> None:
    data = (shared_pku / "pku1_cross_subject_validation_names.txt").read_bytes()
    assert pku.kind(data[:512]) == "split"
    error = split_refused(data)
    assert (error.line, error.reason) == (
        1,
        "found '0291-L', expected the line 'Training videos:' before any name",
    )


def test_both_datasets_have_this_reader() -> None:
    assert READERS["pku1"] is READERS["pku2"] is pku.read


@pytest.mark.parametrize(
    ("file", "name", "columns"),
    [
        ("0002-L", "0002-L", {"recording": 2, "camera": 1}),
        ("a.zip!PKU_Skeleton_Renew/0364-R.txt", "0364-R", {"recording": 364, "camera": 3}),
        ("A01N13-M.skeleton", "A01N13-M", {"recording": 1, "camera": 2, "subject": 13}),
        ("dir\\A26N07-R.TXT", "A26N07-R", {"recording": 26, "camera": 3, "subject": 7}),
    ],
)
def test_what_the_name_says(file: str, name: str, columns: dict[str, int]) -> None:
    assert pku.parse_name(file) == (name, columns)
    sequence = pku.read(skeleton(frame_lines()), file)
    assert (sequence.name, sequence.label, sequence.tracks) == (name, -1, None)
    assert sequence.columns == columns


@pytest.mark.parametrize(
    "file",
    [
        "002-L.txt",
        "00002-L.txt",
        "0002-l.txt",
        "0002L.txt",
        "0002-N.txt",
        "0002.txt",
        "0002-L.csv",
        "0002-L (1).txt",
        "0000-L.txt",
        "A00N01-L.txt",
        "A01N00-L.txt",
        "A1N01-L.txt",
        "a01n01-L.txt",
        "\u0660\u0660\u0660\u0662-L.txt",
        "S001C001P001R001A001.skeleton",
        ".txt",
    ],
)
def test_a_bad_name(file: str) -> None:
    error = refused(skeleton(frame_lines()), file)
    assert "expected a recording as in 0002-L or A01N01-L" in error.reason


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \n", b"\t\r\n", b"\n "])
@pytest.mark.parametrize("start", [b"", b" ", b" \t"])
@pytest.mark.parametrize("tail", [b"", b"\n", b"\r\n \t\r\n\n", b"   "])
def test_blanks_and_line_ends(end: bytes, start: bytes, tail: bytes) -> None:
    lines = frame_lines()
    data = start + skeleton(lines, end) + tail
    equals_naive(data)
    assert pku.read(data, NAME).joints.tobytes() == pku.read(skeleton(lines)[:-1], NAME).joints.tobytes()


def test_a_body_is_absent_when_all_its_numbers_are_zero() -> None:
    zero, ones = [b"0.000000"] * 75, [b"1.5"] * 75
    nearly, minus = [*zero[1:], b"0.000001"], [b"-0.0"] * 75
    frames = [ones + zero, zero + ones, zero + zero, nearly + minus, ones + ones]
    data = skeleton([b" ".join(frame) for frame in frames])
    equals_naive(data)
    sequence = pku.read(data, NAME)
    assert sequence.present.tolist() == [
        [True, False],
        [False, True],
        [False, False],
        [True, False],
        [True, True],
    ]
    assert not np.signbit(sequence.joints[3, 1]).any()


@pytest.mark.parametrize(
    "text",
    [b"0", b"+.5", b"5.", b"1e22", b"-1E-7", b"1e-60", b"9007199254740993", b"3.4028235e38", b"0" * 5000],
)
@pytest.mark.parametrize("number", [1, 75, 150])
def test_any_spelling_of_a_number(number: int, text: bytes) -> None:
    equals_naive(with_number(frame_lines(), 2, number, text))


def test_nothing_but_hard_numbers() -> None:
    words = [b"0.12345678901234567890%03d" % number for number in range(150)]
    equals_naive(skeleton([b" ".join(words)] * 3))


@pytest.mark.parametrize(
    "text", [b"abc", b"1e", b".", b"-", b"+-1", b"1,5", b"1_0", b"0x10", b"\xd9\xa1", b"1\0"]
)
@pytest.mark.parametrize("number", [1, 75, 150])
def test_what_is_no_number(number: int, text: bytes) -> None:
    error = refused(with_number(frame_lines(), 2, number, text))
    assert error.line == 2
    assert f"as number {number}, expected a number among the 150 numbers of a frame" in error.reason


@pytest.mark.parametrize("text", [b"nan", b"-inf", b"INF", b"1e39", b"9" * 60, b"-1e400"])
@pytest.mark.parametrize("number", [1, 150])
def test_not_finite(number: int, text: bytes) -> None:
    error = refused(with_number(frame_lines(), 3, number, text))
    assert error.line == 3
    assert text[:40].decode() in error.reason


def test_too_few_and_too_many_numbers() -> None:
    lines = frame_lines()
    few = refused(skeleton([lines[0], lines[1].rsplit(b" ", 1)[0], lines[2]]))
    assert (few.line, few.reason) == (2, "found 149 numbers, expected the 150 numbers of a frame")
    many = refused(skeleton([lines[0], lines[1] + b" 77", lines[2]]))
    assert (many.line, many.reason) == (2, "found more, from '77' on, than the 150 numbers of a frame")


@pytest.mark.parametrize("line", [1, 2, 3])
def test_an_empty_line_between(line: int) -> None:
    lines = frame_lines()
    error = refused(skeleton([*lines[: line - 1], b" ", *lines[line - 1 :]]))
    assert (error.line, error.reason) == (line, "found an empty line, expected the 150 numbers of a frame")


def test_truncated_within_a_line() -> None:
    data = skeleton(frame_lines())
    error = refused(data[: data.rindex(b" ")])
    assert error.line == 3
    assert error.reason == "the file ends here after 149 numbers, expected the 150 numbers of a frame"


@pytest.mark.parametrize("data", [b"", b"\n", b" \r\n\t"])
def test_an_empty_file(data: bytes) -> None:
    error = refused(data)
    assert (error.line, "the file is empty" in error.reason) == (1, True)


def test_lines_as_short_as_can_be() -> None:
    equals_naive(b"\n".join([b" ".join([b"1"] * 150)] * 40))


@pytest.mark.parametrize(
    ("line", "clip"),
    [
        (b"5,30,110,2", (4, 30, 110, 2)),
        (b"5,30,110", (4, 30, 110, -1)),
        (b"5,30,110,", (4, 30, 110, -1)),
        (b" 51 ,\t0 , 9 , 0 , , \r", (50, 0, 9, 0)),
        (b"1,4925,4036,1", (0, 4925, 4036, 1)),
        (b"1,-3,4,1", (0, -3, 4, 1)),
        (b"01,000,007,1,", (0, 0, 7, 1)),
    ],
)
def test_a_label(line: bytes, clip: tuple[int, int, int, int]) -> None:
    for data, number in ((line, 1), (b"\n \r\n" + line + b"\n\n", 3)):
        assert pku.read_labels(data, "a.txt") == ([pku.Clip(number, *clip)], [])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"five,0,9,1", "found 'five,0,9,1', expected whole numbers: action,start,end,confidence"),
        (b"5,0", "found '5,0', expected whole numbers"),
        (b"5,0,9,1,7", "found '5,0,9,1,7', expected whole numbers"),
        (b"5,0,,9", "found '5,0,,9', expected whole numbers"),
        (b",5,0,9", "found ',5,0,9', expected whole numbers"),
        (b"5 0 9 1", "expected whole numbers"),
        (b"5,0.5,9,1", "expected whole numbers"),
        (b"5,1e2,900,1", "expected whole numbers"),
        (b"5,1_0,90,1", "expected whole numbers"),
        (b"5,+1,90,1", "expected whole numbers"),
        (b"5,\xd9\xa1,90,1", "expected whole numbers"),
        (b"5,0," + b"9" * 5000, "expected whole numbers"),
        (b",,,", "expected whole numbers"),
        (b"\0", "expected whole numbers"),
        (b"0,0,9,1", "found action 0, expected 1 to 51"),
        (b"52,0,9,1", "found action 52, expected 1 to 51"),
        (b"-5,0,9,1", "found action -5, expected 1 to 51"),
        (b"5,0,9,-1", "found confidence -1, expected 0 or more"),
    ],
)
def test_a_line_that_is_no_label_is_named_and_the_others_kept(line: bytes, reason: str) -> None:
    clips, errors = pku.read_labels(b"5,0,9,1\n\n" + line + b"\r\n6,9,12,2", "a.txt")
    assert clips == [pku.Clip(1, 4, 0, 9, 1), pku.Clip(4, 5, 9, 12, 2)]
    assert [(error.file, error.line) for error in errors] == [("a.txt", 3)]
    assert reason in errors[0].reason
    assert len(errors[0].reason) < 120
    assert str(errors[0]).isprintable()


@pytest.mark.parametrize("data", [b"", b"\n \r\n"])
def test_no_label_at_all(data: bytes) -> None:
    assert pku.read_labels(data, "a.txt") == ([], [])


@pytest.mark.parametrize(
    "header",
    [
        b"Validataion videos: ",
        b"Validation videos:",
        b"TESTING VIDEOS :\t",
        b"test video:",
        b"validation\tvideos:",
    ],
)
def test_a_split(header: bytes) -> None:
    expected = (frozenset(["A01N01-L", "A01N01-M"]), frozenset(["A02N01-L", "A02N01-M"]))
    data = SPLIT.replace(b"Validataion videos: ", header)
    for text in (
        data,
        data + b",",
        data + b" , ,\n\n",
        data.replace(b"\n", b" \r\n"),
        data.replace(b", A", b",\nA"),
    ):
        assert pku.read_split(text, "split.txt") == expected
    turned = header + b"\nA02N01-L, A02N01-M,\n\ntraining videos: A01N01-L,\nA01N01-M\n"
    assert pku.read_split(turned, "split.txt") == expected


def test_names_of_phase_1_and_names_twice_in_one_list() -> None:
    data = b"Training videos:\n0002-L, 0002-L\nValidation videos:\n0003-R"
    assert pku.read_split(data, "split.txt") == (frozenset(["0002-L"]), frozenset(["0003-R"]))


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        (b"A02N01-L", b"A02N1-L", 4, "found 'A02N1-L', expected a recording"),
        (b"A01N01-M", b"A01N01-M A01N02-M", 2, "found 'A01N01-M A01N02-M', expected a recording"),
        (b"A01N01-M", b"A01N01-M.txt", 2, "expected a recording"),
        (b"A01N01-M", b"A01N00-M", 2, "expected a recording"),
        (b"A01N01-M", b"\xff\0" + b"x" * 500, 2, "expected a recording"),
        (b"Validataion", b"Other", 3, "found 'Other videos:', expected a recording"),
        (b"A02N01-M", b"A01N01-M", 4, "A01N01-M is in both lists"),
        (b"Training videos: ", b"", 2, "found 'A01N01-L', expected the line 'Training videos:'"),
        (b"A01N01-L, A01N01-M, ", b" , ", None, "no name below 'Training videos:'"),
        (b"A02N01-L, A02N01-M", b"", None, "no name below 'Validation videos:'"),
        (b"Validataion videos: ", b"", None, "no name below 'Validation videos:'"),
        (SPLIT, b"", None, "no name below 'Training videos:'"),
    ],
)
def test_a_split_that_is_none(old: bytes, new: bytes, line: int | None, reason: str) -> None:
    assert old in SPLIT
    error = split_refused(SPLIT.replace(old, new))
    assert error.line == line
    assert reason in error.reason
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"Training videos: \nA01N01-L, A01N", "split"),
        (b"\r\n  validation VIDEOS:\r\n", "split"),
        (b"Trainings:\nA01N01-L", "split"),
        (b"Training videos: A01N01-L, A01N0", "split"),
        (b"0291-L, 0291-M", "split"),
        (b"A01N01-L\nA01N01-M\n", "split"),
        (b"5,30,110,2\n", "labels"),
        (b"\n 5 , 30,110\r\n", "labels"),
        (b"5,30,x\n", "labels"),
        (b"0,30\n", "labels"),
        (b"\xef\xbb\xbf5,30,110,2\n", "labels"),
        (b" -0.304560 0.212575 2.7" * 4, "skeleton"),
        (b"0 " * 150, "skeleton"),
        (b"0 0 0 0", None),
        (b"0,304560 0,212575 2,72", None),
        (b"", None),
        (b" \r\n", None),
        (b"\xff\xfe", None),
    ],
)
def test_kind(head: bytes, kind: str | None) -> None:
    assert pku.kind(head) == kind
