"""NTU RGB+D 60 and 120 ``.skeleton`` files.

The format (Shahroudy et al. 2016, and the read_skeleton_file.m of its authors), text, LF or CRLF:

    number of frames T
    for each frame:   number of bodies in it, 0 and more
      for each body:  10 fields: tracking id (a 17-digit integer), clipped edges, left hand confidence and
                      state, right hand confidence and state, restricted, lean x and y, tracking state
                      number of joints, always 25
        for each joint, in the order of the layout ``ntu25``, 12 fields:
                      x y z in metres in the camera's frame (x right, y up, z away from the camera),
                      depth x and y, colour x and y in pixels, orientation w x y z, tracking state

The name tells the rest: SsssCcccPpppRrrrAaaa is setup, camera, performer (subject), replication and action,
each from 1.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from skelkit import findings
from skelkit.errors import InputError
from skelkit.readers import text
from skelkit.sequence import SkeletonSequence

__all__ = ["parse_name", "read"]

_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", re.ASCII)
_LEAST_BODY_BYTES = 25 * 24 + 20 + 3
_MOST_PLACES = 4_000_000
"""Frames times bodies, 1.2 GB of joints: more than a day of one person."""
_READING = {
    findings.FRAME_COUNT: "the number of frames",
    findings.BODY_COUNT: "the number of bodies in a frame",
    findings.BODY: f"the {findings.NTU_BODY_FIELDS} fields of a body",
    findings.JOINT_COUNT: f"the number of joints, {findings.NTU_JOINTS}",
    findings.JOINT: f"the {findings.NTU_JOINT_FIELDS} fields of a joint",
}


def parse_name(file: str) -> tuple[str, dict[str, int]]:
    """The canonical name in a file's name, and setup, camera, subject, replication and action, from 1.

    >>> parse_name("nturgb+d_skeletons/S001C002P003R002A013.skeleton")[0]
    'S001C002P003R002A013'

    Raises
    ------
    InputError : the name is not SsssCcccPpppRrrrAaaa
    """
    name = re.sub(r"\.skeleton$", "", re.split(r"[/\\!]", file)[-1], flags=re.IGNORECASE)
    match = _NAME.fullmatch(name)
    numbers = [int(number) for number in match.groups()] if match else []
    if not numbers or 0 in numbers:
        raise InputError(
            file, f"the name is {name!r}, expected SsssCcccPpppRrrrAaaa as in S001C001P001R001A001"
        )
    fields = ("setup", "camera", "subject", "replication", "action")
    return name, dict(zip(fields, numbers, strict=True))


def read(data: bytes, file: str) -> SkeletonSequence:
    """Parse a whole file; every body of every frame, in the file's order.

    Parameters
    ----------
    data : the file's bytes
    file : its name or path, which names the sample and stands in the errors

    Returns
    -------
    SkeletonSequence with joints (T, M, 25, 3), M the most bodies of any frame, and tracks (T, M)

    Raises
    ------
    InputError : the name or the content is not as above; a coordinate is not a finite float32
    """
    name, columns = parse_name(file)
    if not data or data.isspace():
        raise InputError(file, "the file is empty, expected the number of frames", 1)
    counts, tracks, rows = _scan(data, file)
    frames, most = len(counts), int(counts.max(initial=0))
    if frames * most > _MOST_PLACES:
        raise InputError(file, f"{frames} frames with up to {most} bodies are more than memory should hold")
    slot = np.arange(most)[None, :] < counts[:, None]
    joints = np.zeros((frames, most, findings.NTU_JOINTS, 3), dtype=np.float32)
    ids = np.zeros((frames, most), dtype=np.int64)
    joints[slot] = rows
    ids[slot] = tracks
    label = columns.pop("action") - 1
    return SkeletonSequence(joints, slot, name, label, columns, ids)


def _scan(data: bytes, file: str) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Bodies of each frame (T,), tracking id (R,) and joints (R, 25, 3) of each body."""
    from skelkit import scanners  # numba: half a second

    raw = text.as_lines(data)
    most_rows = len(data) // _LEAST_BODY_BYTES + 1
    bodies = np.empty(len(data) // 2 + 1, dtype=np.int64)
    tracks = np.empty(most_rows, dtype=np.int64)
    joints = np.empty(most_rows * findings.NTU_JOINTS * 3, dtype=np.float32)
    result = np.empty(8, dtype=np.int64)
    hard = np.empty((64, 2), dtype=np.int64)
    scanners.scan_ntu(raw, bodies, tracks, joints, hard, result)
    status, line, at, reading, value, frames, rows, hards = result.tolist()
    if status == findings.TOO_FEW and at == len(data):  # at the line feed that as_lines added
        status = findings.ENDS_EARLY
    if status != findings.OK:
        raise InputError(file, _explain(data, status, at, reading, value), line)
    if hards > len(hard):
        hard = np.empty((hards, 2), dtype=np.int64)
        scanners.scan_ntu(raw, bodies, tracks, joints, hard, result)
    text.fill_hard_numbers(joints, hard[:hards], data, file)
    return bodies[:frames], tracks[:rows], joints.reshape(-1, findings.NTU_JOINTS, 3)[:rows]


def _explain(data: bytes, status: int, at: int, reading: int, value: int) -> str:
    expected = _READING[reading]
    found = text.shown(data, at)
    match status:
        case findings.ENDS_EARLY:
            return f"the file ends here, expected {expected}"
        case findings.NOT_NUMBER:
            return f"found {found} as field {value + 1}, expected a number among {expected}"
        case findings.NOT_FINITE:
            return f"found {found} as coordinate {'xyz'[value]}, expected a finite number"
        case findings.NOT_INTEGER:
            what = "the tracking id, a whole number" if reading == findings.BODY else expected
            return f"found {found}, expected {what}"
        case findings.TOO_FEW:
            many = f"{value} fields" if reading in (findings.BODY, findings.JOINT) else "an empty line"
            return f"found {many}, expected {expected}"
        case findings.TOO_MANY:
            return f"found more, from {found} on, than {expected}"
        case findings.OUT_OF_RANGE if reading == findings.FRAME_COUNT:
            return f"found {value} frames, expected 0 or more"
        case findings.OUT_OF_RANGE:
            return f"found {value}, expected {expected}"
        case _:
            return f"found {found} after the last frame, expected the end of the file"
