"""Retrieval counts right: neighbours, votes, scores; on compressed features, and on several together."""

from __future__ import annotations

from dataclasses import replace

import naive
import numpy as np
import pytest
import torch
from runs import CPU, random
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    confusion_matrix,
    top_k_accuracy_score,
)
from sklearn.neighbors import KNeighborsClassifier

from skelkit.store import Store
from skelkit_train.data import Sequences
from skelkit_train.evaluate import retrieval as retrieval_module
from skelkit_train.evaluate.compress import CompressConfig, compress
from skelkit_train.evaluate.features import (
    Features,
    raw_coordinates,
)
from skelkit_train.evaluate.fusion import side_by_side
from skelkit_train.evaluate.retrieval import ranked, retrieval, search, vote
from skelkit_train.evaluate.scores import score

# Retrieval


@pytest.mark.parametrize("k", [1, 3, 8, 500])
def test_nearest_are_those_of_scikit_learn_block_after_block(k, monkeypatch):
    monkeypatch.setattr(retrieval_module, "_BLOCK_BYTES", 4 * 60 * 100)  # 21 blocks of 100 queries
    gallery, query = random(60, 7, seed=1), random(2100, 7, seed=2)
    oracle = KNeighborsClassifier(min(k, 60), metric="cosine").fit(gallery, np.zeros(60))
    assert np.array_equal(search(query, gallery, k).row, oracle.kneighbors(query, return_distance=False))


@pytest.mark.parametrize("k", [1, 2, 5])
def test_vote_is_scikit_learns_and_the_nearest_decides_a_tie(k):
    gallery, query, label = random(60, 7, seed=1), random(400, 7, seed=2), torch.arange(60) * 7 % 5
    neighbours = label[search(query, gallery, k).row]
    counts = torch.nn.functional.one_hot(neighbours, 5).sum(dim=1)
    tied = (counts == counts.amax(dim=1, keepdim=True)).sum(dim=1) > 1
    predicted = vote(neighbours)

    oracle = KNeighborsClassifier(k, metric="cosine").fit(gallery, label)
    assert np.array_equal(predicted[~tied], oracle.predict(query)[~tied])
    for row, winner in zip(neighbours[tied], predicted[tied], strict=True):
        most = torch.bincount(row).max()
        assert winner == next(value for value in row if (row == value).sum() == most)
    assert (k == 1) == (not tied.any())


def test_retrieval_on_raw_coordinates_is_scikit_learns_on_centre_crops(ntu):
    with Store(ntu) as store:
        train, test = store.part("xsub", train=True), store.part("xsub", train=False)
        data = Sequences.load(store, 2, CPU)
        flat = np.zeros((len(store), 16, 2, 25, 3), np.float32)
        for row, sequence in zip(flat, store, strict=True):
            start = int((1 - 0.95) * sequence.frames / 2)
            middle = sequence.joints[start : sequence.frames - start]
            row[:, : sequence.bodies] = naive.resample(middle, 16)
    flat = flat.reshape(len(flat), -1)
    oracle = KNeighborsClassifier(1, metric="cosine").fit(flat[train], data.label[train])
    wanted = accuracy_score(data.label[test], oracle.predict(flat[test]))
    assert wanted > 0.3
    assert retrieval(Features(data, raw_coordinates, 16, 0), train, test).top1 == pytest.approx(wanted)


@pytest.mark.parametrize("levels", [None, 5])  # of similarity: with few there are many ties
def test_average_precision_is_that_of_scikit_learn(levels, monkeypatch):
    monkeypatch.setattr(retrieval_module, "_BLOCK_BYTES", 4 * 60 * 7)
    gallery, query = random(60, 3, seed=1), random(40, 3, seed=2)
    if levels:
        gallery = torch.nn.functional.one_hot((gallery[:, 0] * 10).long() % levels, levels).float()
        query = random(40, levels, seed=2)
    label, gallery_label = torch.arange(40) % 5, torch.arange(60) * 7 % 4
    found = search(query, gallery, 1, label, gallery_label).average_precision
    cosine = torch.nn.functional.normalize(query) @ torch.nn.functional.normalize(gallery).T
    for row, value in enumerate(found):
        wanted = (gallery_label == label[row]).numpy()
        if not wanted.any():
            assert value.isnan()
        else:
            assert value == pytest.approx(average_precision_score(wanted, cosine[row]), abs=1e-6)
    places = np.arange(60)
    result = ranked(gallery, query, gallery_label, label, places)
    assert result.mean_average_precision == pytest.approx(found[~found.isnan()].mean().item())


