"""The recipes: named chains of normalisation steps, each with its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from skelkit.normalise.actors import (
    drop_short_tracks,
    drop_wide_bodies,
    most_moving,
    rank_by_motion,
    two_actors,
)
from skelkit.normalise.bodies import bodies_by_track, drop_zero_bodies, first_slots
from skelkit.normalise.frames import close_gaps, drop_empty_frames, fill_gaps
from skelkit.normalise.position import centre_each_frame, centre_first_frame, turn_shoulders, turn_spine
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout

__all__ = ["RECIPES", "Recipe", "Step"]

Step = Callable[[SkeletonSequence, JointLayout], SkeletonSequence]


@dataclass(frozen=True)
class Recipe:
    """A named chain of normalisation steps."""

    name: str
    source: str
    steps: tuple[Step, ...]

    def apply(self, sequence: SkeletonSequence, layout: JointLayout) -> SkeletonSequence:
        """The sequence after all steps, without tracking ids: its bodies now keep their places.

        It may have no body left, where nobody was in any frame.

        Raises
        ------
        ValueError : the coordinates are so large that the result is not finite, or the joints are not those
            of the layout
        """
        if sequence.joints.shape[2] != layout.size:
            raise ValueError(
                f"{sequence.joints.shape[2]} joints, expected the {layout.size} of {layout.name}"
            )
        note = sequence.note_of_far()
        if note is not None:
            sequence = sequence.changed(notes=(*sequence.notes, note))
        for step in self.steps:
            sequence = step(sequence, layout)
        sequence = sequence.changed(tracks=None)
        sequence.check()
        return sequence

    def describe(self) -> dict[str, Any]:
        """Name, source, and every step with its parameters, as plain data."""
        return {"name": self.name, "source": self.source, "steps": [_describe(step) for step in self.steps]}


def _describe(step: Step) -> dict[str, Any]:
    if isinstance(step, partial):
        return {"step": step.func.__name__, **step.keywords}
    return {"step": step.__name__}


RECIPES: Mapping[str, Recipe] = {
    "isc": Recipe(
        "isc",
        "Skeleton-Contrastive 3D Action Representation Learning, arXiv 2108.03656, section 4.1: the data "
        "generation of its published code",
        (
            drop_zero_bodies,
            partial(first_slots, bodies=4),
            partial(most_moving, bodies=2),
            fill_gaps,
            centre_each_frame,
            turn_spine,
            turn_shoulders,
        ),
    ),
    "ctrgcn": Recipe(
        "ctrgcn",
        "Channel-wise Topology Refinement Graph Convolution for Skeleton-Based Action Recognition, arXiv "
        "2107.12213, section 4.1: get_raw_skes_data.py, get_raw_denoised_data.py and seq_transformation.py "
        "of its published code",
        (
            drop_zero_bodies,
            bodies_by_track,
            drop_empty_frames,
            close_gaps,
            partial(drop_short_tracks, frames=12),
            partial(drop_wide_bodies, ratio=0.8, share=0.69754),
            partial(rank_by_motion, ratio=0.8),
            two_actors,
            drop_empty_frames,
            centre_first_frame,
        ),
    ),
    "raw": Recipe("raw", "the file's own coordinates, one place for each tracked person", (bodies_by_track,)),
}
