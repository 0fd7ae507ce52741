"""Skeleton contrast: a projection head, a queue of keys, momentum key encoders and the InfoNCE loss.

Sources: MoCo (arXiv 1911.05722); intra- and inter-skeleton contrast of ISC (arXiv 2108.03656); negatives from
the batch of SimCLR (arXiv 2002.05709).
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from itertools import permutations
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from skelkit_train.distributed import gathered, own_rank

__all__ = [
    "ContrastOutput",
    "ContrastiveModel",
    "KeyQueue",
    "ProjectionHead",
    "contrastive_accuracy",
    "info_nce",
]


def info_nce(
    query: Tensor, key: Tensor, negatives: Tensor, temperature: float, own: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """InfoNCE of queries (N, D), their positive keys (N, D) and negatives (K, D), all of unit length.

    ``own`` (N, K), bool: these negatives are views of the query's own sequence, and left out.

    Returns the mean loss, a scalar, and the logits (N, 1 + K) with the positives in column 0, in float32 also
    under autocast. Source: MoCo, equation 1.
    """
    with torch.autocast(query.device.type, enabled=False):
        query, key, negatives = query.float(), key.float(), negatives.float()
        positive = (query * key).sum(dim=1, keepdim=True)
        others = query @ negatives.T
        if own is not None:
            others = others.masked_fill(own, -torch.inf)
        logits = torch.cat((positive, others), dim=1) / temperature
    targets = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return F.cross_entropy(logits, targets), logits


def contrastive_accuracy(logits: Tensor) -> Tensor:
    """Share of the rows of logits (N, 1 + K) whose column 0 is larger than all others, a scalar.

    A tie is a miss, so that a collapsed encoder, to which all keys are equal, does not count as perfect.
    """
    return (logits[:, 0] > logits[:, 1:].amax(dim=1)).float().mean()


class ProjectionHead(nn.Module):
    """Linear-ReLU-Linear; features (N, D) -> embeddings (N, dim) of unit length, float32."""

    def __init__(self, features: int, dim: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, dim))

    def forward(self, features: Tensor) -> Tensor:
        """features (N, D) -> embeddings (N, dim)."""
        return F.normalize(self.layers(features).float(), dim=1)


class KeyQueue(nn.Module):
    """The last K keys, ``keys`` (K, D) of unit length; random ones until they are replaced.

    Source: MoCo, section 3.2.

    Raises
    ------
    ValueError : ``size`` or ``dim`` is below 1
    """

    keys: Tensor
    position: Tensor

    def __init__(self, size: int, dim: int = 128, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if size < 1 or dim < 1:
            raise ValueError(f"a queue needs a size and a dim of at least 1; got {size} and {dim}")
        self.register_buffer("keys", F.normalize(torch.randn(size, dim, generator=generator), dim=1))
        self.register_buffer("position", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Replace the oldest keys by these (N, D), in place; of more than K, the last K stay."""
        size = len(self.keys)
        count = len(keys)
        kept = keys[-size:]
        # `position` stays on the device: reading it here would make the host wait for the step.
        rows = (self.position + torch.arange(count - len(kept), count, device=kept.device)) % size
        self.keys.index_copy_(0, rows, kept.to(self.keys.dtype))
        self.position.add_(count).remainder_(size)


class ContrastOutput(NamedTuple):
    """The losses of one batch."""

    loss: Tensor
    """Scalar to minimise: the sum of the terms."""
    losses: dict[str, Tensor]
    """Each term, detached, by query and key representation: ``seq>graph``."""
    accuracies: dict[str, Tensor]
    """`contrastive_accuracy` of each term."""


