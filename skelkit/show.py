"""What is in a store, as plain data and as text for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelkit.errors import StoreError
from skelkit.files import report_path
from skelkit.store import Store

__all__ = ["describe_sample", "describe_store", "protocol_lines"]

_WIDTH = 100
"""Characters of a line."""
_FEW = 8
"""Values of a column that are all told."""
_LONG = 300
"""Frames: the length that many methods pad or cut to."""


def describe_store(store: Store) -> tuple[dict[str, Any], str]:
    """Counts of everything, and the same as text."""
    table = _per_class(store)
    facts: dict[str, Any] = {
        "file": str(store.path),
        "dataset": store.dataset,
        "shard": asdict(store.shard) if store.shard else None,
        "sequences": len(store),
        "frames": _spread(store.frames),
        "bodies": {int(m): int((store.bodies == m).sum()) for m in np.unique(store.bodies)},
        "layout": store.layout.name,
        "joints": store.layout.size,
        "recipe": store.recipe,
        "classes": {row["class"]: row["sequences"] for row in table},
        "per_class": table,
        "columns": {name: len(np.unique(values)) for name, values in store.columns.items()},
        "protocols": _splits(store),
        "protocol_rules": store.protocol_rules,
        "content_hash": store.content_hash,
    }
    frames = facts["frames"]
    spread = (
        f"{frames['least']} to {frames['most']}, {frames['median']:g} in the middle, {frames['sum']} in all"
    )
    steps = ", ".join(step["step"] for step in store.recipe["steps"])
    lines = [
        f"{store.path}: {len(store)} sequences of {store.dataset}",
        *_entry("frames", f"{spread}; longer than {_LONG}: {frames[f'over_{_LONG}']}"),
        *_entry("bodies", ", ".join(f"{n} with {m}" for m, n in facts["bodies"].items())),
        *_entry("layout", f"{store.layout.name}, {store.layout.size} joints"),
        *_entry("recipe", f"{store.recipe['name']}: {steps or 'as the data is'}"),
        *_entry("columns", "; ".join(_column(name, values) for name, values in store.columns.items())),
        *protocol_lines(store),
        *_entry("content", store.content_hash),
        "",
        *_table_lines(table),
    ]
    if store.shard:
        shard = f"shard {store.shard.index} of {store.shard.of}, to be merged with the others"
        lines[1:1] = _entry("part", shard)
    return facts, "\n".join(lines)


def _column(name: str, values: NDArray[np.int64]) -> str:
    """Its values, or where they are many, how many they are."""
    known = np.unique(values)
    if len(known) <= _FEW:
        return f"{name} {', '.join(map(str, known))}"
    return f"{name} {known[0]} to {known[-1]}, {len(known)} values"


def _entry(topic: str, text: str) -> list[str]:
    return wrap(text, _WIDTH, initial_indent=f"  {topic:9}  ", subsequent_indent=" " * 13) or [f"  {topic}"]


def _per_class(store: Store) -> list[dict[str, Any]]:
    """For each class the number of its sequences, in each part of each protocol, and of each camera."""
    labels, of_label = np.unique(store.label, return_inverse=True)

    def counts(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(of_label[chosen], minlength=len(labels))

    everyone = counts(np.ones(len(store), np.bool_))
    parts = {
        name: {"train": counts(part == 1), "test": counts(part == 0)}
        for name, part in store.protocols.items()
    }
    camera = store.columns.get("camera", np.empty(0, np.int64))
    cameras = {str(number): counts(camera == number) for number in np.unique(camera)}
    return [
        {
            "class": store.class_name(int(label)),
            "label": int(label),
            "sequences": int(everyone[n]),
            "protocols": {
                name: {side: int(count[n]) for side, count in sides.items()} for name, sides in parts.items()
            },
            "cameras": {number: int(count[n]) for number, count in cameras.items()},
        }
        for n, label in enumerate(labels)
    ]


def _table_lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The counts of `_per_class`, one line a class; groups of columns that find no room are named at the
    end."""
    groups = {name: list(sides) for name, sides in rows[0]["protocols"].items()}
    if rows[0]["cameras"]:
        groups["camera"] = list(rows[0]["cameras"])
    room = (_WIDTH - 37) // 7
    left_out = []
    for name, columns in list(groups.items()):
        room -= len(columns)
        if room < 0:
            room += len(columns)
            left_out.append(name)
            del groups[name]

    def line(name: str, sequences: object, numbers: list[Any]) -> str:
        short = name if len(name) <= 25 else f"{name[:24]}…"
        return f"  {short:26}{sequences:>9}" + "".join(f"{number:>7}" for number in numbers)

    def numbers(row: dict[str, Any]) -> list[int]:
        values = {**row["protocols"], "camera": row["cameras"]}
        return [values[name][column] for name, columns in groups.items() for column in columns]

    if groups:
        titles = "".join(
            f"  {name[: 7 * len(columns) - 2]:{7 * len(columns) - 2}}" if columns[1:] else f"{name[:6]:>7}"
            for name, columns in groups.items()
        )
        yield f"{'':37}{titles}".rstrip()
    yield line("class", "sequences", [column for columns in groups.values() for column in columns])
    for row in rows:
        yield line(row["class"], row["sequences"], numbers(row))
    sums = np.sum([numbers(row) for row in rows], axis=0)
    yield line("all", sum(row["sequences"] for row in rows), list(sums))
    if left_out:
        yield f"  no room for {', '.join(left_out)}: --json has it"


