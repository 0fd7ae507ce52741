"""Slow, obvious twins of every kernel: one thing after the other, in plain Python where that is clearest."""

from __future__ import annotations

import cmath
import io
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Joints = NDArray[np.float32]


def uniforms(seed: int, epoch: int, stream: int, sample: int, view: int, numbers: int) -> NDArray[np.float64]:
    """numpy's own generator, at the counter of one view."""
    key, counter = np.array([seed, epoch], np.uint64), np.array([0, stream, sample, view], np.uint64)
    bits = np.random.Philox(key=key, counter=counter)
    return np.random.Generator(bits).random(numbers)


def crop(joints: Joints, start: int, length: int) -> Joints:
    return joints[start : start + length]


def at(values: NDArray[Any], moment: float) -> NDArray[np.float64]:
    """Between two of (T, ...) values, linearly; the first or last outside."""
    moment = min(max(moment, 0.0), len(values) - 1.0)
    below = int(moment)
    above = below + 1 if below + 1 < len(values) else below
    mean: NDArray[np.float64] = (1 - (moment - below)) * values[below] + (moment - below) * values[above]
    return mean


def resample(joints: Joints, frames: int) -> Joints:
    """(T, M, V, 3) to (frames, M, V, 3), half-pixel centres."""
    shown = [at(joints, (f + 0.5) * len(joints) / frames - 0.5) for f in range(frames)]
    return np.array(shown, np.float32)


def linear(joints: Joints, matrix: NDArray[np.float64]) -> Joints:
    """Shear and rotation: every joint times one matrix."""
    result = np.zeros_like(joints)
    for index in np.ndindex(*joints.shape[:3]):
        result[index] = matrix @ joints[index]
    return result


def jitter(joints: Joints, chosen: NDArray[np.bool_], matrix: NDArray[np.float64]) -> Joints:
    """The chosen joints times one matrix, which is zero where they are dropped."""
    result = joints.copy()
    for t, m, v in np.ndindex(*joints.shape[:3]):
        if chosen[v]:
            result[t, m, v] = matrix @ joints[t, m, v]
    return result


def mirror(joints: Joints, pairs: Iterable[tuple[int, int]], axis: str) -> Joints:
    """Left joints to the right and right ones to the left; one coordinate changes its sign."""
    result = joints.copy()
    for left, right in pairs:
        result[:, :, left], result[:, :, right] = joints[:, :, right], joints[:, :, left]
    if axis != "none":
        result[..., "xyz".index(axis)] *= -1
    return result


def scale_bones(joints: Joints, bones: Iterable[tuple[int, int]], factor: NDArray[np.float64]) -> Joints:
    """Each (child, parent) bone times factor[child]: the child moves, and all that hangs on it does too."""
    parents = dict(bones)
    result = joints.astype(np.float64)
    for child, parent in parents.items():
        shift = (factor[child] - 1) * (joints[:, :, child].astype(np.float64) - joints[:, :, parent])
        for v in range(joints.shape[2]):
            at = v
            while at != child and at in parents:
                at = parents[at]
            if at == child:
                result[:, :, v] += shift
    return result.astype(np.float32)


def blur(joints: Joints, sigma: float) -> Joints:
    """Frame by frame the mean of the frames up to 4 sigma away in which the body is there, by a Gaussian."""
    result = np.zeros(joints.shape)
    radius = int(4 * sigma + 0.5)
    for m in range(joints.shape[1]):
        there = [t for t in range(len(joints)) if joints[t, m].any()]
        for t in there:
            near = [u for u in there if abs(u - t) <= radius]
            weights = [math.exp(-((u - t) ** 2) / (2 * sigma**2)) if u != t else 1.0 for u in near]
            result[t, m] = np.average(joints[near, m], axis=0, weights=weights)
    return result.astype(np.float32)


def add_noise(joints: Joints, noise: Joints) -> Joints:
    result = joints.copy()
    for t, m in np.ndindex(*joints.shape[:2]):
        if joints[t, m].any():
            result[t, m] += noise[t, m]
    return result