def test_similarity_to_the_nearest_is_the_cosine_and_a_zero_vector_is_like_nothing():
    gallery = torch.tensor([[2.0, 0], [0, 0], [0, 3]])
    found = search(torch.tensor([[1.0, 1], [0, 5]]), gallery, 3)
    assert found.row[1, 0] == 2
    assert found.similarity == pytest.approx(torch.tensor([[0.5**0.5, 0.5**0.5, 0], [1, 0, 0]]))


def test_a_class_that_the_gallery_lacks_does_not_count_in_mean_average_precision():
    one = torch.ones(2, 1)
    result = ranked(one, one, torch.tensor([0, 0]), torch.tensor([0, 1]), np.arange(2))
    assert (result.mean_average_precision, result.top1) == (1.0, 0.5)
    assert result.nearest == [0, 0]


# Scores


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    label, predicted = rng.choice(6, 50, p=[0.5, 0.2, 0.1, 0.1, 0.1, 0]), rng.integers(0, 6, 50)
    found = score(torch.from_numpy(predicted)[:, None], torch.from_numpy(label), 6)
    assert found.top1 == pytest.approx(accuracy_score(label, predicted))
    assert found.mean_class == pytest.approx(balanced_accuracy_score(label, predicted))
    assert np.array_equal(found.confusion, confusion_matrix(label, predicted, labels=range(6)))
    assert found.predicted == predicted.tolist()


def test_top5_is_scikit_learns():
    logits, label = random(200, 9), torch.arange(200) % 9
    found = score(logits.topk(5, dim=1).indices, label, 9)
    assert found.top5 == pytest.approx(top_k_accuracy_score(label, logits, k=5))
    assert found.top1 < found.top5 < 1


# Compression


def test_the_autoencoder_is_trained_as_published(monkeypatch):
    assert CompressConfig() == CompressConfig(125, 400, 5000, 1e-3, 64, 0)
    rates, step = [], torch.optim.Adam.step

    def spy(self, *arguments):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.Adam, "step", spy)
    rows = random(65, 4)
    compress(rows, rows, CompressConfig(features=2, epochs=60, steps=110), progress=False)
    assert rates == pytest.approx([1e-3] * 50 + [0.95e-3] * 50 + [0.95**2 * 1e-3] * 10)


def test_compressed_features_keep_what_is_near_near():
    centres = random(6, 40, seed=1)
    label = torch.arange(120) % 6
    rows = centres[label] + 0.1 * random(120, 40, seed=2)
    config = CompressConfig(features=8, steps=200)
    train, test = compress(rows[:90], rows[90:], config, progress=False)
    assert (train.shape, test.shape) == ((90, 8), (30, 8))
    assert train.abs().max() <= 1
    assert ranked(train, test, label[:90], label[90:], np.arange(90)).top1 == 1
    again, _ = compress(rows[:90], rows[90:] * 2, config, progress=False)
    assert torch.equal(again, train)  # the test part has no say
    other, _ = compress(rows[:90], rows[90:], replace(config, seed=1), progress=False)
    assert not torch.equal(other, train)


def test_cosines_are_added_whatever_the_scale_of_the_features():
    pairs = [(random(9, 3, seed=n) * 10**n, random(5, 3, seed=n + 9)) for n in range(2)]
    wanted = sum(
        torch.nn.functional.normalize(query) @ torch.nn.functional.normalize(gallery).T
        for gallery, query in pairs
    )
    gallery, query = side_by_side(pairs)
    assert search(query, gallery, 9).row.tolist() == wanted.argsort(dim=1, descending=True).tolist()
