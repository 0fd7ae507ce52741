"""Checkpoints of the paper's published code, made into runs that evaluation can use.

That code saves ``{"epoch", "state_dict", "optimizer"}``, the names of the state dict behind ``module.``. They
do not say which representations they are of, but the names within each encoder do:

====================  ===========  ===========  ============  ================
representation        query        key          queue         its next column
====================  ===========  ===========  ============  ================
the only one (intra)  encoder_q    encoder_k    queue         queue_ptr
first of two (inter)  encoder_q    encoder_k    Queue_S1      queue_ptr_S1
second of two         encoder_r    encoder_l    Queue_S2      queue_ptr_S2
====================  ===========  ===========  ============  ================

A head is ``fc.0``, ReLU, ``fc.2`` or, trained without ``--mlp``, the linear layer ``fc``.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from skelkit.errors import InputError, SkelkitError
from skelkit.normalise import RECIPES
from skelkit.skeleton import load_layout
from skelkit_train.checkpoint import Checkpoint, DataFacts, build_model, save
from skelkit_train.config import PretrainConfig, resolve
from skelkit_train.contrast import ContrastiveModel
from skelkit_train.encoders import AGCNEncoder, GRUEncoder, HCNEncoder
from skelkit_train.run import make_run, refuse_existing

__all__ = ["Imported", "import_checkpoint"]

_MARKS = {"seq": "encoder.gru.weight_hh_l0", "graph": "l1.gcn1.PA", "image": "conv1.0.weight"}
"""An entry by which to tell the encoder of each representation."""

_PublishedEncoder = GRUEncoder | AGCNEncoder | HCNEncoder
"""``published_shapes`` says which entries the published encoder of its sizes has, and ``from_published``
gives its state dict from them."""

_NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32, torch.int64)


@dataclass(frozen=True)
class Imported:
    """What was found in a published checkpoint."""

    config: PretrainConfig
    """Of the run: the sizes are those of the weights, all else has its default, the paper's."""
    epoch: int
    """0 where the file does not say."""
    absent: list[str]
    """What it lacks and evaluation does not need. A key encoder is then the query's, the rest is random."""


@dataclass(frozen=True)
class _Branch:
    """One representation of a published model, and the names of its parts."""

    representation: str
    query: str
    key: str
    queue: str
    pointer: str


def import_checkpoint(
    file: Path, run: Path, *, representations: str | None = None, layout: str = "ntu25", recipe: str = "isc"
) -> Imported:
    """Make a run of a published checkpoint; nothing in the file is executed.

    Parameters
    ----------
    file : as ``torch.save`` writes it: the dict of the published code, or the bare state dict in it
    run : the folder to make
    representations : those that the file must have, joined by +, in any order; None for whatever it has
    layout, recipe : of the stores that the weights were trained on, and so of those they can be used on

    Raises
    ------
    InputError : the file cannot be read, is damaged, holds code, or is not of the published models
    SkelkitError : no such layout or recipe; the run exists
    """
    if recipe not in RECIPES:
        raise SkelkitError(f"no recipe {recipe!r}; expected {', '.join(RECIPES)}")
    skeleton = load_layout(layout)
    refuse_existing(run, "exists already; give another folder")
    entries, epoch = _read(file)
    try:
        branches = _branches(entries, representations)
        config = resolve(_sizes(entries, branches, skeleton.size), {"epochs": epoch} if epoch else {})
        steps = json.dumps(RECIPES[recipe].describe())
        data = DataFacts(skeleton.to_json(), steps, config.bodies, content_hash="")
        _check(entries, branches, _without_memory(config, data), config)
        model = build_model(config, data)
    except SkelkitError as error:
        raise InputError(str(file), str(error)) from None
    model.load_state_dict(model.state_dict() | _converted(entries, branches, model))
    make_run(run, config)
    # Without the state of an optimiser: there is no going on with training.
    save(run, Checkpoint(config, data, epoch, 0, model.state_dict(), optimizer={}, scheduler={}))
    return Imported(config, epoch, _absent(entries, branches))