def _splits(store: Store) -> dict[str, dict[str, int]]:
    return {
        name: {"train": int((part == 1).sum()), "test": int((part == 0).sum())}
        for name, part in store.protocols.items()
    }


def protocol_lines(store: Store) -> list[str]:
    """For people: how many sequences each protocol trains and tests on."""
    lines = []
    for name, part in _splits(store).items():
        neither = len(store) - part["train"] - part["test"]
        others = f", {neither} in neither" if neither else ""
        lines += _entry(name, f"{part['train']} train, {part['test']} test{others}")
    return lines


def _extent(joints: Any) -> Any:
    """(3,) metres; zero for a body that is never there."""
    return np.ptp(joints.reshape(-1, 3), axis=0) if joints.size else np.zeros(3)


def _spread(frames: Any) -> dict[str, float]:
    return {
        "least": int(frames.min()),
        "median": float(np.median(frames)),
        "most": int(frames.max()),
        "sum": int(frames.sum(dtype=np.int64)),
        f"over_{_LONG}": int((frames > _LONG).sum()),
    }


def _why_left_out(store: Store, name: str) -> str | None:
    """What the conversion's report, if it lies beside the store, has to say of the sample."""
    try:
        report = json.loads(report_path(store.path).read_text(encoding="utf-8"))
        if report["content_hash"] != store.content_hash:  # of another store that was here
            return None
        reasons = {row["name"]: row["reason"] for row in report["excluded"]}
        reasons |= {Path(row["file"].rpartition("!")[2]).stem: row["reason"] for row in report["quarantined"]}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):  # none, or damaged
        return None
    reason = reasons.get(name)
    return reason if isinstance(reason, str) and reason.isprintable() else None


def describe_sample(store: Store, name: str) -> tuple[dict[str, Any], str]:
    """One sequence's entry, and how far its bodies move; and the same as text.

    Raises
    ------
    StoreError : no such sequence, or it is damaged
    """
    if name not in store.names:
        left_out = _why_left_out(store, name)
        if left_out:
            raise StoreError(f"{store.path}: no sequence {name!r}, it was left out: {left_out}")
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
        "note": sequence.note_of_far(),
        "columns": dict(sequence.columns),
        "protocols": {k: sides[int(part[place])] for k, part in store.protocols.items()},
    }
    lines = [f"{sequence.name}: {facts['class']} (label {sequence.label}), {sequence.frames} frames"]
    for number, body in enumerate(facts["bodies"], 1):
        extent = " x ".join(
            f"{metres:.2f}" if metres < 1000 else f"{metres:.3g}" for metres in body["extent"]
        )
        lines.append(f"  body {number}     in {body['present']} frames, within {extent} m")
    if facts["note"]:
        lines += _entry("note", facts["note"])
    width = max(9, *(len(name) for name in (*sequence.columns, *facts["protocols"])), 0)
    lines += [f"  {column:{width}}  {value}" for column, value in sequence.columns.items()]
    lines += [f"  {protocol:{width}}  {side}" for protocol, side in facts["protocols"].items()]
    return facts, "\n".join(lines)
