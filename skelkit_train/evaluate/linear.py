"""Linear evaluation: one linear layer on the features of a frozen encoder.

Source: arXiv 2108.03656, section 4.3, and its published code; `logistic` is the quick way, on one view of
each sequence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from skelkit.progress import progress_bar
from skelkit_train.data import batches
from skelkit_train.evaluate.curve import Curve, Fitted
from skelkit_train.evaluate.features import Features

__all__ = ["LinearConfig", "classifier", "linear", "logistic"]


@dataclass(frozen=True)
class LinearConfig:
    """The paper's."""

    epochs: int = 80
    # The learning rate is divided by 10 after these shares of the epochs: 50 and 70 of 80.
    milestones: tuple[float, ...] = (0.625, 0.875)
    learning_rate: float = 0.1
    batch_size: int = 64
    seed: int = 0


def classifier(features: int, classes: int, seed: int) -> nn.Linear:
    """A linear layer as the published code starts it, from the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = nn.Linear(features, classes)
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)
    return layer


def linear(
    features: Features,
    train: NDArray[np.int64],
    held_out: dict[str, NDArray[np.int64]],
    config: LinearConfig,
    *,
    progress: bool = True,
    name: str = "linear",
) -> Fitted:
    """Train a linear layer on the places ``train`` (n,), on new random crops every epoch; its logits on the
    centre crops of each of the parts ``held_out``, (m,) places by name, after the last epoch.

    Raises
    ------
    SkelkitError : the loss is not finite any more
    """
    classes = int(features.sequences.label.max()) + 1
    place_of = np.full(len(features.sequences.label), -1)
    place_of[train] = np.arange(len(train))
    centre = {part: features.centre(places) for part, places in held_out.items()}
    curve = Curve({part: features.labels(places) for part, places in held_out.items()})
    labels = features.labels(train)
    layer = classifier(next(iter(centre.values())).shape[1], classes, config.seed).to(labels.device)
    optimizer = torch.optim.SGD(layer.parameters(), lr=config.learning_rate, momentum=0.9)
    milestones = [round(share * config.epochs) for share in config.milestones]
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
    for epoch in progress_bar(range(config.epochs), desc=name, unit="epoch", shown=progress, leave=False):
        # The encoder is frozen, so an epoch's features can be taken all at once.
        seen = features.random(train, epoch)
        for batch in batches(train, config.batch_size, config.seed, epoch, keep_last=True):
            rows = torch.from_numpy(place_of[batch]).to(seen.device)
            loss = F.cross_entropy(layer(seen[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.add(loss, len(batch))
        del seen  # before the next epoch's are made: those of raw coordinates are gigabytes
        scheduler.step()
        with torch.no_grad():
            curve.end_epoch({part: layer(rows) for part, rows in centre.items()})
    return curve.fitted()


def logistic(
    train: Tensor, label: Tensor, tests: dict[str, Tensor], *, strength: float = 1.0, iterations: int = 1000
) -> dict[str, Tensor]:
    """Logits (m, K) of features (m, D), by name, under logistic regression on features (n, D) of the classes
    ``label`` (n,).

    It minimises the sum of the cross-entropies plus half the squared weights over ``strength``, as
    scikit-learn's ``C``, on standardised features; nothing is random.
    """
    mean, deviation = train.mean(dim=0), train.std(dim=0, correction=0)
    deviation = torch.where(deviation > 1e-8, deviation, 1)
    rows = (train - mean) / deviation
    weight = torch.zeros(train.shape[1], int(label.max()) + 1, device=train.device, requires_grad=True)
    bias = torch.zeros(weight.shape[1], device=train.device, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=iterations,
        tolerance_grad=1e-6,
        tolerance_change=1e-9,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        fit = F.cross_entropy(rows @ weight + bias, label)
        loss = fit + weight.square().sum() / (2 * strength * len(rows))
        loss.backward()
        return loss

    optimizer.step(objective)
    with torch.no_grad():
        return {name: (test - mean) / deviation @ weight + bias for name, test in tests.items()}
