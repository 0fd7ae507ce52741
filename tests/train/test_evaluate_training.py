"""Linear probes and fine-tuning learn what there is to learn, as the paper has it, and are the same again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from draws import chain
from runs import CPU, random
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skelkit.errors import SkelkitError
from skelkit.store import Store
from skelkit_train.checkpoint import load_latest
from skelkit_train.data import Sequences
from skelkit_train.evaluate.curve import Fitted
from skelkit_train.evaluate.features import Features, centre_views, digest, raw_coordinates
from skelkit_train.evaluate.finetune import FinetuneConfig, finetune
from skelkit_train.evaluate.fusion import fused
from skelkit_train.evaluate.linear import LinearConfig, linear, logistic

SHORT = LinearConfig(epochs=5)


def probe(features, train, test, config=SHORT):
    """Top-1 of the linear probe."""
    fitted = linear(features, train, {"test": test}, config, progress=False)
    return float((fitted.logits["test"].argmax(dim=1) == features.labels(test)).double().mean())


@pytest.fixture(scope="module")
def points():
    """300 sequences of a single frame and joint: clouds around the corners of a tetrahedron."""
    corners = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    label = np.arange(300) % 4
    rows = corners[label][:, None] + 0.1 * random(300, 1, 3)
    ones = np.ones(300, np.int64)
    return Sequences(rows, np.arange(300), ones, ones, label, 1, chain(1))


# Linear


def test_linear_separates_what_is_separable_and_is_at_chance_without_relation(points):
    features = Features(points, raw_coordinates, 4, seed=0)
    train, test = np.split(np.random.default_rng(1).permutation(300), [200])
    assert probe(features, train, test) == 1.0

    shuffled = np.random.default_rng(0).permutation(points.label)
    features = replace(features, sequences=replace(points, label=shuffled))
    assert probe(features, train, test) < 0.45


def test_linear_learns_from_its_training_part_alone(points):
    features = Features(points, raw_coordinates, 4, seed=0)
    train, test = np.arange(0, 300, 2), np.arange(1, 300, 2)
    wrong = points.label.copy()
    wrong[train] = (wrong[train] + 2) % 4
    features = replace(features, sequences=replace(points, label=wrong))
    # The training samples are of classes 0 and 2, exchanged; the test samples are of the others.
    assert probe(features, train, test) == 0.0
    assert probe(features, train, train) == 1.0


def test_linear_is_the_same_again_and_leaves_the_generator_alone(ntu):
    with Store(ntu) as store:
        train, test = store.part("xsub", train=True), store.part("xsub", train=False)
        data = Sequences.load(store, 2, CPU)
    features = []

    def spy(views):
        features.append(views.flatten(1))
        return features[-1]

    torch.manual_seed(1)
    first = probe(Features(data, spy, 16, 0), train, test)
    seen, features = features, []
    assert len(seen) == 1 + SHORT.epochs
    assert not any(torch.equal(seen[1], crops) for crops in seen[2:])
    assert torch.equal(torch.rand(1), torch.rand(1, generator=torch.Generator().manual_seed(1)))
    assert probe(Features(data, spy, 16, 0), train, test) == first
    assert all(torch.equal(a, b) for a, b in zip(seen, features, strict=True))


def test_learning_rate_of_linear_is_the_papers(points, monkeypatch):
    rates = []
    real = torch.optim.SGD.step

    def step(self, *arguments):
        rates.append([self.param_groups[0][name] for name in ("lr", "weight_decay", "momentum")])
        return real(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    features = Features(points, raw_coordinates, 1, seed=0)
    probe(features, np.arange(65), np.arange(65, 80), LinearConfig())
    wanted = np.repeat([0.1, 0.01, 0.001], [100, 40, 20])  # two batches an epoch: the last sample counts, too
    assert np.array(rates) == pytest.approx(np.stack([wanted, 0 * wanted, 0 * wanted + 0.9], axis=1))


def test_curve_and_logits_are_those_of_every_part_and_epoch(points):
    features = Features(points, raw_coordinates, 4, seed=0)
    parts = {"test": np.arange(100, 150), "validation": np.arange(150, 170)}
    fitted = linear(features, np.arange(100), parts, SHORT, progress=False)
    assert [row["epoch"] for row in fitted.curve] == [1, 2, 3, 4, 5]
    assert fitted.curve[-1]["loss"] < fitted.curve[0]["loss"]
    for part, places in parts.items():
        right = fitted.logits[part].argmax(dim=1) == features.labels(places)
        assert fitted.curve[-1][part] == right.double().mean()


def test_quick_probe_is_scikit_learns_logistic_regression():
    label = torch.arange(150) % 3
    train = random(150, 6, seed=1) * torch.tensor([1, 2, 0.1, 5, 1, 1]) + label[:, None] * 0.5
    train[:, 5] = 2  # a feature that never changes
    test = random(80, 6, seed=3)
    found = logistic(train, label, {"test": test}, strength=0.5)["test"]
    scaler = StandardScaler().fit(train)
    oracle = LogisticRegression(C=0.5, max_iter=5000, tol=1e-9).fit(scaler.transform(train), label)
    wanted = oracle.predict_log_proba(scaler.transform(test))
    assert np.abs(found.log_softmax(dim=1).numpy() - wanted).max() < 1e-3


def test_scores_are_added_as_probabilities():
    one, two = torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.3, 0.7]]).log()
    curve = [{"epoch": 1, "loss": 2.0}]
    both = fused([Fitted({"test": one}, curve), Fitted({"test": two}, [{"epoch": 1, "loss": 3.0}])])
    assert both.logits["test"].exp() == pytest.approx(torch.tensor([[0.6, 0.4]]))
    assert both.curve == [{"epoch": 1, "loss 1": 2.0, "loss 2": 3.0}]


# Fine-tuning


def test_finetuning_trains_a_copy_and_is_the_same_again(ntu, run):
    checkpoint = load_latest(run)
    encoder = checkpoint.restore_model(CPU).encoder("graph")
    before = digest(encoder)
    with Store(ntu) as store:
        train, test = store.part("xsub", train=True), store.part("xsub", train=False)
        data = Sequences.load(store, 2, CPU)
    config = FinetuneConfig(epochs=6, learning_rate=1e-2, score_every=4)

    def tune(**fields):
        torch.rand(3)
        own = replace(config, **fields)
        return finetune(data, encoder, 16, train, {"test": test}, own, progress=False)

    first = tune()
    assert digest(encoder) == before
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert first.curve[-1]["loss"] < first.curve[0]["loss"]
    assert ["test" in row for row in first.curve] == [False, False, False, True, False, True]
    assert torch.equal(tune().logits["test"], first.logits["test"])
    assert not torch.equal(tune(seed=1).logits["test"], first.logits["test"])


class Scale(torch.nn.Module):
    """Raw coordinates times a weight; notes what it is trained on."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.seen = []

    def forward(self, views):
        if torch.is_grad_enabled():
            self.seen.append((self.training, views, self.weight.item()))
        return views.flatten(1) * self.weight

    def __deepcopy__(self, _):
        return self


