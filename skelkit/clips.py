"""Clips: the labelled actions of a continuous recording, cut out by rules that the user can choose.

PKU-MMD labels an action by its first and last frame, counted from 0. Its authors do not say whether the last
frame belongs to the clip; the preparations published with contrastive methods leave it out, and so do we
unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args, get_type_hints

from skelkit.errors import InputError, SkelkitError
from skelkit.readers.pku import Clip
from skelkit.sequence import SkeletonSequence

__all__ = ["DEFAULT_RULES", "LONG", "ClipRules", "cut", "parse_rules"]

LONG = 300
"""Frames that the field's fixed-size arrays hold."""


@dataclass(frozen=True)
class ClipRules:
    """What becomes of clips; the first choice of each is the default."""

    end: Literal["excluded", "included"] = "excluded"
    """Whether the last frame that the label names belongs to the clip."""
    long: Literal["keep", "cut", "exclude"] = "keep"
    """Clips of more than 300 frames: whole, their first 300, or left out."""
    beyond: Literal["quarantine", "cut"] = "quarantine"
    """Labels that end beyond the file: reported, or cut at its end."""
    unlisted: Literal["keep", "exclude"] = "keep"
    """Clips of recordings in neither list of a protocol: stored as neither train nor test, or left out."""
    empty: Literal["exclude", "keep"] = "exclude"
    """Clips with nobody in any frame: left out, or stored with one absent body."""


DEFAULT_RULES = ClipRules()


def parse_rules(texts: Iterable[str]) -> ClipRules:
    """Rules from texts like ``end=included``.

    Raises
    ------
    SkelkitError : no such rule, or not one of its choices
    """
    choices = {name: get_args(kind) for name, kind in get_type_hints(ClipRules).items()}
    chosen: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if value not in choices.get(name, ()):
            known = ", ".join(f"{rule}={'|'.join(values)}" for rule, values in choices.items())
            raise SkelkitError(f"{text!r}, expected one of {known}")
        chosen[name] = value
    return replace(DEFAULT_RULES, **chosen)  # type: ignore[arg-type]


def cut(recording: SkeletonSequence, clip: Clip, rules: ClipRules, labels: str) -> SkeletonSequence:
    """The part of a recording that a label names.

    Parameters
    ----------
    recording : as `readers.pku.read` gives it
    clip : a line of its label file
    labels : the label file, for the errors

    Returns
    -------
    SkeletonSequence named ``0002-L#003`` after the label's line; besides the recording's columns it has
    ``start`` and ``confidence``

    Raises
    ------
    InputError : the label ends before its start, holds no frame, or lies beyond the file
    """
    begin, end = clip.start, clip.end + (rules.end == "included")
    found = f"frames {clip.start} to {clip.end}, the end {rules.end}"
    if clip.end < clip.start:
        raise InputError(labels, f"{found}: the end is before the start", clip.number)
    if begin == end:
        raise InputError(labels, f"{found}: no frame at all", clip.number)
    if begin < 0 or begin >= recording.frames or (end > recording.frames and rules.beyond != "cut"):
        last = f"{recording.name} has frames 0 to {recording.frames - 1}"
        raise InputError(labels, f"{found}, but {last}", clip.number)
    if rules.long == "cut":
        end = min(end, begin + LONG)
    frames = slice(begin, end)
    return SkeletonSequence(
        recording.joints[frames],
        recording.present[frames],
        f"{recording.name}#{clip.number:03}",
        clip.label,
        {**recording.columns, "start": clip.start, "confidence": clip.confidence},
    )
