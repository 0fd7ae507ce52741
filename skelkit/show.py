"""What is in a store, as plain data and as text for people."""

from __future__ import annotations

from typing import Any

import numpy as np

from skelkit.store import Store

__all__ = ["describe_sample", "describe_store", "protocol_lines"]


def describe_store(store: Store) -> tuple[dict[str, Any], str]:
    """Counts of everything, and the same as text."""
    labels, counts = np.unique(store.label, return_counts=True)
    facts: dict[str, Any] = {
        "file": str(store.path),
        "dataset": store.dataset,
        "sequences": len(store),
        "frames": _spread(store.frames),
        "bodies": {int(m): int((store.bodies == m).sum()) for m in np.unique(store.bodies)},
        "layout": store.layout.name,
        "joints": store.layout.size,
        "recipe": store.recipe,
        "classes": {store.class_name(int(k)): int(n) for k, n in zip(labels, counts, strict=True)},
        "columns": {name: len(np.unique(values)) for name, values in store.columns.items()},
        "protocols": _splits(store),
        "content_hash": store.content_hash,
    }
    frames = facts["frames"]
    bodies = ", ".join(f"{n} with {m}" for m, n in facts["bodies"].items())
    lines = [
        f"{store.path}: {len(store)} sequences of {store.dataset}",
        f"  frames     {frames['least']} to {frames['most']}, {frames['median']:g} in the middle, "
        f"{frames['sum']} in all",
        f"  bodies     {bodies}",
        f"  layout     {store.layout.name}, {store.layout.size} joints",
        f"  recipe     {store.recipe['name']}: " + ", ".join(s["step"] for s in store.recipe["steps"]),
        "  columns    " + ", ".join(f"{name} ({n} values)" for name, n in facts["columns"].items()),
    ]
    lines += protocol_lines(store)
    lines += [f"  content    {store.content_hash}", "", "  class                                sequences"]
    lines += [f"  {store.class_name(int(k))[:34]:34} {n:11}" for k, n in zip(labels, counts, strict=True)]
    return facts, "\n".join(lines)


def _splits(store: Store) -> dict[str, dict[str, int]]:
    return {
        name: {"train": int((part == 1).sum()), "test": int((part == 0).sum())}
        for name, part in store.protocols.items()
    }


def protocol_lines(store: Store) -> list[str]:
    """For people: how many sequences each protocol trains and tests on."""
    parts = _splits(store).items()
    return [f"  {name:9}  {part['train']} train, {part['test']} test" for name, part in parts]


def _extent(joints: Any) -> Any:
    """(3,) metres; zero for a body that is never there."""
    return np.ptp(joints.reshape(-1, 3), axis=0) if joints.size else np.zeros(3)


def _spread(frames: Any) -> dict[str, float]:
    return {
        "least": int(frames.min()),
        "median": float(np.median(frames)),
        "most": int(frames.max()),
        "sum": int(frames.sum(dtype=np.int64)),
    }


def describe_sample(store: Store, name: str) -> tuple[dict[str, Any], str]:
    """One sequence's entry, and how far its bodies move; and the same as text.

    Raises
    ------
    StoreError : no such sequence, or it is damaged
    """
    place = store.place(name)
    sequence = store.sequence(place)
    sides = {1: "train", 0: "test", -1: "neither"}
    facts: dict[str, Any] = {
        "name": sequence.name,
        "label": sequence.label,
        "class": store.class_name(sequence.label),
        "frames": sequence.frames,
        "bodies": [
            {"present": int(here.sum()), "extent": _extent(joints[here]).tolist()}
            for joints, here in zip(sequence.joints.swapaxes(0, 1), sequence.present.T, strict=True)
        ],
        "columns": dict(sequence.columns),
        "protocols": {k: sides[int(part[place])] for k, part in store.protocols.items()},
    }
    lines = [f"{sequence.name}: {facts['class']} (label {sequence.label}), {sequence.frames} frames"]
    for number, body in enumerate(facts["bodies"], 1):
        extent = " x ".join(f"{metres:.2f}" for metres in body["extent"])
        lines.append(f"  body {number}     in {body['present']} frames, within {extent} m")
    lines += [f"  {column:9}  {value}" for column, value in sequence.columns.items()]
    lines += [f"  {protocol:9}  {side}" for protocol, side in facts["protocols"].items()]
    return facts, "\n".join(lines)
