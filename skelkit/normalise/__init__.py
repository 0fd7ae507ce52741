"""Normalisation: pure steps on a sequence, and the recipes made of them.

A step takes a sequence and its joint layout, and returns a sequence: the same one where there is nothing to
do, never one changed in place. What it did that is worth telling, it adds to the notes. A recipe is a named
chain of steps with its source; name and steps with all parameters are kept in the store.
"""

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
from skelkit.normalise.recipes import RECIPES, Recipe, Step

__all__ = [
    "RECIPES",
    "Recipe",
    "Step",
    "bodies_by_track",
    "centre_each_frame",
    "centre_first_frame",
    "close_gaps",
    "drop_empty_frames",
    "drop_short_tracks",
    "drop_wide_bodies",
    "drop_zero_bodies",
    "fill_gaps",
    "first_slots",
    "most_moving",
    "rank_by_motion",
    "turn_shoulders",
    "turn_spine",
    "two_actors",
]