def _read(file: Path) -> tuple[dict[str, Tensor], int]:
    """The entries without ``module.``, all of them dense numbers, and the epochs trained.

    Raises
    ------
    InputError : see `import_checkpoint`
    """
    try:
        stream = file.open("rb")
    except OSError as error:
        raise InputError(str(file), f"cannot be read: {error.strerror}") from None
    try:
        with stream, warnings.catch_warnings(action="ignore"):  # of pickles that torch did not write
            content = torch.load(stream, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can make the unpickler raise anything
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = "damaged, or not written by torch.save"
        if refused:
            reason = f"not loaded: it has {refused[1]} in it, where only tensors and plain data are safe"
        raise InputError(str(file), reason) from None
    state = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping) or not state:
        kind = type(state).__name__
        raise InputError(str(file), f"holds {kind}, expected a state dict, bare or in a dict's 'state_dict'")
    entries = {}
    for name, value in state.items():
        if not isinstance(value, Tensor) or not _is_dense(value):
            raise InputError(str(file), f"entry {name!r} is no dense tensor, expected a model's state dict")
        if value.dtype not in _NUMBERS or not value.isfinite().all():
            raise InputError(str(file), f"entry {name!r} has values that are no finite numbers")
        entries[str(name).removeprefix("module.")] = value
    epoch = content.get("epoch")
    return entries, epoch if type(epoch) is int and epoch > 0 else 0


def _is_dense(value: Tensor) -> bool:
    """Whether all its numbers were in the file; a file can claim any size for a tensor without them."""
    plain = value.layout == torch.strided and value.device.type == "cpu"
    if not plain or value.is_quantized or value.is_nested:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _branches(entries: Mapping[str, Tensor], representations: str | None) -> list[_Branch]:
    """Those of the file, each with the representation that the entries of its query encoder tell."""
    if any(name.startswith("encoder_r.") for name in entries):
        branches = [
            _Branch(_encoded(entries, "encoder_q"), "encoder_q", "encoder_k", "Queue_S1", "queue_ptr_S1"),
            _Branch(_encoded(entries, "encoder_r"), "encoder_r", "encoder_l", "Queue_S2", "queue_ptr_S2"),
        ]
    else:
        branches = [_Branch(_encoded(entries, "encoder_q"), "encoder_q", "encoder_k", "queue", "queue_ptr")]
    found = [branch.representation for branch in branches]
    if representations is not None and sorted(representations.split("+")) != sorted(found):
        raise SkelkitError(f"holds {'+'.join(found)}, expected {representations}")
    return branches


def _encoded(entries: Mapping[str, Tensor], query: str) -> str:
    """The representation that a query encoder is for."""
    for name, mark in _MARKS.items():
        if f"{query}.{mark}" in entries:
            return name
    marks = ", ".join(f"{query}.{mark} ({name})" for name, mark in _MARKS.items())
    raise SkelkitError(f"no model of the published code: has none of the entries {marks}")


def _sizes(entries: Mapping[str, Tensor], branches: list[_Branch], joints: int) -> dict[str, Any]:
    """The settings that the shapes of some weights tell; `_check` holds all others to them."""
    settings: dict[str, Any] = {"representations": "+".join(branch.representation for branch in branches)}
    bodies = []
    for branch in branches:
        at = branch.query
        if branch.representation == "seq":
            settings["gru_hidden"] = _axis(entries, f"{at}.encoder.gru.weight_hh_l0", 1)
            settings["gru_layers"] = _count(entries, rf"{at}\.encoder\.gru\.weight_hh_l\d+")
            bodies.append(_bodies(entries, f"{at}.encoder.gru.weight_ih_l0", 1, joints))
        elif branch.representation == "graph":
            blocks = range(1, _count(entries, rf"{at}\.l\d+\.gcn1\.PA") + 1)
            settings["agcn_widths"] = tuple(_axis(entries, f"{at}.l{i}.tcn1.conv.weight", 0) for i in blocks)
            bodies.append(_bodies(entries, f"{at}.data_bn.weight", 0, joints))
        else:
            settings["hcn_channels"] = _axis(entries, f"{at}.conv1.0.weight", 0)
            settings["frames"] = _axis(entries, f"{at}.conv2.weight", 0)
    first = branches[0]
    if first.queue in entries:
        settings["embedding"] = _axis(entries, first.queue, 0)
        settings["queue"] = _axis(entries, first.queue, 1)
    for head in (f"{first.query}.fc.weight", f"{first.query}.fc.2.weight"):
        if head in entries:
            settings["embedding"] = _axis(entries, head, 0)
    settings["bodies"] = bodies[0] if bodies else 2  # HCN takes any number
    return settings


def _count(entries: Mapping[str, Tensor], pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in entries)


def _axis(entries: Mapping[str, Tensor], name: str, axis: int) -> int:
    """The length of an entry's axis."""
    if name not in entries:
        raise SkelkitError(f"lacks the entry {name!r}")
    shape = tuple(entries[name].shape)
    if len(shape) <= axis:
        raise SkelkitError(f"{name!r} has shape {shape}, expected at least {axis + 1} axes")
    return shape[axis]


