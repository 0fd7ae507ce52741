"""Checkpoints of a run: atomic, checksummed, and enough to rebuild the model by themselves.

A checkpoint ``checkpoint-EPOCHS.pt``, or ``checkpoint-EPOCHS_BATCHES.pt`` within an epoch, holds tensors
and plain data only, so that it loads with ``weights_only=True``; its SHA-256 lies beside it. The last two are
kept.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from skelkit.errors import SkelkitError, no_such
from skelkit.files import replacing
from skelkit.skeleton import JointLayout
from skelkit.store import Store
from skelkit_train.config import PretrainConfig, resolve
from skelkit_train.contrast import ContrastiveModel
from skelkit_train.encoders import ENCODERS

__all__ = [
    "Checkpoint",
    "DataFacts",
    "build_encoder",
    "build_model",
    "checkpoints",
    "load_latest",
    "save",
]

_KEPT = 2

_OF_DAMAGE = (
    *(OSError, EOFError, ValueError, RuntimeError, KeyError, TypeError, AttributeError),
    pickle.UnpicklingError,
)
"""What reading a damaged checkpoint raises."""


@dataclass(frozen=True)
class DataFacts:
    """What a model needs to know of the data it was made for."""

    layout: str
    """As `JointLayout.to_json` gives it."""
    recipe: str
    """Its name and steps, as JSON."""
    bodies: int
    """M of the views."""
    content_hash: str
    """Empty where it is not known, as of published weights: any store of this layout and recipe will do."""

    @classmethod
    def of(cls, store: Store, bodies: int) -> DataFacts:
        """Of a store; ``bodies`` 0 stands for as many as the store has, up to 2.

        Raises
        ------
        SkelkitError : the store is a part of a conversion
        """
        if store.shard:
            part = f"shard {store.shard.index} of {store.shard.of}"
            raise SkelkitError(f"{store.path}: {part}; skelkit merge puts them together")
        most = bodies or min(2, int(store.bodies.max()))
        recipe = json.dumps({key: store.recipe[key] for key in ("name", "steps")}, sort_keys=True)
        return cls(store.layout.to_json(), recipe, most, store.content_hash)

    def check(self, store: Store) -> None:
        """Refuse a store that the model was not made for.

        Raises
        ------
        SkelkitError : another joint layout or another recipe
        """
        difference = self.why_not(DataFacts.of(store, self.bodies))
        if difference:
            raise SkelkitError(f"{store.path}: {difference}")

    def why_not(self, store: DataFacts) -> str | None:
        """In what a store differs so that the model was not made for it, or None."""
        old, new = json.loads(self.layout), json.loads(store.layout)
        if old["name"] != new["name"]:
            return f"its joint layout is {new['name']}, the run was trained on {old['name']}"
        fields = ", ".join(name for name in old if old[name] != new[name])
        if fields:
            return f"its joint layout {new['name']} differs in {fields} from the run's"
        old, new = json.loads(self.recipe), json.loads(store.recipe)
        if old["name"] != new["name"]:
            difference = f"its recipe is {new['name']}, the run was trained on {old['name']}"
        elif old["steps"] != new["steps"]:
            difference = (
                f"its recipe {new['name']} has {_first_other(new['steps'], old['steps'])}; "
                f"in that of the run it has {_first_other(old['steps'], new['steps'])}"
            )
        else:
            return None
        return f"{difference}; numbers from different recipes do not compare"


def _first_other(steps: list[dict[str, Any]], others: list[dict[str, Any]]) -> str:
    """The first step that differs from the others', as ``step 2, first_slots(bodies=4)``."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(steps, others, strict=False)))
    if same == len(steps):
        return f"{same} steps"
    parameters = ", ".join(f"{name}={value}" for name, value in steps[same].items() if name != "step")
    return f"step {same + 1}, {steps[same]['step']}({parameters})"


