"""What every task starts from: a run's encoders, and a store's sequences in parts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
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

_SEEDS_APART = 1 << 16
"""Between the random weights of two runs, whose encoders would be twins if they are of one size."""


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
    others: tuple[Setting, ...] = ()
    """Other runs on the same sequences, whose encoders are fused with this one's."""

    @cached_property
    def trained(self) -> ContrastiveModel:
        return self.checkpoint.restore_model(self.device)

    def untrained(self, seed: int) -> ContrastiveModel:
        """As the run's, with the weights that a pretraining of this seed starts from."""
        # A later training's seed may be beyond those that a configuration takes.
        config = replace(self.checkpoint.config, seed=seed % 2**32)
        return build_model(config, self.checkpoint.data).to(self.device)

    def candidates(self, representation: str | None, *kinds: Kind) -> list[Candidate]:
        """The encoders to compare. ``representation`` None: each of the run's by itself; with other runs all
        of all runs, fused.

        Raises
        ------
        SkelkitError : the run lacks a representation, or one of several runs has none of those wanted
        """
        runs = [(setting.run, setting.checkpoint.config.names) for setting in (self, *self.others)]
        if self.others:
            choices = [representations_of(runs, representation)]
        else:
            choices = [[names] for names in representations(*runs[0], representation)]
        found = [
            Candidate(kind, "+".join(chain(*names_of)), partial(self._encoder, kind, names_of))
            for names_of in choices
            for kind in kinds
            if kind != "raw coordinates"
        ]
        if "raw coordinates" in kinds:
            found.append(Candidate("raw coordinates", "", lambda _seed: raw_coordinates))
        return found

    def _encoder(self, kind: Kind, names_of: list[tuple[str, ...]], seed: int) -> nn.Module:
        """``names_of``: this run's representations, then those of each other."""
        encoders: dict[str, nn.Module] = {}
        for place, (setting, names) in enumerate(zip((self, *self.others), names_of, strict=True)):
            model = (
                setting.trained if kind == "pretrained" else setting.untrained(seed + place * _SEEDS_APART)
            )
            of = f" of run {place + 1}" if place else ""
            encoders |= {name + of: model.encoder(name) for name in names}
        return Joined(encoders) if len(encoders) > 1 else next(iter(encoders.values()))

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
            "direction": "+".join(each.checkpoint.config.gru_direction for each in (self, *self.others)),
            "bodies": self.sequences.max_bodies,
            "device": self.device.type,
            "skelkit": __version__,
        }
        return TrialMemory(self.run / "trials", {**known, **facts}, fresh)


def representations(run: Path | str, known: tuple[str, ...], wanted: str | None) -> list[tuple[str, ...]]:
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


def representations_of(
    runs: Sequence[tuple[Path, tuple[str, ...]]], wanted: str | None
) -> list[tuple[str, ...]]:
    """Of each run, given with those that it has, the representations to fuse: all, or those of the wanted
    ones that it has.

    Raises
    ------
    SkelkitError : no run has one of them, or a run has none of them
    """
    if wanted is None:
        return [known for _, known in runs]
    together = " with ".join(str(run) for run, _ in runs)
    (names,) = representations(together, tuple(dict.fromkeys(chain(*(known for _, known in runs)))), wanted)
    for run, known in runs:
        if not set(names) & set(known):
            raise SkelkitError(f"{run}: has {', '.join(known)}, not {wanted}")
    return [tuple(name for name in names if name in known) for _, known in runs]


