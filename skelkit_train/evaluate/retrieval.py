"""Action retrieval: each test sample takes the class of its nearest training samples.

Source: arXiv 2108.03656, section 4.4: k = 1, cosine similarity, on centre crops.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from skelkit_train.evaluate.features import Features
from skelkit_train.evaluate.scores import Scores, score

__all__ = ["nearest", "retrieval", "vote"]

_BLOCK = 1024


def retrieval(features: Features, train: NDArray[np.int64], test: NDArray[np.int64], *, k: int = 1) -> Scores:
    """Scores of k-nearest-neighbour classification from the places ``train`` (n,) to ``test`` (m,)."""
    neighbours = nearest(features.centre(test), features.centre(train), k)
    return score(vote(features.labels(train)[neighbours]), features.labels(test))


def nearest(query: Tensor, gallery: Tensor, k: int) -> Tensor:
    """(m, k) rows of the gallery (n, D) most similar to each query (m, D) by cosine, most similar first.

    The queries go in blocks, so that no (m, n) matrix is ever there as a whole.
    """
    gallery = F.normalize(gallery, dim=1)
    k = min(k, len(gallery))
    blocks = [(F.normalize(block, dim=1) @ gallery.T).topk(k, dim=1).indices for block in query.split(_BLOCK)]
    return torch.cat(blocks)


def vote(labels: Tensor) -> Tensor:
    """(m,) the most frequent of each row of (m, k) classes; of equally frequent ones, the nearest's."""
    counts = (labels[:, :, None] == labels[:, None, :]).sum(dim=2)
    return labels.gather(1, counts.argmax(dim=1, keepdim=True)).squeeze(1)