@dataclass(frozen=True)
class Checkpoint:
    """A run after ``epoch`` epochs and, where one was begun, some batches of the next."""

    config: PretrainConfig
    data: DataFacts
    epoch: int
    step: int
    model: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Of the last epoch."""
    begun: Mapping[str, Any] = field(default_factory=dict)
    """The epoch that was begun, as `skelkit_train.metrics.Totals.state` gives it; empty between epochs."""

    @property
    def file_name(self) -> str:
        """The names of a run's checkpoints sort by their age."""
        batches = f"_{self.begun['batches']:06d}" if self.begun else ""
        return f"checkpoint-{self.epoch:06d}{batches}.pt"

    def restore_model(self, device: torch.device) -> ContrastiveModel:
        """The model with its weights. Raises SkelkitError as `load_into`."""
        model = build_model(self.config, self.data)
        self.load_into(model)
        return model.to(device)

    def load_into(self, model: ContrastiveModel) -> None:
        """Give a model of this configuration these weights.

        Raises
        ------
        SkelkitError : a weight is missing, of another shape, or has no place in the model
        """
        expected = model.state_dict()
        for name in sorted(expected.keys() | self.model.keys()):
            if name not in self.model:
                reason = f"lacks the weight {name}"
            elif name not in expected:
                reason = f"its weight {name} has no place in the model"
            elif self.model[name].shape != expected[name].shape:
                shapes = tuple(self.model[name].shape), tuple(expected[name].shape)
                reason = f"its weight {name} has shape {shapes[0]}, expected {shapes[1]}"
            else:
                continue
            raise SkelkitError(f"{self.file_name}: {reason}")
        model.load_state_dict(dict(self.model))


def build_encoder(name: str, config: PretrainConfig, data: DataFacts) -> nn.Module:
    """An encoder with random weights, from torch's current generator."""
    sizes: dict[str, dict[str, Any]] = {
        "seq": {
            "hidden": config.gru_hidden,
            "layers": config.gru_layers,
            "direction": config.gru_direction,
        },
        "graph": {"widths": config.agcn_widths},
        "image": {"channels": config.hcn_channels, "dropout": config.hcn_dropout},
    }
    layout = JointLayout.from_json(data.layout)
    try:
        return ENCODERS[name](layout=layout, bodies=data.bodies, frames=config.frames, **sizes[name])
    except ValueError as error:
        raise SkelkitError(f"{name} encoder: {error}") from None


def build_model(config: PretrainConfig, data: DataFacts) -> ContrastiveModel:
    """The model with the initial weights that the seed decides."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        encoders = {name: build_encoder(name, config, data) for name in config.names}
        return ContrastiveModel(
            encoders,
            dim=config.embedding,
            queue_size=config.queue,
            momentum=config.momentum,
            temperature=config.temperature,
        )


def save(run: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint under a temporary name, synchronise it, rename it, and drop all but it and the one
    before it: newer ones are those that could not be used when the run went on.

    Raises
    ------
    SkelkitError : the disk refuses
    """
    path = run / checkpoint.file_name
    content = {
        "config": asdict(checkpoint.config),
        "data": asdict(checkpoint.data),
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "model": dict(checkpoint.model),
        "optimizer": dict(checkpoint.optimizer),
        "scheduler": dict(checkpoint.scheduler),
        "metrics": dict(checkpoint.metrics),
        "begun": dict(checkpoint.begun),
    }
    with replacing(path, "the checkpoint") as temporary:
        try:
            torch.save(content, temporary)
        except RuntimeError as error:  # torch's answer to a disk that refuses
            raise OSError(str(error)) from None
        with replacing(_digest_file(path), "the checkpoint's checksum") as checksum:
            checksum.write_text(_digest(temporary), encoding="ascii")
    found = checkpoints(run)
    at = found.index(path)
    for other in (*found[: at + 1][:-_KEPT], *found[at + 1 :]):
        other.unlink()
        _digest_file(other).unlink(missing_ok=True)
    return path


def checkpoints(run: Path) -> list[Path]:
    """A run's checkpoints, the oldest first."""
    return sorted(run.glob("checkpoint-*.pt"))


def load_latest(run: Path) -> Checkpoint:
    """The newest checkpoint that can be used; newer ones that are damaged, or have settings of another
    version of skelkit, are warned of.

    Raises
    ------
    SkelkitError : the run has none
    """
    if run.is_file():
        raise SkelkitError(f"{run}: is a file, expected a run; RUN comes before DATA")
    if not run.is_dir():
        raise SkelkitError(f"{run}: {no_such('run', run)}")
    for path in reversed(checkpoints(run)):
        try:
            return _load(path)
        except SkelkitError as error:  # of its settings
            warnings.warn(f"{path}: of another version, and passed over: {error}", stacklevel=2)
        except _OF_DAMAGE as error:
            reason = str(error).partition("\n")[0]
            warnings.warn(f"{path}: damaged, and passed over: {reason}", stacklevel=2)
    raise SkelkitError(f"{run}: no intact checkpoint in this folder; is it a run of skelkit-train pretrain?")


def _load(path: Path) -> Checkpoint:
    if _digest_file(path).read_text(encoding="ascii") != _digest(path):
        raise ValueError("its SHA-256 is another")
    content = torch.load(path, map_location="cpu", weights_only=True)
    config = resolve(content.pop("config"))
    return Checkpoint(config=config, data=DataFacts(**content.pop("data")), **content)


def _digest_file(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