def test_finetuning_trains_encoder_and_layer_on_new_crops_with_dropout_drawn_anew(ntu, monkeypatch):
    with Store(ntu) as store:
        train, test = store.part("xsub", train=True), store.part("xsub", train=False)
        data = Sequences.load(store, 2, CPU)
    seeds, real = [], torch.manual_seed
    monkeypatch.setattr(torch, "manual_seed", lambda seed: (seeds.append(seed), real(seed))[1])
    encoder = Scale()
    config = FinetuneConfig(epochs=2, batch_size=7, learning_rate=0.1)
    finetune(data, encoder, 16, train, {"test": test}, config, progress=False)
    modes, views, weights = zip(*encoder.seen, strict=True)
    assert all(modes)
    assert len(set(weights)) == len(views) == 8, "four batches an epoch, and a weight that learns"
    assert len(set(seeds[-8:])) == 8

    def sums(views):
        return sorted(views.flatten(1).double().sum(dim=1).tolist())

    epochs = [sums(torch.cat(views[first : first + 4])) for first in (0, 4)]
    assert len(epochs[0]) == len(train)
    centre = sums(data.views(train, centre_views(16), seed=0))
    assert not np.allclose(epochs[0], epochs[1])
    assert not np.allclose(epochs[0], centre)


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_learning_rate_of_finetuning_is_the_papers(points, monkeypatch):
    rates = []
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda self, *_, **__: rates.append(self.param_groups[0]["lr"])
    )
    encoder = torch.nn.Flatten()
    finetune(points, encoder, 1, np.arange(64), {"test": np.arange(64, 80)}, FinetuneConfig(), progress=False)
    assert rates == pytest.approx([1e-4] * 30 + [1e-5] * 10 + [1e-6] * 10)


@pytest.mark.parametrize("part", ["loss", "weights of the last epoch"])
def test_a_training_that_diverges_is_no_result(part, points, monkeypatch):
    if part == "loss":
        config = LinearConfig(epochs=3, learning_rate=1e38)
    else:
        monkeypatch.setattr(
            torch.optim.SGD, "step", lambda self, *_: self.param_groups[0]["params"][0].data.fill_(torch.nan)
        )
        config = LinearConfig(epochs=1, batch_size=300)
    features = Features(points, raw_coordinates, 4, seed=0)
    with pytest.raises(SkelkitError, match=r"number in epoch \d; a lower learning rate may help"):
        linear(features, np.arange(100), {"test": np.arange(100, 150)}, config, progress=False)


def test_seeds_beyond_32_bits_are_taken(points):
    config = FinetuneConfig(epochs=1, seed=2**32 + 1)
    finetune(
        points, torch.nn.Flatten(), 1, np.arange(64), {"test": np.arange(64, 80)}, config, progress=False
    )
