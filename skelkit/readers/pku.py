"""PKU-MMD I and II: skeleton, label and split files.

The format (Liu et al. 2017, arXiv 1703.07475, and the data as distributed), text, LF or CRLF:

    skeleton    one line a frame with 150 numbers: two bodies of 25 joints x y z, in metres in the camera's
                frame, joints in the order of the layout ``ntu25``; the 75 numbers of an absent body are all
                zero. Lines may begin with a blank
    labels      one line an action: its number from 1 to 51, first frame and end, counted from 0, and a
                confidence, parted by commas; some files lack the confidence
    split       a line ``Training videos:``, names with commas, a line ``Validataion videos:`` (spelt so),
                names with commas

A skeleton file and its label file bear the same name, the recording's: 0002-L in phase I; AaaNnn-L in phase
II, recording aa of subject nn. L, M and R are the left, middle and right camera.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skelkit import findings
from skelkit.errors import InputError
from skelkit.readers import text
from skelkit.sequence import SkeletonSequence

__all__ = ["Clip", "kind", "parse_name", "read", "read_labels", "read_split"]

_ACTIONS = 51
_SOME_NUMBERS = 10
"""In a row: a skeleton file."""
_NAME = re.compile(r"(?:(?P<phase1>\d{4})|A(?P<phase2>\d{2})N(?P<subject>\d{2}))-(?P<camera>[LMR])", re.ASCII)
_HEADER = re.compile(r"(training|validata?ion|test(?:ing)?)[ \t]+videos?[ \t]*:", re.IGNORECASE)
_WHOLE_NUMBER = re.compile(rb"-?\d{1,18}")
_TWO_WHOLE_NUMBERS = re.compile(r"-?\d+[ \t]*,[ \t]*-?\d+[ \t\r]*(?:,|$)", re.ASCII)
_BLANKS = " \t\r"
_LEAST_LINE_BYTES = 2 * findings.PKU_NUMBERS
_NUMBERS = f"the {findings.PKU_NUMBERS} numbers of a frame"
_EXPECTED_NAME = "a recording as in 0002-L or A01N01-L"


@dataclass(frozen=True)
class Clip:
    """A labelled action of a recording."""

    number: int
    """The line of the label file, from 1."""
    label: int
    """0-based class."""
    start: int
    """First frame, as written."""
    end: int
    """As written; nothing is made sure of it."""
    confidence: int
    """-1 where it is missing."""


def parse_name(file: str) -> tuple[str, dict[str, int]]:
    """The canonical name in a file's name, and recording, camera (L 1, M 2, R 3) and, in phase II, subject.

    >>> parse_name("PKU_Skeleton_v2/A10N08-R.txt")
    ('A10N08-R', {'recording': 10, 'camera': 3, 'subject': 8})

    Raises
    ------
    InputError : the name is that of no recording
    """
    name = re.sub(r"\.(txt|skeleton)$", "", re.split(r"[/\\!]", file)[-1], flags=re.IGNORECASE)
    columns = _columns(name)
    if columns is None:
        raise InputError(file, f"the name is {name!r}, expected {_EXPECTED_NAME}")
    return name, columns


def _columns(name: str) -> dict[str, int] | None:
    """What a recording's name says; None where it is no such name."""
    match = _NAME.fullmatch(name)
    if not match:
        return None
    columns = {
        "recording": int(match["phase1"] or match["phase2"]),
        "camera": "LMR".index(match["camera"]) + 1,
    }
    if match["subject"]:
        columns["subject"] = int(match["subject"])
    return columns if min(columns.values()) > 0 else None


