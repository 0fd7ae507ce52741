"""How a run's encoders see a store: a map of the test part, and what the samples of it retrieve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from skelkit_train.evaluate.retrieval import search
from skelkit_train.evaluate.setting import Setting

__all__ = ["Mapped", "Neighbour", "Query", "Seen", "Space", "explore", "pick_queries", "principal_plane"]

_MOST_POINTS = 2000
_QUERIES = 12
_NEIGHBOURS = 5


@dataclass(frozen=True)
class Mapped:
    """A test sample on the map."""

    name: str
    label: int


@dataclass(frozen=True)
class Neighbour:
    """A training sample that a query found."""

    name: str
    label: int
    similarity: float
    """The cosine of its features and the query's."""


@dataclass(frozen=True)
class Query:
    """A test sample, and its nearest training samples, the nearest first."""

    name: str
    label: int
    neighbours: list[Neighbour]


@dataclass(frozen=True)
class Seen:
    """What one representation's features tell."""

    representation: str
    explained: list[float]
    """Shares of the variance along the two directions of the map."""
    points: list[list[float]]
    """(n, 2), of the samples in `Space.samples`."""
    queries: list[Query]


@dataclass(frozen=True)
class Space:
    """A store's test part under the encoders of a run."""

    data: str
    protocol: str
    train: int
    test: int
    classes: list[str]
    samples: list[Mapped]
    """All of the test part, or so many of it, evenly spread, that the map stays light."""
    representations: list[Seen]


def explore(setting: Setting) -> Space:
    """Features of the views for testing, on a plane and by their neighbours."""
    train, test = setting.train, setting.held_out["test"]
    label = setting.sequences.label
    chosen = np.unique(np.linspace(0, len(test) - 1, min(len(test), _MOST_POINTS)).astype(np.int64))
    asked: list[int] = []
    seen = []
    for name in setting.checkpoint.config.names:
        features = setting.features(setting.trained.encoder(name))
        gallery, query = features.centre(train), features.centre(test)
        found = search(query, gallery, _NEIGHBOURS, progress=setting.progress)
        near, similarity = train[found.row.cpu().numpy()], found.similarity.cpu().numpy()
        # All representations are asked the same, so that their answers compare.
        asked = asked or pick_queries(label[test], label[near[:, 0]])
        points, explained = principal_plane(_unit_length(query[torch.from_numpy(chosen)]))
        seen.append(
            Seen(
                name,
                explained.round(4).tolist(),
                points.round(4).tolist(),
                [_query(setting, test[row], near[row], similarity[row]) for row in asked],
            )
        )
    samples = [Mapped(setting.names[place], int(label[place])) for place in test[chosen]]
    return Space(str(setting.data), setting.protocol, len(train), len(test), setting.classes, samples, seen)


def _unit_length(features: torch.Tensor) -> NDArray[np.float64]:
    """As retrieval sees them, which goes by the cosine."""
    return torch.nn.functional.normalize(features.double(), dim=1).cpu().numpy()


def _query(
    setting: Setting, place: np.int64, near: NDArray[np.int64], similarity: NDArray[np.float32]
) -> Query:
    label = setting.sequences.label
    neighbours = [
        Neighbour(setting.names[other], int(label[other]), round(float(cosine), 4))
        for other, cosine in zip(near, similarity, strict=True)
    ]
    return Query(setting.names[place], int(label[place]), neighbours)


def pick_queries(label: NDArray[np.int64], found: NDArray[np.int64], count: int = _QUERIES) -> list[int]:
    """Rows of at most ``count`` samples of the classes ``label`` (m,) to look at, whose nearest neighbours
    have the classes ``found`` (m,): half of them wrong, of the most frequent confusions, one of each; the
    others right, of classes evenly spread."""
    rows: dict[tuple[int, int], list[int]] = {}
    for row, pair in enumerate(zip(label.tolist(), found.tolist(), strict=True)):
        rows.setdefault(pair, []).append(row)
    wrong = sorted((pair for pair in rows if pair[0] != pair[1]), key=lambda pair: (-len(rows[pair]), pair))
    right = sorted(pair for pair in rows if pair[0] == pair[1])
    few_wrong = wrong[: max(count // 2, count - len(right))]
    wanted = min(count - len(few_wrong), len(right))
    even = np.linspace(0, max(len(right) - 1, 0), wanted).round().astype(np.int64).tolist()
    return [rows[pair][0] for pair in [*few_wrong, *(right[place] for place in even)]]


def principal_plane(features: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, 2) features (n, D) along their two principal components, and the shares (2,) of the variance that
    these explain; the signs are such that the largest coordinates are positive."""
    centred = features - features.mean(axis=0)
    # By the products of the samples, which are fewer than the features often are many.
    variances, directions = np.linalg.eigh(centred @ centred.T)
    variances = np.maximum(variances[::-1], 0)
    kept = min(2, len(features))
    points, shares = np.zeros((len(features), 2)), np.zeros(2)
    points[:, :kept] = directions[:, ::-1][:, :kept] * np.sqrt(variances[:kept])
    shares[:kept] = variances[:kept] / max(float(variances.sum()), 1e-30)
    extreme = points[np.abs(points).argmax(axis=0), np.arange(2)]
    return points * np.where(extreme < 0, -1, 1), shares
