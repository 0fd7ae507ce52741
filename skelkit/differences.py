"""Two stores told apart: what differs, as plain data and as text for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelkit.progress import progress_bar
from skelkit.store import Shard, Store

__all__ = ["Difference", "diff", "diff_text", "same_content"]

_FIRST = 3
"""Sequences named of many."""
_PATIENCE = 2
"""Seconds before a bar is shown."""
_WIDTH = 60
"""Characters of a value shown to people."""
_NOT_CONTENT = ("dataset", "shard")
"""What a dataset is called, and that a store is a part, says nothing of its content."""


@dataclass(frozen=True)
class Difference:
    """One thing in which two stores, A and B, differ."""

    topic: str
    """recipe, layout, classes, dataset, shard, protocol NAME, sequences, label, column NAME, shape, joints,
    presence or content."""
    facts: Any
    """Ready for JSON."""
    lines: tuple[str, ...]
    """For people."""


def diff(a: Store, b: Store, *, progress: bool = False) -> list[Difference]:
    """All differences between two stores; one sequence of each is in memory at a time.

    >>> import tempfile, skelkit
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     raw = skelkit.synthesise(Path(folder), classes=1, subjects=1, repeats=1, seed=0)
    ...     for name in ("raw", "isc"):
    ...         out = Path(folder, f"{name}.h5")
    ...         report = skelkit.convert(raw, out, dataset="ntu60", recipe=name, progress=False)
    ...     with skelkit.Store(Path(folder, "raw.h5")) as a, skelkit.Store(Path(folder, "isc.h5")) as b:
    ...         [difference.topic for difference in skelkit.diff(a, b)]
    ['recipe', 'joints', 'content']

    Parameters
    ----------
    a, b : the stores; joints are read where the CRC-32 or the shape of a sequence differs
    progress : show a bar on standard error where it takes long

    Raises
    ------
    StoreError : a sequence that has to be read is damaged
    """
    common = _Common(a, b)
    return [
        *_value("dataset", a.dataset, b.dataset),
        *_shard(a.shard, b.shard),
        *_recipe(a.recipe, b.recipe),
        *_layout(json.loads(a.layout.to_json()), json.loads(b.layout.to_json())),
        *_classes(a.classes, b.classes),
        *_protocols(a, b, common),
        *_sequences(a, b),
        *_column("label", a.label, b.label, common),
        *_columns(a, b, common),
        *_joints(a, b, common, progress),
        *_content(a.content_hash, b.content_hash),
    ]


def same_content(differences: Sequence[Difference]) -> bool:
    """Whether the stores differ in nothing but in what they are called."""
    return all(difference.topic in _NOT_CONTENT for difference in differences)


def diff_text(a: Store, b: Store, differences: Sequence[Difference]) -> str:
    """For people: a line or some for each difference."""
    width = max((len(difference.topic) for difference in differences), default=0)
    lines = [f"A  {a.path}", f"B  {b.path}"]
    for difference in differences:
        first, *others = difference.lines
        lines.append(f"  {difference.topic:{width}}  {first}")
        lines += [f"  {'':{width}}  {line}" for line in others]
    if same_content(differences):
        lines.append(f"the same content: {_many(len(a))}")
    return "\n".join(lines)


class _Common:
    """The sequences that both stores have."""

    def __init__(self, a: Store, b: Store) -> None:
        self.names, self.in_a, self.in_b = np.intersect1d(
            a.names, b.names, assume_unique=True, return_indices=True
        )


def _said(value: Any) -> str:
    text = value if isinstance(value, str) else "none" if value is None else json.dumps(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _both(a: Any, b: Any) -> str:
    return f"{_said(a)} in A, {_said(b)} in B"


def _many(count: int) -> str:
    return f"{count} sequence{'' if count == 1 else 's'}"


def _value(topic: str, a: Any, b: Any) -> Iterator[Difference]:
    if a != b:
        yield Difference(topic, {"a": a, "b": b}, (_both(a, b),))


def _shard(a: Shard | None, b: Shard | None) -> Iterator[Difference]:
    if a != b:
        texts = [f"{x.index} of {x.of} (inputs {x.inputs[:16]})" if x else None for x in (a, b)]
        yield Difference("shard", {"a": a and asdict(a), "b": b and asdict(b)}, (_both(*texts),))


def _content(a: str, b: str) -> Iterator[Difference]:
    if a != b:
        yield Difference("content", {"a": a, "b": b}, (_both(f"{a[:16]}...", f"{b[:16]}..."),))


def _recipe(a: dict[str, Any], b: dict[str, Any]) -> Iterator[Difference]:
    if a == b:
        return
    lines = []
    for key in sorted((a.keys() | b.keys()) - {"steps"}):
        old, new = a.get(key), b.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            rules = sorted(old.keys() | new.keys())
            lines += [
                f"{key} {r}: {_both(old.get(r), new.get(r))}" for r in rules if old.get(r) != new.get(r)
            ]
        elif old != new:
            lines.append(f"{key}: {_both(old, new)}")
    yield Difference("recipe", {"a": a, "b": b}, (*lines, *_steps(a["steps"], b["steps"])))


def _steps(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> Iterator[str]:
    names = [step["step"] for step in a], [step["step"] for step in b]
    for kind, a1, a2, b1, b2 in SequenceMatcher(None, *names, autojunk=False).get_opcodes():
        if kind != "equal":
            yield from (f"step {n + 1}, only in A: {names[0][n]}" for n in range(a1, a2))
            yield from (f"step {n + 1}, only in B: {names[1][n]}" for n in range(b1, b2))
            continue
        for old, new in zip(a[a1:a2], b[b1:b2], strict=True):
            for key in sorted(old.keys() | new.keys()):
                if old.get(key) != new.get(key):
                    yield f"step {old['step']}: {key} {_both(old.get(key), new.get(key))}"


def _layout(a: dict[str, Any], b: dict[str, Any]) -> Iterator[Difference]:
    if a == b:
        return
    lines = []
    for key, value in a.items():
        if value != b[key]:
            is_list = isinstance(value, list) and key in ("joints", "bones", "mirror")
            lines.append(f"{key}: {_entries(value, b[key]) if is_list else _both(value, b[key])}")
    yield Difference("layout", {"a": a, "b": b}, tuple(lines))


def _classes(a: Sequence[str], b: Sequence[str]) -> Iterator[Difference]:
    if a != b:
        yield Difference("classes", {"a": list(a), "b": list(b)}, (f"class {_entries(a, b)}",))


def _entries(a: Sequence[Any], b: Sequence[Any]) -> str:
    """The first entry in which two lists differ, counted from 1, and their lengths where they do."""
    lengths = f"{len(a)} in A, {len(b)} in B" if len(a) != len(b) else ""
    for number, (old, new) in enumerate(zip(a, b, strict=False), 1):
        if old != new:
            others = sum(x != y for x, y in zip(a, b, strict=False)) - 1
            first = f"{number}: {_both(old, new)}" + (f", and {others} more" if others else "")
            return "; ".join(filter(None, (first, lengths)))
    return f"count: {lengths}"


def _protocols(a: Store, b: Store, common: _Common) -> Iterator[Difference]:
    for name in sorted(a.protocols.keys() | b.protocols.keys()):
        topic = f"protocol {name}"
        if name not in a.protocols or name not in b.protocols:
            yield _missing(topic, "A" if name in a.protocols else "B")
            continue
        rules = a.protocol_rules.get(name), b.protocol_rules.get(name)
        changed = a.protocols[name][common.in_a] != b.protocols[name][common.in_b]
        if rules[0] == rules[1] and not changed.any():
            continue
        count, first = int(changed.sum()), common.names[changed][:_FIRST].tolist()
        lines = [_both(*rules)] if rules[0] != rules[1] else []
        lines += [f"{_many(count)} in another part{_named(first, count)}"] if count else []
        facts = {"a": rules[0], "b": rules[1], "in_another_part": count, "first": first}
        yield Difference(topic, facts, tuple(lines))


def _missing(topic: str, where: str) -> Difference:
    return Difference(topic, {"only_in": where.lower()}, (f"only in {where}",))


def _named(first: list[str], count: int) -> str:
    return f": {', '.join(first)}{', ...' if count > len(first) else ''}" if count else ""


def _sequences(a: Store, b: Store) -> Iterator[Difference]:
    only = {"a": np.setdiff1d(a.names, b.names), "b": np.setdiff1d(b.names, a.names)}
    if not any(map(len, only.values())):
        return
    facts = {k: {"only": len(names), "first": names[:_FIRST].tolist()} for k, names in only.items()}
    lines = [
        f"{len(names)} only in {k.upper()}{_named(names[:_FIRST].tolist(), len(names))}"
        for k, names in only.items()
        if len(names)
    ]
    yield Difference("sequences", facts, tuple(lines))


def _columns(a: Store, b: Store, common: _Common) -> Iterator[Difference]:
    for name in sorted(a.columns.keys() | b.columns.keys()):
        if name in a.columns and name in b.columns:
            yield from _column(f"column {name}", a.columns[name], b.columns[name], common)
        else:
            yield _missing(f"column {name}", "A" if name in a.columns else "B")


def _column(topic: str, a: NDArray[Any], b: NDArray[Any], common: _Common) -> Iterator[Difference]:
    old, new = a[common.in_a], b[common.in_b]
    places = np.flatnonzero(old != new)
    if len(places):
        rows = [{"name": str(common.names[n]), "a": int(old[n]), "b": int(new[n])} for n in places[:_FIRST]]
        yield _changed(topic, len(places), rows)


def _changed(topic: str, count: int, rows: list[dict[str, Any]]) -> Difference:
    first = [f"{row['name']} {_both(row['a'], row['b'])}" for row in rows]
    more = f", and {count - len(rows)} more" if count > len(rows) else ""
    return Difference(topic, {"count": count, "first": rows}, (f"{_many(count)}: {'; '.join(first)}{more}",))


def _joints(a: Store, b: Store, common: _Common, progress: bool) -> Iterator[Difference]:
    changed = np.full(len(common.names), a.layout.size != b.layout.size)
    for in_a, in_b in ((a.crc32, b.crc32), (a.frames, b.frames), (a.bodies, b.bodies)):
        changed |= in_a[common.in_a] != in_b[common.in_b]
    shapes, moved, flagged = [], [], []
    places = np.flatnonzero(changed).tolist()
    for n in progress_bar(
        places, desc="comparing", unit="sequence", leave=False, delay=_PATIENCE, shown=progress
    ):
        name = str(common.names[n])
        old, new = a.sequence(int(common.in_a[n])), b.sequence(int(common.in_b[n]))
        if old.joints.shape != new.joints.shape:
            shapes.append({"name": name, "a": old.joints.shape[:3], "b": new.joints.shape[:3]})
            continue
        if old.joints.tobytes() != new.joints.tobytes():
            moved.append((float(np.abs(old.joints.astype(np.float64) - new.joints).max()), name))
        if (old.present != new.present).any():
            flagged.append(name)
    if shapes:
        yield _changed("shape", len(shapes), shapes[:_FIRST])
    if moved:
        apart, name = max(moved, key=lambda row: row[0])
        facts: dict[str, Any] = {"count": len(moved), "largest_metres": apart, "in": name}
        yield Difference("joints", facts, (f"{_many(len(moved))}, by up to {apart:.3g} m in {name}",))
    if flagged:
        facts = {"count": len(flagged), "first": flagged[:_FIRST]}
        said = _named(flagged[:_FIRST], len(flagged))
        yield Difference("presence", facts, (f"{_many(len(flagged))}{said}",))
