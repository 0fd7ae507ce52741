"""Views as plain numbers: what they are drawn from, their parameters, and how these are applied.

Drawing gives plain arrays that depend on (seed, epoch, sample, view) alone; applying them is deterministic. A
view, however many augmentations made it, is made in the same few steps: frames are sampled and joints mapped
in one pass over the data, bone lengths scaled before the maps; then blur, noise, and hiding of frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelkit import effects, view_kernels
from skelkit.skeleton import JointLayout

__all__ = [
    "MOST_PARTS",
    "STREAMS",
    "DrawKey",
    "Drawn",
    "ViewParameters",
    "check_rows",
    "identity",
    "make_views",
    "sample_frames",
    "to_stream",
]

MOST_PARTS = 15
"""Of a composition."""

STREAMS = ("joint", "bone", "motion")
"""What a view can be given as."""


_UNCHANGED = np.eye(3, dtype=np.float32).tobytes()
_NOTHING = {"bones": np.float32(1), "blur": np.float32(0), "noise": np.float32(0), "hidden": np.False_}
"""What changes nothing."""


@dataclass(frozen=True)
class DrawKey:
    """What the random numbers of N views are keyed by; each number can be drawn again by itself.

    The numbers of view n are those of ``numpy.random.Philox(key=[seed, epoch], counter=[0, stream,
    sample[n], view[n]])``, where the stream tells the parts of a composition apart.
    """

    seed: int
    epoch: int
    sample: NDArray[np.int64]
    """(N,) place of the sequence in its store."""
    view: NDArray[np.int64]
    """(N,) 0 for the query's view, 1 for the key's, and so on."""
    stream: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError where the parts do not fit together: the loops check no bounds."""
        if self.sample.shape != self.view.shape or self.sample.ndim != 1:
            raise ValueError(f"sample is {self.sample.shape}, view is {self.view.shape}, expected (N,) twice")
        for name, number in (("seed", self.seed), ("epoch", self.epoch)):
            if not 0 <= number < 1 << 64:
                raise ValueError(f"{name} is {number}, expected 0 or more, below 2**64")

    def uniforms(self, numbers: int) -> NDArray[np.float64]:
        """(N, numbers) in [0, 1); always the same for the same key."""
        out = np.empty((len(self.sample), numbers))
        key = np.uint64(self.seed), np.uint64(self.epoch), np.uint64(self.stream)
        view_kernels.philox_uniforms(*key, self.sample.astype(np.uint64), self.view.astype(np.uint64), out)
        return out

    def part(self, number: int) -> DrawKey:
        """The key of a composition's part: its draws do not depend on the other parts'."""
        stream = self.stream * (MOST_PARTS + 1) + number + 1
        return DrawKey(self.seed, self.epoch, self.sample, self.view, stream)


@dataclass(frozen=True)
class Drawn:
    """What one augmentation drew, for people to read."""

    values: NDArray[np.generic]
    """(N, ...)"""
    active: NDArray[np.bool_]
    """(N,) whether it takes part in view n (a one-of draws all, and takes one)."""


