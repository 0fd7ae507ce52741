"""Action retrieval: each test sample takes the class of its nearest training samples.

Source: arXiv 2108.03656, section 4.4: k = 1, cosine similarity, on centre crops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelkit.progress import progress_bar
from skelkit_train.evaluate.features import Features
from skelkit_train.evaluate.scores import Scores, score

__all__ = ["Neighbours", "Retrieval", "average_precision", "ranked", "retrieval", "search", "vote"]

_BLOCK_BYTES = 1 << 26
"""Of the similarities that are there at a time. Ranking a block takes about ten times as much."""
_FIRST = 5


@dataclass(frozen=True)
class Neighbours:
    """What `search` found for m queries."""

    row: Tensor
    """(m, k) rows of the gallery, most similar first."""
    similarity: Tensor
    """(m, k) cosines."""
    average_precision: Tensor | None
    """(m,) nan where the gallery has none of the query's class; None without labels."""


@dataclass(frozen=True)
class Retrieval(Scores):
    """Scores of retrieval; ``top5`` is the share of the test samples with their class among the five nearest
    training samples."""

    mean_average_precision: float
    """Over the test samples whose class the training part has."""
    nearest: list[int]
    """(m,) the place of each test sample's nearest training sample."""
    similarity: list[float]
    """(m,) its cosine."""


def retrieval(
    features: Features, train: NDArray[np.int64], test: NDArray[np.int64], *, k: int = 1
) -> Retrieval:
    """Scores of k-nearest-neighbour classification from the places ``train`` (n,) to ``test`` (m,)."""
    return ranked(
        features.centre(train),
        features.centre(test),
        features.labels(train),
        features.labels(test),
        train,
        k=k,
    )


def ranked(
    gallery: Tensor,
    query: Tensor,
    gallery_label: Tensor,
    label: Tensor,
    places: NDArray[np.int64],
    *,
    k: int = 1,
    progress: bool = False,
) -> Retrieval:
    """`retrieval` of features (m, D) in features (n, D) of the sequences at ``places`` (n,)."""
    found = search(query, gallery, max(k, _FIRST), label, gallery_label, progress=progress)
    classes = int(torch.cat([label, gallery_label]).max()) + 1
    near = gallery_label[found.row]
    scores = score(vote(near[:, :k])[:, None], label, classes)
    assert found.average_precision is not None
    return Retrieval(
        top1=scores.top1,
        top5=float((near[:, :_FIRST] == label[:, None]).any(dim=1).double().mean()),
        mean_class=scores.mean_class,
        confusion=scores.confusion,
        predicted=scores.predicted,
        mean_average_precision=float(found.average_precision.nanmean().nan_to_num(0)),
        nearest=places[found.row[:, 0].cpu().numpy()].tolist(),
        similarity=[round(value, 6) for value in found.similarity[:, 0].tolist()],
    )


def search(
    query: Tensor,
    gallery: Tensor,
    k: int,
    label: Tensor | None = None,
    gallery_label: Tensor | None = None,
    *,
    progress: bool = False,
) -> Neighbours:
    """The k rows of the gallery (n, D) most similar to each query (m, D) by cosine; with the classes of both,
    (m,) and (n,), also each query's average precision.

    The queries go in blocks, so that beside the features there is never more than about 1 GB.
    """
    k = min(k, len(gallery))
    rows, similarities, precisions = [], [], []
    with progress_bar(total=len(query), desc="retrieval", unit="sample", shown=progress, leave=False) as bar:
        for first, block in _similarities(query, gallery):
            best = block.topk(k, dim=1)
            rows.append(best.indices)
            similarities.append(best.values)
            if label is not None and gallery_label is not None:
                wanted = label[first : first + len(block), None] == gallery_label
                precisions.append(average_precision(block, wanted))
            bar.update(len(block))
    precision = torch.cat(precisions) if precisions else None
    return Neighbours(torch.cat(rows), torch.cat(similarities), precision)


def _similarities(query: Tensor, gallery: Tensor) -> Iterator[tuple[int, Tensor]]:
    """The first query of each block, and the block's cosines (b, n)."""
    step = max(1, _BLOCK_BYTES // (4 * len(gallery)))
    # Dividing by the norms afterwards spares a normalised copy of the gallery.
    norm = gallery.norm(dim=1).clamp(min=1e-12)
    for first in range(0, len(query), step):
        block = query[first : first + step]
        similarity = block @ gallery.T
        yield first, similarity.div_(norm).div_(block.norm(dim=1, keepdim=True).clamp(min=1e-12))


def average_precision(similarity: Tensor, wanted: Tensor) -> Tensor:
    """(b,) average precision of similarities (b, n), the wanted ones True in (b, n); nan where none is.

    The mean, over the wanted ones, of the precision among all that are at least as similar: equal
    similarities stand or fall together, so that the order of the gallery decides nothing.
    """
    n = similarity.shape[1]
    values, order = similarity.sort(dim=1, descending=True)
    hits = wanted.gather(1, order)
    del order
    last = torch.ones_like(hits)
    last[:, :-1] = values[:, 1:] != values[:, :-1]
    del values
    count = torch.arange(1, n + 1, device=similarity.device, dtype=torch.int32)
    found = hits.cumsum(dim=1, dtype=torch.int32)
    precision = found / count
    # Positions that are not the last of their equals take the precision at that last one.
    ends = torch.where(last, count - 1, n - 1).flip(1).cummin(dim=1).values.flip(1)
    total = torch.where(hits, precision.gather(1, ends.long()), 0).sum(dim=1, dtype=torch.float64)
    return torch.where(found[:, -1] > 0, total / found[:, -1], torch.nan)


def vote(labels: Tensor) -> Tensor:
    """(m,) the most frequent of each row of (m, k) classes; of equally frequent ones, the nearest's."""
    step = max(1, _BLOCK_BYTES // labels.shape[1] ** 2)
    winners = []
    for block in labels.split(step):
        counts = (block[:, :, None] == block[:, None, :]).sum(dim=2)
        winners.append(block.gather(1, counts.argmax(dim=1, keepdim=True)).squeeze(1))
    return torch.cat(winners)