def _bodies(entries: Mapping[str, Tensor], name: str, axis: int, joints: int) -> int:
    """The bodies in a frame of as many numbers as an entry's axis is long."""
    numbers = _axis(entries, name, axis)
    if numbers == 0 or numbers % (3 * joints):
        shape = tuple(entries[name].shape)
        raise SkelkitError(
            f"{name!r} has shape {shape}, expected a multiple of 3 x {joints} joints in axis {axis}"
        )
    return numbers // (3 * joints)


def _without_memory(config: PretrainConfig, data: DataFacts) -> ContrastiveModel:
    """The model as far as its shapes go: the sizes that a file claims may be beyond any memory."""
    try:
        with torch.device("meta"):
            return build_model(config, data)
    except (RuntimeError, TypeError, OverflowError):  # torch's answers to sizes that it cannot count
        raise SkelkitError(
            "no model of the published code: some of its sizes are beyond all reason"
        ) from None


def _check(
    entries: Mapping[str, Tensor], branches: list[_Branch], model: ContrastiveModel, config: PretrainConfig
) -> None:
    """Refuse entries that have no place in the model, or lack some that it needs."""
    expected: dict[str, tuple[int, ...]] = {}
    for branch in branches:
        encoder, dim = _encoder(model, branch), config.embedding
        shapes = encoder.published_shapes()
        if f"{branch.query}.fc.weight" in entries:
            shapes |= {"fc.weight": (dim, encoder.features), "fc.bias": (dim,)}
        elif _has(entries, f"{branch.query}.fc"):
            shapes |= {"fc.0.weight": (encoder.features, encoder.features), "fc.0.bias": (encoder.features,)}
            shapes |= {"fc.2.weight": (dim, encoder.features), "fc.2.bias": (dim,)}
        for prefix in (branch.query, branch.key):
            if prefix == branch.query or _has(entries, prefix):
                expected |= {f"{prefix}.{name}": shape for name, shape in shapes.items()}
        if branch.queue in entries:
            expected |= {branch.queue: (dim, config.queue), branch.pointer: (1,)}
    for name, entry in entries.items():
        shape = tuple(entry.shape)
        if name not in expected:
            raise SkelkitError(f"{name!r} of shape {shape} is no entry of a published model")
        if shape != expected[name]:
            raise SkelkitError(f"{name!r} has shape {shape}, expected {expected[name]}")
    for name, shape in expected.items():
        if name not in entries:
            raise SkelkitError(f"lacks the entry {name!r}, expected with shape {shape}")


def _converted(
    entries: Mapping[str, Tensor], branches: list[_Branch], model: ContrastiveModel
) -> dict[str, Tensor]:
    """The part of the model's state dict that the entries give."""
    state: dict[str, Tensor] = {}
    for branch in branches:
        name, encoder = branch.representation, _encoder(model, branch)
        key = branch.key if _has(entries, branch.key) else branch.query
        for side, prefix in (("query", branch.query), ("key", key)):
            own = {n.removeprefix(f"{prefix}."): e for n, e in entries.items() if n.startswith(f"{prefix}.")}
            head = {n: own.pop(n) for n in list(own) if n.startswith("fc.")}
            state |= {f"{side}.{name}.encoder.{n}": e for n, e in encoder.from_published(own).items()}
            state |= {f"{side}.{name}.head.layers.{n}": e for n, e in _mlp(head).items()}
        if branch.queue in entries:
            state[f"queues.{name}.keys"] = entries[branch.queue].T
            state[f"queues.{name}.position"] = entries[branch.pointer].reshape(())
    return state


def _mlp(head: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The layers of a `ProjectionHead` from the ``fc`` of a published model."""
    if "fc.weight" not in head:
        return {name.removeprefix("fc."): entry for name, entry in head.items()}
    weight, bias = head["fc.weight"].double(), head["fc.bias"].double()
    # All features are above -1 (a GRU's by tanh, the others by ReLU), so that ReLU(x + 1) - 1 is x.
    features = weight.shape[1]
    return {
        "0.weight": torch.eye(features),
        "0.bias": torch.ones(features),
        "2.weight": weight,
        "2.bias": bias - weight.sum(dim=1),
    }


def _absent(entries: Mapping[str, Tensor], branches: list[_Branch]) -> list[str]:
    parts = (("head", "{0.query}.fc"), ("key encoder", "{0.key}"), ("queue", "{0.queue}"))
    return [
        f"{part} of {branch.representation}"
        for branch in branches
        for part, prefix in parts
        if not _has(entries, prefix.format(branch))
    ]


def _has(entries: Mapping[str, Tensor], prefix: str) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for name in entries)


def _encoder(model: ContrastiveModel, branch: _Branch) -> _PublishedEncoder:
    return cast(_PublishedEncoder, model.encoder(branch.representation))