@dataclass(frozen=True)
class ViewParameters:
    """N views of F frames, up to M bodies and V joints, as plain numbers, in the order they are applied."""

    layout: JointLayout
    """Of the V joints."""
    bodies: int
    """M; missing bodies are zero, further ones left out."""
    recorded: NDArray[np.int64]
    """(N,) T, the frames of each sequence."""
    played: NDArray[np.int64]
    """(N,) frames of the sequence when played at another speed; ``recorded`` if it is not."""
    start: NDArray[np.int64]
    """(N,) first frame taken, of those played."""
    length: NDArray[np.int64]
    """(N,) frames taken, of those played."""
    backwards: NDArray[np.bool_]
    """(N,) whether the last frame taken comes first."""
    maps: NDArray[np.float32]
    """(N, V, 3, 3) joint v, once in its place, becomes maps[n, v] @ joint."""
    active: NDArray[np.bool_]
    """(N,) whether what is drawn next takes part in view n."""
    frames: int | None = None
    """F, after resampling; None where a view keeps the frames taken."""
    bones: NDArray[np.float32] | None = None
    """(N, V) the bone from joint v towards the trunk becomes so many times as long, before all maps."""
    order: NDArray[np.int64] | None = None
    """(N, V) joint v of the view is joint order[n, v] of the sequence, before its map."""
    blur: NDArray[np.float32] | None = None
    """(N,) standard deviation of the Gaussian over time, in frames of the view."""
    noise: NDArray[np.float32] | None = None
    """(N, F, M, V, 3) added where a body is there; F the longest view's where they keep their lengths."""
    hidden: NDArray[np.bool_] | None = None
    """(N, F) frames set to zero."""
    done: frozenset[str] = frozenset()
    """The names of the augmentations drawn so far."""
    drawn: Mapping[str, Drawn] = field(default_factory=dict)
    """Every drawn parameter by its name, as "shear.matrix"."""

    def __len__(self) -> int:
        """N."""
        return len(self.recorded)

    def describe(self, n: int) -> dict[str, NDArray[np.generic]]:
        """What took part in view n, by name."""
        return {name: drawn.values[n] for name, drawn in self.drawn.items() if drawn.active[n]}

    def then(
        self,
        name: str,
        drawn: Mapping[str, NDArray[np.generic]],
        *,
        not_after: frozenset[str] = frozenset(),
        **fields: NDArray[Any],
    ) -> ViewParameters:
        """These parameters with those of a further augmentation.

        Parameters
        ----------
        name : of the augmentation
        drawn : (N, ...) what it drew, for people, by name
        not_after : augmentations that can come only after this one
        fields : new values of these fields, which hold for the active views

        Raises
        ------
        ValueError : one of ``not_after`` came before
        """
        wrong = sorted(not_after & self.done)
        if name in wrong:
            raise ValueError(f"{name} fits into a composition only once")
        if wrong:
            raise ValueError(f"{name} must come before {wrong[0]}")
        titles = {key.split(".")[0] for key in self.drawn}
        earlier = sum(title.split(" #")[0] == name for title in titles)
        title = f"{name} #{earlier + 1}" if earlier else name
        noted = {f"{title}.{key}": Drawn(values, self.active) for key, values in drawn.items()}
        now = {key: self._where_active(new, self._before(key)) for key, new in fields.items()}
        return self.changed(done=self.done | {name}, drawn={**self.drawn, **noted}, **now)

    def mapped(self, matrix: NDArray[np.float64], joints: NDArray[np.bool_] | None = None) -> ViewParameters:
        """With one (N, 3, 3) matrix a view after the maps of the active views' joints, or of (N, V) some.

        Raises
        ------
        ValueError : not as many matrices as views
        """
        if matrix.shape != (len(self), 3, 3):
            raise ValueError(f"matrix is {matrix.shape}, expected {(len(self), 3, 3)}")
        chosen = np.ones(self.maps.shape[:2], dtype=np.bool_) if joints is None else joints
        maps = np.empty(self.maps.shape, dtype=np.float32)
        view_kernels.map_joints(matrix, chosen & self.active[:, None], self.maps, maps)
        return self.changed(maps=maps)

    def changed(self, **fields: Any) -> ViewParameters:
        """A copy with these fields instead; `dataclasses.replace` takes as long as drawing ten views."""
        copy = object.__new__(ViewParameters)
        copy.__dict__.update(self.__dict__, **fields)
        return copy

    @property
    def frames_made(self) -> int:
        """F of the views these parameters make.

        Raises
        ------
        ValueError : the views keep their own lengths, so that they do not stack
        """
        if self.frames is not None:
            return self.frames
        if len(self) != 1:
            raise ValueError("views of their own lengths do not stack; end the augmentation in a resampling")
        return int(self.length[0])

    def _before(self, name: str) -> Any:
        """The value of a field; where that is None, what changes nothing."""
        value = getattr(self, name)
        if value is not None:
            return value
        return np.arange(self.layout.size) if name == "order" else _NOTHING[name]

    def _where_active(self, new: NDArray[Any], old: Any) -> NDArray[Any]:
        active = self.active.reshape(-1, *[1] * (new.ndim - 1))
        return np.where(active, new, old)


def identity(frames: NDArray[np.int64], layout: JointLayout, bodies: int) -> ViewParameters:
    """Views that leave N sequences of ``frames`` (N,) frames as they are, but for M = ``bodies`` bodies.

    Raises
    ------
    ValueError : a sequence has no frame
    """
    length = np.asarray(frames, dtype=np.int64)
    if (length < 1).any():
        raise ValueError("a sequence without a frame has no view")
    shape, strides = (len(length), layout.size, 3, 3), (0, 0, 12, 4)
    return ViewParameters(
        layout=layout,
        bodies=bodies,
        recorded=length,
        played=length,
        start=np.zeros_like(length),
        length=length,
        backwards=np.zeros(len(length), dtype=np.bool_),
        maps=np.ndarray(shape, np.float32, _UNCHANGED, strides=strides),
        active=np.ones(len(length), dtype=np.bool_),
    )