class ContrastiveModel(nn.Module):
    """Query and key encoders with heads, and a queue, for each representation.

    One representation: intra-skeleton contrast, plain MoCo. More: inter-skeleton contrast, the sum over all
    pairs (a, b) of InfoNCE(q_a, k_b, queue_b) + InfoNCE(q_b, k_a, queue_a), with no intra term. Source: ISC.

    ``encoders`` maps the name of a representation to its query encoder, which is used as given; its attribute
    ``features`` is the size of its output.

    With ``queue_size`` 0 there are neither queues nor key encoders, and ``momentum`` means nothing: both
    views of every sequence are queries, each with the other as its positive key, and both views of the
    batch's other sequences are the negatives. With one representation that is SimCLR's NT-Xent, but that no
    gradient goes through the keys. For small datasets, where a queue holds views of a query's own sequence.

    Raises
    ------
    ValueError : no encoder, a momentum outside 0..1, a temperature not above 0, or a queue below 0
    TypeError : an encoder has no ``features``
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        *,
        dim: int = 128,
        queue_size: int = 16384,
        momentum: float = 0.999,
        temperature: float = 0.07,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not encoders:
            raise ValueError("a contrastive model needs at least one encoder")
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum is {momentum}; expected 0 to 1")
        if not temperature > 0:
            raise ValueError(f"temperature is {temperature}; expected more than 0")
        if queue_size < 0:
            raise ValueError(f"queue_size is {queue_size}; expected 0 or more")
        self.temperature = temperature
        self.momentum = momentum
        self.query = nn.ModuleDict({name: _with_head(encoder, dim) for name, encoder in encoders.items()})
        queued = encoders if queue_size else {}
        self.key = nn.ModuleDict({name: copy.deepcopy(self.query[name]) for name in queued})
        self.key.requires_grad_(False)
        self.queues = nn.ModuleDict({name: KeyQueue(queue_size, dim, generator) for name in queued})
        self.terms = list(permutations(encoders, 2)) or [(name, name) for name in encoders]

    def encoder(self, name: str) -> nn.Module:
        """The query encoder of a representation, without its head, for evaluation.

        Raises
        ------
        KeyError : the model has no such representation
        """
        return cast(nn.Sequential, self.query[name])[0]

    @torch.no_grad()
    def update_key_encoders(self) -> None:
        """Move the key encoders towards the query encoders: k = momentum * k + (1 - momentum) * q.

        Source: MoCo, equation 2.
        """
        # torch's AveragedModel would do more than MoCo does: it copies the query's parameters at its first
        # update (over imported key encoders), overwrites the key encoders' own batch statistics at each, and
        # reads its counter on the host. Its averaging function alone is what is wanted.
        average = get_ema_multi_avg_fn(self.momentum)
        average(list(self.key.parameters()), list(self.query.parameters()), None)

    def forward(self, query_views: Tensor, key_views: Tensor) -> ContrastOutput:
        """The loss of two views (N, T, M, V, C) of the same sequences; the changes of state of a step."""
        if self.queues:
            return self._against_queues(query_views, key_views)
        return self._against_batch(torch.cat((query_views, key_views)))

    def _against_queues(self, query_views: Tensor, key_views: Tensor) -> ContrastOutput:
        """First the key encoders move, then the keys are computed; last they enter the queues, so that no key
        is its own negative."""
        with torch.no_grad():
            self.update_key_encoders()
            keys = {name: branch(key_views) for name, branch in self.key.items()}
        queries = {name: branch(query_views) for name, branch in self.query.items()}
        # Copies, since the backward pass needs the negatives as they were before this batch's keys entered.
        negatives = {name: cast(KeyQueue, queue).keys.clone() for name, queue in self.queues.items()}
        output = self._contrast(queries, keys, negatives)
        for name, rows in _of_all_ranks(keys).items():
            cast(KeyQueue, self.queues[name]).enqueue(rows)
        return output

    def _against_batch(self, views: Tensor) -> ContrastOutput:
        """views (2 N, T, M, V, C): the first of every sequence, then the second."""
        queries = {name: branch(views) for name, branch in self.query.items()}
        keys = {name: rows.detach() for name, rows in queries.items()}
        negatives = _of_all_ranks(keys)
        sequence = torch.arange(len(views), device=views.device) % (len(views) // 2)
        own = sequence[:, None] == sequence
        before, count = own_rank() * len(views), len(next(iter(negatives.values())))
        own = F.pad(own, (before, count - before - len(views)))
        other_view = {name: rows.roll(len(views) // 2, dims=0) for name, rows in keys.items()}
        return self._contrast(queries, other_view, negatives, own)

    def _contrast(
        self,
        queries: Mapping[str, Tensor],
        keys: Mapping[str, Tensor],
        negatives: Mapping[str, Tensor],
        own: Tensor | None = None,
    ) -> ContrastOutput:
        terms, accuracies = {}, {}
        for a, b in self.terms:
            terms[f"{a}>{b}"], logits = info_nce(queries[a], keys[b], negatives[b], self.temperature, own)
            accuracies[f"{a}>{b}"] = contrastive_accuracy(logits.detach())
        losses = {name: loss.detach() for name, loss in terms.items()}
        return ContrastOutput(torch.stack(list(terms.values())).sum(), losses, accuracies)


def _of_all_ranks(keys: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The keys (N, D) of all processes, in rank order, by representation: the same in every process."""
    together = gathered(torch.stack(list(keys.values()), dim=1))  # one exchange for all representations
    return dict(zip(keys, together.unbind(dim=1), strict=True))


def _with_head(encoder: nn.Module, dim: int) -> nn.Sequential:
    features = getattr(encoder, "features", None)
    if not isinstance(features, int):
        raise TypeError(f"{type(encoder).__name__}.features is {features!r}; expected the output's size")
    return nn.Sequential(OrderedDict(encoder=encoder, head=ProjectionHead(features, dim)))