def gaussians(uniforms: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Box and Muller: a uniform length and direction make two normal numbers."""
    result = []
    for one, other in uniforms.reshape(-1, 2).tolist():
        point = cmath.rect(sigma * math.sqrt(-2 * math.log(1 - one)), 2 * math.pi * other)
        result += [point.real, point.imag]
    return np.array(result)


def hide(joints: Joints, start: int, length: int) -> Joints:
    result = joints.copy()
    result[start : start + length] = 0
    return result


def to_bones(joints: Joints, bones: Iterable[tuple[int, int]]) -> Joints:
    result = np.zeros_like(joints)
    for child, parent in bones:
        result[:, :, child] = joints[:, :, child] - joints[:, :, parent]
    return result


def to_motion(joints: Joints) -> Joints:
    result = np.zeros_like(joints)
    for t in range(len(joints) - 1):
        result[t] = joints[t + 1] - joints[t]
    return result


def view(joints: Joints, values: Mapping[str, Any], layout: Any, noise: Joints | None = None) -> Joints:
    """A view (F, M, V, 3) made from what `ViewParameters.describe` says, one augmentation after the other."""
    result = np.array([at(joints, moment) for moment in moments(values, len(joints))], np.float32)
    for part, drawn in _parts(values):
        match part.split(" #")[0]:
            case "shear":
                result = linear(result, drawn["matrix"])
            case "rotation":
                turn = Rotation.from_rotvec(np.radians(drawn["degrees"]) * drawn["axis"])
                result = linear(result, turn.as_matrix())
            case "jitter":
                result = jitter(result, drawn["joints"], drawn["matrix"])
            case "mirror":
                result = mirror(result, layout.mirror, str(drawn["axis"]))
            case "axis":
                result = linear(result, np.diag([str(drawn["axis"]) != axis for axis in "xyz"]).astype(float))
            case "parts":
                masked = [v for name in drawn["names"] for v in layout.parts[name]]
                assert sorted(masked) == np.flatnonzero(drawn["joints"]).tolist()
                result[:, :, masked] = 0
            case "bones":
                result = scale_bones(result, layout.bones, drawn["factor"])
            case "blur":
                result = blur(result, float(drawn["sigma"]))
            case "noise":
                if noise is not None:  # the sum of all noises, with the first of them
                    result = add_noise(result, noise[: len(result)])
                noise = None
            case "mask":
                result = hide(result, int(drawn["start"]), int(drawn["length"]))
            case other:
                assert other in ("crop", "centre crop", "speed", "resample", "reverse")
    return result


def moments(values: Mapping[str, Any], frames: int) -> list[float]:
    """The moment of a sequence, in its own frames, that each frame of a view shows."""
    shown = np.arange(float(frames))
    for part, drawn in _parts(values):
        match part.split(" #")[0]:
            case "speed":
                played = int(drawn["frames"])
                step = -1 if len(shown) > 1 and shown[1] < shown[0] else 1
                shown = np.array(
                    [shown[0] + step * ((i + 0.5) * frames / played - 0.5) for i in range(played)]
                )
            case "crop" | "centre crop":
                shown = crop(shown, int(drawn["start"]), int(drawn["length"]))
            case "reverse":
                shown = shown[::-1]
            case "resample":
                count = int(drawn["frames"])
                shown = np.array([at(shown, (f + 0.5) * len(shown) / count - 0.5) for f in range(count)])
    return shown.tolist()


def _parts(values: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Each augmentation that took part, and what it drew."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        part, _, key = name.partition(".")
        found.setdefault(part, {})[key] = np.asarray(value)
    return list(found.items())


Bodies = list[list[tuple[int, list[list[float]]]]]
"""Frame by frame, body by body: tracking id and the joints' x, y, z."""


def skeleton_text(frames: list[list[tuple[int, list[list[object]]]]], end: str = "\n") -> bytes:
    """A .skeleton file of these bodies; coordinates may be texts, and are written as they are."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for track, joints in bodies:
            lines += [f"{track} 0 1 1 1 1 0 0.02 -0.1 2", str(len(joints))]
            lines += [f"{x} {y} {z} 250.1 190.2 1000.3 540.4 0.1 0.2 0.3 0.9 2" for x, y, z in joints]
    return (end.join(lines) + end).encode()


def read_skeleton(data: bytes) -> Bodies:
    """A .skeleton file, by line and by word."""
    lines = [line.split() for line in data.decode("ascii").split("\n")]
    frames: Bodies = []
    at = 1
    for _ in range(int(lines[0][0])):
        bodies = []
        count = int(lines[at][0])
        at += 1
        for _ in range(count):
            track, joints = int(lines[at][0]), int(lines[at + 1][0])
            rows = lines[at + 2 : at + 2 + joints]
            bodies.append((track, [[float(word) for word in row[:3]] for row in rows]))
            at += 2 + joints
        frames.append(bodies)
    return frames


def read_pku(data: bytes) -> Joints:
    """A skeleton file of PKU-MMD, by line and by word: (T, 2, 25, 3)."""
    frames = []
    for line in data.decode("ascii").split("\n"):
        numbers = [float(word) for word in line.split()]
        if numbers:
            bodies = np.array(numbers, np.float64).astype(np.float32).reshape(2, 25, 3)
            frames.append([body if body.any() else np.zeros_like(body) for body in bodies])
    return np.array(frames, np.float32)


BODY_FIELDS = (
    *("id", "edges", "left_confidence", "left", "right_confidence", "right"),
    *("restricted", "lean_x", "lean_y", "tracking"),
)
JOINT_FIELDS = ("x", "y", "z", "depth_x", "depth_y", "colour_x", "colour_y", "w", "i", "j", "k", "tracking")


def isc_pipeline(data: bytes) -> Joints:
    """A file's bytes to what the paper's code stores of it: (3, 300, 25, 2), played again up to frame 300.

    Like that code it reads line by line, keeps every field by its name, and has a loop where that has one.
    """
    lines = io.StringIO(data.decode("ascii"))
    frames: Bodies = []
    for _ in range(int(lines.readline())):
        bodies = []
        for _ in range(int(lines.readline())):
            body = _fields(BODY_FIELDS, lines.readline())
            joints = [_fields(JOINT_FIELDS, lines.readline()) for _ in range(int(lines.readline()))]
            bodies.append((int(body["id"]), [[joint["x"], joint["y"], joint["z"]] for joint in joints]))
        frames.append(bodies)
    return _isc(frames, 300)


def _fields(names: tuple[str, ...], line: str) -> dict[str, float]:
    return {name: float(word) for name, word in zip(names, line.split(), strict=True)}


def isc(frames: Bodies) -> Joints:
    """The recipe ``isc``: (T, up to 2, 25, 3)."""
    joints = _isc(frames, len(frames)).transpose(1, 3, 2, 0)
    return joints[:, [m for m in range(2) if joints[:, m].any()]]


def _isc(frames: Bodies, length: int) -> Joints:
    """(3, length, 25, 2), the frames after the last one filled by playing it again."""
    slots = np.zeros((4, len(frames), 25, 3))
    for t, frame in enumerate(frames):
        for slot, (_, pose) in enumerate(frame[:4]):
            for v, joint in enumerate(pose):
                slots[slot, t, v] = joint
    spread = []
    for m in range(4):
        there = slots[m, slots[m].sum(axis=(1, 2)) != 0]
        spread.append(sum(there[..., axis].std() for axis in range(3)) if len(there) else 0)
    result = np.zeros((3, length, 25, 2), np.float32)
    persons = result.transpose(3, 1, 2, 0)
    persons[:, : len(frames)] = slots[np.argsort(spread)[::-1][:2]]
    if not persons.any():
        return result
    for person in persons:
        if person.sum() != 0:
            _fill(person)
    centre = persons[0, :, 1:2].copy()
    for person in persons:
        person[:] = (person - centre) * (person.sum(axis=-1, keepdims=True) != 0)
    for tail, head, target in ((0, 1, [0, 0, 1]), (4, 8, [1, 0, 0])):
        matrix = _shortest_turn(persons[0, 0, head] - persons[0, 0, tail], target)
        for person in persons:
            if person.sum() == 0:
                continue
            for pose in person:
                if pose.sum() == 0:
                    continue
                for joint in pose:
                    joint[:] = np.dot(matrix, joint)
    return result


def _fill(person: Joints) -> None:
    """The frames of one who comes late to the start; then all again, as often as there is room."""
    if person[0].sum() == 0:
        there = person[person.sum(axis=(1, 2)) != 0]
        person[:] = 0
        person[: len(there)] = there
    for t, pose in enumerate(person):
        if pose.sum() == 0 and person[t:].sum() == 0:
            for later in range(t, len(person)):
                person[later] = person[later - t]
            return


def _shortest_turn(bone: Joints, target: list[int]) -> NDArray[np.float64]:
    """Rodrigues' formula, by the matrix of the cross product with the axis."""
    axis = np.cross(bone, target)
    if np.abs(axis).sum() < 1e-6:
        return np.eye(3)
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.arccos(np.clip(np.dot(bone / np.linalg.norm(bone), target), -1, 1))
    turn: NDArray[np.float64] = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return turn


def ctrgcn(frames: Bodies) -> Joints:
    """The recipe ``ctrgcn``, person by person: (T, up to 2, 25, 3)."""
    people: dict[tuple[int, int], tuple[int, list[Joints]]] = {}
    time = 0
    for frame in frames:
        shown = [(track, np.array(pose, np.float32)) for track, pose in frame if np.any(pose)]
        tracks = [track for track, _ in shown]
        for m, (track, pose) in enumerate(shown):
            person = track, tracks[:m].count(track)
            people.setdefault(person, (time, []))[1].append(pose)
        time += bool(shown)
    if len(people) > 1 and any(len(poses) >= 12 for _, poses in people.values()):
        people = {person: found for person, found in people.items() if len(found[1]) >= 12}
    motion = {}
    for person, (_, poses) in list(people.items()):
        upright = [pose for pose in poses if np.ptp(pose[:, 0]) <= np.float32(0.8) * np.ptp(pose[:, 1])]
        if len(people) > 1 and 1 - len(upright) / len(poses) >= 0.69754:
            del people[person]
            continue
        motions = [np.concatenate(some).var(axis=0).sum() for some in (poses, upright) if some]
        motion[person] = min(motions)
    actors = np.zeros((time, 2, 25, 3), np.float32)
    spans: list[tuple[int, int] | None] = [None, (0, 0)]
    for person in sorted(people, key=lambda person: -motion[person]):
        start, poses = people[person]
        end = start + len(poses) - 1
        for actor, span in enumerate(spans):
            if span is None or min(span[1], end) - max(span[0], start) <= 0:
                actors[start : end + 1, actor] = poses
                spans[actor] = (min(span[0], start), max(span[1], end)) if span else (start, end)
                break
    actors = actors[actors.any(axis=(1, 2, 3))]
    actors = actors[:, [m for m in range(2) if actors[:, m].any()]]
    if actors.size:
        origin = next(pose[1].copy() for pose in actors[:, 0] if pose.any())
    for t, m in np.ndindex(*actors.shape[:2]):
        if actors[t, m].any():
            actors[t, m] -= origin
    return actors
