"""Linear evaluation: one linear layer on the features of a frozen encoder.

Source: arXiv 2108.03656, section 4.3, and its published code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from skelkit_train.data import batches
from skelkit_train.evaluate.features import Features
from skelkit_train.evaluate.scores import Scores, score

__all__ = ["LinearConfig", "linear"]


@dataclass(frozen=True)
class LinearConfig:
    """The paper's."""

    epochs: int = 80
    # The learning rate is divided by 10 after these shares of the epochs: 50 and 70 of 80.
    milestones: tuple[float, ...] = (0.625, 0.875)
    learning_rate: float = 0.1
    batch_size: int = 64
    seed: int = 0


def linear(
    features: Features,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    config: LinearConfig,
    *,
    progress: bool = True,
    name: str = "linear",
) -> Scores:
    """Train a linear layer on the places ``train`` (n,), on new random crops every epoch, and score it on the
    centre crops of ``test`` (m,). The result is the last epoch's."""
    classes = int(features.sequences.label.max()) + 1
    place_of = np.full(len(features.sequences.label), -1)
    place_of[train] = np.arange(len(train))
    tested = features.centre(test)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        classifier = nn.Linear(tested.shape[1], classes)
        nn.init.normal_(classifier.weight, std=0.01)
        nn.init.zeros_(classifier.bias)
    classifier.to(tested.device)
    optimizer = torch.optim.SGD(classifier.parameters(), lr=config.learning_rate, momentum=0.9)
    milestones = [round(share * config.epochs) for share in config.milestones]
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
    labels = features.labels(train)
    for epoch in tqdm(range(config.epochs), desc=name, unit="epoch", disable=not progress):
        # The encoder is frozen, so an epoch's features can be taken all at once.
        seen = features.random(train, epoch)
        for batch in batches(train, config.batch_size, config.seed, epoch, keep_last=True):
            rows = torch.from_numpy(place_of[batch]).to(seen.device)
            loss = F.cross_entropy(classifier(seen[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
    with torch.no_grad():
        return score(classifier(tested).argmax(dim=1), features.labels(test))
