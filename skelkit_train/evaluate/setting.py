"""What every task starts from: a run's encoders, and a store's sequences in parts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skelkit import __version__
from skelkit.errors import SkelkitError
from skelkit.store import Store
from skelkit_train.checkpoint import Checkpoint, build_model, load_latest
from skelkit_train.contrast import ContrastiveModel
from skelkit_train.data import Sequences
from skelkit_train.evaluate.features import Encoder, Features, Joined, digest, raw_coordinates
from skelkit_train.evaluate.memory import FeatureMemory, TrialMemory
from skelkit_train.evaluate.subsets import hold_out

__all__ = ["Candidate", "Kind", "Setting", "open_setting", "representations"]

Kind = Literal["pretrained", "untrained", "from random weights", "raw coordinates"]
"""Of an encoder; with random weights it is untrained where it stays frozen."""


@dataclass(frozen=True)
class Candidate:
    """An encoder under test: one line of the result."""

    kind: Kind
    representation: str
    """``seq``, or ``seq+graph`` where several are fused, or nothing for raw coordinates."""
    encoder: Callable[[int], Encoder]
    """Of a seed, which decides the weights that are random."""

    @property
    def title(self) -> str:
        return f"{self.kind} {self.representation}".strip()


@dataclass(frozen=True)
class Setting:
    """A run and a store that fit together."""

    run: Path
    checkpoint: Checkpoint
    data: Path
    content_hash: str
    names: list[str]
    """(N,) of the store's sequences."""
    classes: list[str]
    """(K,) their names."""
    sequences: Sequences
    protocol: str
    train: NDArray[np.int64]
    held_out: Mapping[str, NDArray[np.int64]]
    """Places by part: ``test``, and ``validation`` if subjects are held out."""
    subjects: list[int]
    """That are held out for validation."""
    device: torch.device
    progress: bool
    seen: int | None
    """Test samples that the run was pretrained on, without their labels; None: not known, as its store is
    another."""

    @cached_property
    def trained(self) -> ContrastiveModel:
        return self.checkpoint.restore_model(self.device)

    def untrained(self, seed: int) -> ContrastiveModel:
        """As the run's, with the weights that a pretraining of this seed starts from."""
        # A later training's seed may be beyond those that a configuration takes.
        config = replace(self.checkpoint.config, seed=seed % 2**32)
        return build_model(config, self.checkpoint.data).to(self.device)

    def candidates(self, representation: str | None, *kinds: Kind) -> list[Candidate]:
        """The encoders to compare. ``representation`` None: each of the run's by itself.

        Raises
        ------
        SkelkitError : the run lacks a representation
        """
        found = [
            Candidate(kind, "+".join(names), partial(self._encoder, kind, names))
            for names in representations(self.run, self.checkpoint.config.names, representation)
            for kind in kinds
            if kind != "raw coordinates"
        ]
        if "raw coordinates" in kinds:
            found.append(Candidate("raw coordinates", "", lambda _seed: raw_coordinates))
        return found

    def _encoder(self, kind: Kind, names: tuple[str, ...], seed: int) -> nn.Module:
        model = self.trained if kind == "pretrained" else self.untrained(seed)
        encoders = {name: model.encoder(name) for name in names}
        return Joined(encoders) if len(names) > 1 else encoders[names[0]]

    def features(self, encoder: Encoder, seed: int = 0) -> Features:
        facts = {"store": self.content_hash, "device": self.device.type, "skelkit": __version__}
        memory = FeatureMemory(self.run / "features", self.names, facts)
        frames = self.checkpoint.config.frames
        return Features(self.sequences, encoder, frames, seed, memory, self.progress)

    def trials(self, task: str, encoder: Encoder, fresh: bool, **facts: Any) -> TrialMemory:
        """Where the finished trainings that start from this encoder are."""
        known = {
            "task": task,
            "store": self.content_hash,
            "protocol": self.protocol,
            "subjects held out": self.subjects,
            "encoder": str(encoder) if isinstance(encoder, nn.Module) else "raw coordinates",
            "weights": digest(encoder) if isinstance(encoder, nn.Module) else None,
            "frames": self.checkpoint.config.frames,
            "direction": self.checkpoint.config.gru_direction,
            "bodies": self.sequences.max_bodies,
            "device": self.device.type,
            "skelkit": __version__,
        }
        return TrialMemory(self.run / "trials", {**known, **facts}, fresh)


def representations(run: Path, known: tuple[str, ...], wanted: str | None) -> list[tuple[str, ...]]:
    """Those to take: all of the run's one by one, or the wanted ones, joined by +, together.

    Raises
    ------
    SkelkitError : one is not among the ``known`` ones of the run
    """
    if wanted is None:
        return [(name,) for name in known]
    names = tuple(wanted.split("+"))
    if not set(names) <= set(known) or len(set(names)) < len(names):
        raise SkelkitError(f"{run}: has {', '.join(known)}, not {wanted}")
    return [names]


def open_setting(
    run: Path,
    data: Path,
    protocol: str,
    *,
    device: torch.device,
    subjects: int = 0,
    seed: int = 0,
    progress: bool = False,
) -> Setting:
    """Load a run's newest checkpoint and a whole store; a warning tells how much of the test part the run has
    seen.

    Parameters
    ----------
    run, data : the run, and a store of the same joint layout and recipe as the one it was trained on
    protocol : of the store
    subjects : so many subjects of the training part, drawn by ``seed``, are held out for validation
    progress : show progress bars on standard error

    Raises
    ------
    SkelkitError : no such run; the store is of another layout or recipe, or has samples without labels
    StoreError : the store is damaged or lacks the protocol
    """
    checkpoint = load_latest(run)
    with Store(data) as store:
        checkpoint.data.check(store)
        train, test = store.part(protocol, train=True), store.part(protocol, train=False)
        label = store.label[np.concatenate([train, test])]
        if (label < 0).any():
            raise SkelkitError(f"{data}: some samples have no label (-1), which evaluation needs")
        held_out = {"test": test}
        held: list[int] = []
        if subjects:
            if "subject" not in store.columns:
                raise SkelkitError(f"{data}: has no subjects, so that none can be held out")
            train, held_out["validation"], held = hold_out(store.columns["subject"], train, subjects, seed)
        seen = _seen(checkpoint, store, test)
        if seen:
            warnings.warn(
                f"{run}: was pretrained with protocol {checkpoint.config.protocol}, and so on {seen} of the "
                f"{len(test)} test samples of {protocol}, without their labels",
                stacklevel=2,
            )
        return Setting(
            run=run,
            checkpoint=checkpoint,
            data=data,
            content_hash=store.content_hash,
            names=store.names,
            classes=[store.class_name(k) for k in range(int(store.label.max()) + 1)],
            sequences=Sequences.load(store, checkpoint.data.bodies, device),
            protocol=protocol,
            train=train,
            held_out=held_out,
            subjects=held,
            device=device,
            progress=progress,
            seen=seen,
        )


def _seen(checkpoint: Checkpoint, store: Store, test: NDArray[np.int64]) -> int | None:
    """How many of the places ``test`` (m,) are in the part that was pretrained on; None: not known."""
    protocol = checkpoint.config.protocol
    if checkpoint.data.content_hash != store.content_hash or protocol not in store.protocols:
        return None
    return len(np.intersect1d(test, store.part(protocol, train=True)))