def read(data: bytes, file: str) -> SkeletonSequence:
    """Parse a whole skeleton file.

    Parameters
    ----------
    data : the file's bytes
    file : its name or path, which names the recording and stands in the errors

    Returns
    -------
    SkeletonSequence with joints (T, 2, 25, 3), label -1, and no tracks: the files do not say who is who

    Raises
    ------
    InputError : the name or the content is not as above; a coordinate is not a finite float32
    """
    name, columns = parse_name(file)
    if not data or data.isspace():
        raise InputError(file, f"the file is empty, expected lines with {_NUMBERS}", 1)
    joints = _scan(data, file).reshape(-1, 2, findings.PKU_NUMBERS // 6, 3)
    present = np.asarray(joints.any(axis=(2, 3)))
    joints[~present] = 0  # not -0
    return SkeletonSequence(joints, present, name, -1, columns)


def _scan(data: bytes, file: str) -> NDArray[np.float32]:
    """The numbers of each frame, (T, 150)."""
    from skelkit import scanners  # numba: half a second

    raw = text.as_lines(data)
    joints = np.empty((raw.size // _LEAST_LINE_BYTES + 1) * findings.PKU_NUMBERS, dtype=np.float32)
    result = np.empty(6, dtype=np.int64)
    hard = np.empty((64, 2), dtype=np.int64)
    scanners.scan_pku(raw, joints, hard, result)
    status, line, at, value, frames, hards = result.tolist()
    if status == findings.TOO_FEW and at == len(data):  # at the line feed that as_lines added
        status = findings.ENDS_EARLY
    if status != findings.OK:
        raise InputError(file, _explain(data, status, at, value), line)
    if hards > len(hard):
        hard = np.empty((hards, 2), dtype=np.int64)
        scanners.scan_pku(raw, joints, hard, result)
    text.fill_hard_numbers(joints, hard[:hards], data, file)
    return joints.reshape(-1, findings.PKU_NUMBERS)[:frames].copy()


def _explain(data: bytes, status: int, at: int, value: int) -> str:
    found = text.shown(data, at)
    match status:
        case findings.ENDS_EARLY:
            return f"the file ends here after {value} numbers, expected {_NUMBERS}"
        case findings.NOT_NUMBER:
            return f"found {found} as number {value + 1}, expected a number among {_NUMBERS}"
        case findings.NOT_FINITE:
            return f"found {found} as number {value + 1}, expected a finite number"
        case findings.TOO_FEW:
            return f"found {f'{value} numbers' if value else 'an empty line'}, expected {_NUMBERS}"
        case _:
            return f"found more, from {found} on, than {_NUMBERS}"


def read_labels(data: bytes, file: str) -> tuple[list[Clip], list[InputError]]:
    """Parse a label file: the actions, and an error for every line that is none.

    Blank lines are passed over; so are blanks and further commas at the end of a line.
    """
    clips, errors = [], []
    for number, line in enumerate(data.removeprefix(BOM_UTF8).split(b"\n"), 1):
        bare = line.strip(b" \t\r")
        if not bare:
            continue
        words = [word.strip(b" \t\r") for word in bare.rstrip(b" \t\r,").split(b",")]
        values = [int(word) for word in words if _WHOLE_NUMBER.fullmatch(word)]
        if len(values) != len(words) or len(words) not in (3, 4):
            found = bare[:40].decode("ascii", "replace")
            reason = f"found {found!a}, expected whole numbers: action,start,end,confidence"
        elif not 1 <= values[0] <= _ACTIONS:
            reason = f"found action {values[0]}, expected 1 to {_ACTIONS}"
        elif len(words) == 4 and values[3] < 0:
            reason = f"found confidence {values[3]}, expected 0 or more"
        else:
            action, start, end, confidence = (*values, -1)[:4]
            clips.append(Clip(number, action - 1, start, end, confidence))
            continue
        errors.append(InputError(file, reason, number))
    return clips, errors


def read_split(data: bytes, file: str) -> tuple[frozenset[str], frozenset[str]]:
    """Parse a split file: the names of the training and of the validation recordings.

    Raises
    ------
    InputError : a name without a header before it, is that of no recording, or is in both lists; a list is
        missing or empty
    """
    training: set[str] = set()
    validation: set[str] = set()
    current: set[str] | None = None
    for number, line in enumerate(data.decode("ascii", "replace").split("\n"), 1):
        names = line.strip(_BLANKS)
        header = _HEADER.match(names)
        if header:
            current = training if header[1].lower() == "training" else validation
            names = names[header.end() :]
        for name in filter(None, (word.strip(_BLANKS) for word in names.split(","))):
            if current is None:
                reason = f"found {name[:40]!a}, expected the line 'Training videos:' before any name"
                raise InputError(file, reason, number)
            if _columns(name) is None:
                raise InputError(file, f"found {name[:40]!a}, expected {_EXPECTED_NAME}", number)
            if name in (validation if current is training else training):
                raise InputError(file, f"{name} is in both lists, expected it in one", number)
            current.add(name)
    for names_of, part in (("Training", training), ("Validation", validation)):
        if not part:
            raise InputError(file, f"no name below '{names_of} videos:', expected lists of both parts")
    return frozenset(training), frozenset(validation)


def kind(head: bytes) -> Literal["skeleton", "labels", "split"] | None:
    """What a file is, by its first bytes, some hundred; a list of names without a header is a split file.
    None where they do not tell."""
    line = head.removeprefix(BOM_UTF8).decode("ascii", "replace").lstrip().partition("\n")[0].rstrip()
    if line.endswith(":") or _HEADER.match(line) or _columns(re.split(r"[ \t\r,]", line, maxsplit=1)[0]):
        return "split"
    if _TWO_WHOLE_NUMBERS.match(line):
        return "labels"
    return "skeleton" if len(line.split()) >= _SOME_NUMBERS else None
