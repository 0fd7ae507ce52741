"""What evaluations leave in the run for later ones: features of a store, and trainings that are finished.

Both are files named by the hash of everything that decides their content, and hold those facts, too. Nothing
is ever changed in them; deleting the folders costs time only.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skelkit.errors import SkelkitError
from skelkit.files import replacing
from skelkit_train.evaluate.results import Trial

__all__ = ["FeatureMemory", "TrialMemory"]


def _name(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]


def _keep(path: Path, what: str, write: Callable[[Path], object]) -> None:
    """Write a file whole; where the disk refuses, or another evaluation writes it, that costs time only."""
    try:
        path.parent.mkdir(exist_ok=True)
        with replacing(path, what) as temporary:
            write(temporary)
    except (OSError, SkelkitError) as error:
        warnings.warn(f"{error}; {what} will have to be computed again", stacklevel=3)


@dataclass(frozen=True)
class FeatureMemory:
    """Features in ``RUN/features``, float32, one file for an encoder and a store."""

    folder: Path
    names: list[str]
    """(N,) of the store's sequences."""
    facts: Mapping[str, Any]
    """Of the store and the device."""

    def recall(self, facts: Mapping[str, Any], compute: Callable[[], Tensor]) -> Tensor:
        """(N, D) features under these facts, on the CPU, in the order of ``names``: those on disk, or else
        computed and written."""
        facts = {**self.facts, **facts}
        path = self.folder / f"{_name(facts)}.npz"
        known = self._read(path)
        if known is not None:
            return known
        features = compute()

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.savez(file, features=features.numpy(), name=np.array(self.names), facts=json.dumps(facts))

        _keep(path, "the features", write)
        return features

    def _read(self, path: Path) -> Tensor | None:
        """Matched by name; None where there are none, or they are damaged."""
        try:
            with path.open("rb") as file, np.load(file) as arrays:
                names, features = arrays["name"].tolist(), arrays["features"]
            if features.dtype != np.float32 or features.ndim != 2 or len(features) != len(names):
                return None
            if names != self.names:
                row = {name: row for row, name in enumerate(names)}
                features = features[[row[name] for name in self.names]]
            return torch.from_numpy(features)
        except Exception:  # a damaged file can make zipfile and numpy raise anything
            return None


@dataclass(frozen=True)
class TrialMemory:
    """Finished trainings in ``RUN/trials``, as JSON."""

    folder: Path
    facts: Mapping[str, Any]
    """Of the store, the task and the weights that it starts from."""
    fresh: bool = False
    """Do all again."""

    def recall(self, facts: Mapping[str, Any], compute: Callable[[], Trial]) -> Trial:
        """A training's result under these facts: the one on disk, or else computed and written."""
        facts = {**self.facts, **facts}
        path = self.folder / f"{_name(facts)}.json"
        if not self.fresh:
            try:
                known = Trial(**json.loads(path.read_text(encoding="utf-8"))["trial"])
                return replace(known, recalled=True)
            except (OSError, ValueError, KeyError, TypeError):  # none, or a damaged one
                pass
        trial = compute()
        text = json.dumps({"facts": facts, "trial": asdict(trial)}) + "\n"
        _keep(path, "the finished training", lambda temporary: temporary.write_text(text, encoding="utf-8"))
        return trial