def sample_frames(parameters: ViewParameters) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The recorded frames that the frames of views lie between.

    Returns
    -------
    below : (N, F) int64 the recorded frame before each frame of a view
    weight : (N, F) float32 of the frame after that; 0 where there may be none

    Raises
    ------
    ValueError : the views keep their own lengths, so that they do not stack
    """
    shape = (len(parameters), parameters.frames_made)
    below, weight = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.float32)
    view_kernels.sample_frames(
        parameters.recorded,
        parameters.played,
        parameters.start,
        parameters.length,
        parameters.backwards,
        below,
        weight,
    )
    return below, weight


def make_views(
    rows: NDArray[np.float32],
    offset: NDArray[np.int64],
    bodies: NDArray[np.int64],
    parameters: ViewParameters,
    *,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Apply drawn parameters to sequences in the packed rows of a store, with numba on all cores; from one
    thread at a time, as not all of numba's threading layers allow more.

    Parameters
    ----------
    rows : (R, V, 3) float32 in C order, the store's joints, which are finite
    offset, bodies : (N,) first row and bodies of each sequence
    parameters : N views that end in a resampling, or a single one
    out : where to write, made if not given

    Returns
    -------
    (N, F, M, V, 3) float32

    Raises
    ------
    ValueError : the views keep their own lengths, so that they do not stack; or the rows are not those the
        views were drawn for
    """
    if rows.dtype != np.float32 or not rows.flags.c_contiguous:
        raise ValueError(f"rows are {rows.dtype} {rows.shape}, expected float32 in C order")
    below, weight = sample_frames(parameters)
    check_rows(rows.shape, offset, bodies, parameters)
    shape = (len(parameters), parameters.frames_made, parameters.bodies, parameters.layout.size, 3)
    if out is None:
        out = np.empty(shape, dtype=np.float32)
    elif out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError(f"out is {out.dtype} {out.shape}, expected float32 {shape} in C order")
    order = np.empty((0, 0), dtype=np.int64) if parameters.order is None else parameters.order
    maps = np.ascontiguousarray(parameters.maps)
    if parameters.bones is None:
        view_kernels.make_views(rows, offset, bodies, below, weight, order, maps, out)
    else:
        made = _with_bones(rows, offset, bodies, below, weight, parameters, np.empty_like(out))
        # The views made so far are packed rows themselves.
        _, frames, most, joints, _ = shape
        first = np.arange(len(made)) * (frames * most)
        every = np.broadcast_to(np.arange(frames), below.shape).copy()
        every_body = np.full(len(made), most)
        rows = made.reshape(-1, joints, 3)
        view_kernels.make_views(rows, first, every_body, every, np.zeros_like(weight), order, maps, out)
    if parameters.blur is not None:
        effects.blur(out.copy(), parameters.blur, out)
    if parameters.noise is not None:
        effects.add_noise(parameters.noise[:, : shape[1]], out)
    if parameters.hidden is not None:
        effects.hide_frames(parameters.hidden[:, : shape[1]], out)
    return out


def to_stream(views: NDArray[np.float32], stream: str, layout: JointLayout) -> NDArray[np.float32]:
    """Views (N, F, M, V, 3) as ``joint``: the same; ``bone``: each joint less its parent, so that the root is
    zero; or ``motion``: each frame's successor less the frame, the last zero. The streams of 2s-AGCN
    (arXiv 1805.07694) and MS-AAGCN (arXiv 1912.06971).

    Raises
    ------
    ValueError : another stream, or not the layout's joints; for bones, a layout whose joints have no single
        parent
    """
    if stream not in STREAMS:
        raise ValueError(f"no stream {stream!r}; expected {', '.join(STREAMS)}")
    if views.shape[3:] != (layout.size, 3):
        raise ValueError(f"views are {views.shape}, expected (N, F, M, {layout.size}, 3) as in {layout.name}")
    if stream == "joint":
        return views
    out = np.empty_like(views)
    if stream == "bone":
        effects.to_bones(views, layout.parents(), out)
    else:
        effects.to_motion(views, out)
    return out


def check_rows(
    shape: tuple[int, ...],
    offset: NDArray[np.int64],
    bodies: NDArray[np.int64],
    parameters: ViewParameters,
) -> None:
    """Raise ValueError where rows of this shape do not hold the sequences: the loops check no bounds."""
    joints = parameters.layout.size
    if shape[1:] != (joints, 3):
        raise ValueError(f"rows are {shape}, expected (R, {joints}, 3) as in {parameters.layout.name}")
    if not len(offset) == len(bodies) == len(parameters):
        raise ValueError(f"{len(offset)} offsets and {len(bodies)} bodies for {len(parameters)} views")
    end = (offset + parameters.recorded * bodies).max(initial=0)
    if offset.min(initial=0) < 0 or end > shape[0]:
        raise ValueError(f"{shape[0]} rows do not hold the sequences, which end at row {end}")


def _with_bones(
    rows: NDArray[np.float32],
    offset: NDArray[np.int64],
    bodies: NDArray[np.int64],
    below: NDArray[np.int64],
    weight: NDArray[np.float32],
    parameters: ViewParameters,
    out: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Sampled frames with their bone lengths scaled, not mapped yet."""
    assert parameters.bones is not None
    unmapped = np.broadcast_to(np.eye(3, dtype=np.float32), parameters.maps.shape).copy()
    nowhere = np.empty((0, 0), dtype=np.int64)
    view_kernels.make_views(rows, offset, bodies, below, weight, nowhere, unmapped, out)
    outward = np.argsort(parameters.layout.paths().sum(axis=1), kind="stable")
    effects.scale_bones(parameters.layout.parents(), outward, parameters.bones, out)
    return out