def open_setting(
    run: Path,
    data: Path,
    protocol: str | None,
    *,
    device: torch.device,
    subjects: int = 0,
    seed: int = 0,
    progress: bool = False,
    others: Sequence[Path] = (),
) -> Setting:
    """Load a run's newest checkpoint and a whole store; warnings tell what stands against the test part: that
    the run has seen some of it, or that it has classes of which there is no training sample.

    Parameters
    ----------
    run, data : the run, and a store of the same joint layout and recipe as the one it was trained on
    protocol : as `Store.part` takes it; None: the one that the run was trained with
    subjects : so many subjects of the training part, drawn by ``seed``, are held out for validation
    progress : show progress bars on standard error
    others : runs whose encoders are fused with the run's; they are only read

    Raises
    ------
    SkelkitError : no such run; the store is of another layout or recipe, or has samples without labels; the
        runs are of different layouts, recipes, frames or bodies, or one is given twice
    StoreError : the store is damaged or lacks the protocol
    """
    checkpoint = load_latest(run)
    if protocol is None:
        protocol = checkpoint.config.protocol
    beside = _beside(run, checkpoint, others)
    with Store(data) as store:
        checkpoint.data.check(store)
        train, test = store.part(protocol, train=True), store.part(protocol, train=False)
        label = store.label[np.concatenate([train, test])]
        if (label < 0).any():
            raise SkelkitError(
                f"{data}: {(label < 0).sum()} of {len(label)} samples have no label (-1), which evaluation "
                "needs; import the data once more without them"
            )
        held_out = {"test": test}
        held: list[int] = []
        if subjects:
            if "subject" not in store.columns:
                raise SkelkitError(f"{data}: has no subjects, so that none can be held out")
            train, held_out["validation"], held = hold_out(store.columns["subject"], train, subjects, seed)
        _warn_of_unknown(store, protocol, train, test)
        sequences = Sequences.opened(store, checkpoint.data.bodies, device)
        if sequences.note:
            warnings.warn(sequences.note, stacklevel=2)
        setting = Setting(
            run=run,
            checkpoint=checkpoint,
            data=data,
            content_hash=store.content_hash,
            names=store.names,
            classes=[store.class_name(k) for k in range(int(store.label.max()) + 1)],
            sequences=sequences,
            protocol=protocol,
            train=train,
            held_out=held_out,
            subjects=held,
            device=device,
            progress=progress,
            seen=_seen(run, checkpoint, store, protocol),
        )
        settings = [
            replace(setting, run=other, checkpoint=its, seen=_seen(other, its, store, protocol))
            for other, its in beside
        ]
        return replace(setting, others=tuple(settings))


def _beside(run: Path, checkpoint: Checkpoint, others: Sequence[Path]) -> list[tuple[Path, Checkpoint]]:
    """The newest checkpoints of other runs, whose encoders see the same views as the run's.

    Raises
    ------
    SkelkitError : there is none, theirs see others, or a run is given twice
    """
    found = []
    given = {run.resolve()}
    for other in others:
        if other.resolve() in given:
            raise SkelkitError(f"{other}: this run is given twice")
        given.add(other.resolve())
        its = load_latest(other)
        difference = checkpoint.data.why_not(its.data)
        sizes = {
            "frames": (its.config.frames, checkpoint.config.frames),
            "bodies": (its.data.bodies, checkpoint.data.bodies),
        }
        for what, (theirs, ours) in sizes.items():
            if theirs != ours:
                difference = difference or f"its views have {theirs} {what}, the run's have {ours}"
        if difference:
            raise SkelkitError(f"{other}: cannot be fused with {run}: {difference}")
        found.append((other, its))
    return found


def _warn_of_unknown(store: Store, protocol: str, train: NDArray[np.int64], test: NDArray[np.int64]) -> None:
    """Of classes that no training can teach."""
    tested, trained = np.unique(store.label[test]), np.unique(store.label[train])
    unknown = len(np.setdiff1d(tested, trained))
    if unknown:
        warnings.warn(
            f"{store.path}: of {unknown} of the {len(tested)} classes tested by {protocol} there is no "
            "training sample; their test samples can only be wrong",
            stacklevel=3,
        )


def _seen(run: Path, checkpoint: Checkpoint, store: Store, tested: str) -> int | None:
    """How many test samples of the protocol ``tested`` the run was pretrained on, which a warning tells;
    None: not known."""
    protocol = checkpoint.config.protocol
    if checkpoint.data.content_hash != store.content_hash:
        return None
    test = store.part(tested, train=False)
    seen = len(np.intersect1d(test, store.part(protocol, train=True)))
    if seen:
        warnings.warn(
            f"{run}: was pretrained with protocol {protocol}, and so on {seen} of the {len(test)} test "
            f"samples of {tested}, without their labels",
            stacklevel=3,
        )
    return seen
