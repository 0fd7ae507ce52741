"""Evaluation counts right, leaves the encoder untouched, and compares only what compares."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import naive
import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from skelkit.errors import SkelkitError, StoreError
from skelkit.store import Store
from skelkit.views import DrawKey, identity
from skelkit_train.checkpoint import build_model, load_latest
from skelkit_train.data import Sequences
from skelkit_train.evaluate import tasks
from skelkit_train.evaluate.features import Features, centre_views, random_views, raw_coordinates
from skelkit_train.evaluate.linear import LinearConfig, linear
from skelkit_train.evaluate.retrieval import nearest, retrieval, vote
from skelkit_train.evaluate.scores import score
from skelkit_train.evaluate.tasks import evaluate_linear, evaluate_retrieval
from skelkit_train.pretrain import pretrain

CPU = torch.device("cpu")
SHORT = LinearConfig(epochs=5)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def states_equal(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(value, other[name]) for name, value in one.items())


def a_linear(run, data, protocol="xsub", **options):
    return evaluate_linear(run, data, protocol, config=SHORT, device=CPU, progress=False, **options)


def a_retrieval(run, data, protocol="xsub", **options):
    return evaluate_retrieval(run, data, protocol, device=CPU, **options)


TASKS = {"linear": a_linear, "retrieval": a_retrieval}


@pytest.fixture(params=TASKS)
def task(request):
    return TASKS[request.param]


@pytest.fixture(scope="module")
def points():
    """300 sequences of a single frame and joint: clouds around the corners of a tetrahedron."""
    corners = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    label = np.arange(300) % 4
    rows = corners[label][:, None] + 0.1 * random(300, 1, 3)
    ones = np.ones(300, np.int64)
    return Sequences(rows, np.arange(300), ones, ones, label, 1)


# Retrieval


@pytest.mark.parametrize("k", [1, 3, 8, 500])
def test_nearest_are_those_of_scikit_learn(k):
    gallery, query = random(60, 7, seed=1), random(2100, 7, seed=2)
    oracle = KNeighborsClassifier(min(k, 60), metric="cosine").fit(gallery, np.zeros(60))
    assert np.array_equal(nearest(query, gallery, k), oracle.kneighbors(query, return_distance=False))


@pytest.mark.parametrize("k", [1, 2, 5])
def test_vote_is_scikit_learns_and_the_nearest_decides_a_tie(k):
    gallery, query, label = random(60, 7, seed=1), random(400, 7, seed=2), torch.arange(60) * 7 % 5
    neighbours = label[nearest(query, gallery, k)]
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


# Scores


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    label, predicted = rng.choice(6, 50, p=[0.5, 0.2, 0.1, 0.1, 0.1, 0]), rng.integers(0, 6, 50)
    found = score(torch.from_numpy(predicted), torch.from_numpy(label))
    assert found.top1 == pytest.approx(accuracy_score(label, predicted))
    assert found.mean_class == pytest.approx(balanced_accuracy_score(label, predicted))


# Views


def test_centre_views_follow_the_papers_arithmetic():
    frames = np.arange(1, 400)
    key = DrawKey(0, 0, frames, frames)
    view = centre_views(64).draw(key, identity(frames, 25))
    start = np.array([int((1 - 0.95) * T / 2) for T in frames])
    assert np.array_equal(view.start, start)
    assert np.array_equal(view.length, frames - 2 * start)
    assert view.frames == 64
    assert np.array_equal(view.maps, np.broadcast_to(np.eye(3), view.maps.shape))


def test_random_views_are_crops_of_half_or_more_and_nothing_else():
    frames = np.full(2000, 200)
    view = random_views(64).draw(DrawKey(0, 0, np.arange(2000), 0 * frames), identity(frames, 25))
    assert view.length.min() in range(100, 102)
    assert view.length.max() in range(198, 201)
    assert (view.start + view.length <= 200).all()
    assert np.array_equal(view.maps, np.broadcast_to(np.eye(3), view.maps.shape))


def test_random_features_are_new_every_epoch_and_centre_features_are_not(ntu):
    with Store(ntu) as store:
        features = Features(Sequences.load(store, 2, CPU), raw_coordinates, 16, seed=0)
    places = np.array([9, 4])
    assert not torch.equal(features.random(places, 0), features.random(places, 1))
    assert torch.equal(features.random(places, 1), features.random(places, 1))
    assert torch.equal(features.centre(places), features.centre(places))
    assert features.labels(places).tolist() == [1, 0]


# Linear


def test_linear_separates_what_is_separable_and_is_at_chance_without_relation(points):
    features = Features(points, raw_coordinates, 4, seed=0)
    train, test = np.split(np.random.default_rng(1).permutation(300), [200])
    assert linear(features, train, test, SHORT, progress=False).top1 == 1.0

    shuffled = np.random.default_rng(0).permutation(points.label)
    features = replace(features, sequences=replace(points, label=shuffled))
    assert linear(features, train, test, SHORT, progress=False).top1 < 0.45


def test_linear_learns_from_its_training_part_alone(points):
    features = Features(points, raw_coordinates, 4, seed=0)
    train, test = np.arange(0, 300, 2), np.arange(1, 300, 2)
    wrong = points.label.copy()
    wrong[train] = (wrong[train] + 2) % 4
    features = replace(features, sequences=replace(points, label=wrong))
    # The training samples are of classes 0 and 2, exchanged; the test samples are of the others.
    assert linear(features, train, test, SHORT, progress=False).top1 == 0.0
    assert linear(features, train, train, SHORT, progress=False).top1 == 1.0


def test_linear_is_the_same_again_and_leaves_the_generator_alone(ntu):
    with Store(ntu) as store:
        train, test = store.part("xsub", train=True), store.part("xsub", train=False)
        data = Sequences.load(store, 2, CPU)
    features = []

    def spy(views):
        features.append(views.flatten(1))
        return features[-1]

    torch.manual_seed(1)
    first = linear(Features(data, spy, 16, 0), train, test, SHORT, progress=False)
    seen, features = features, []
    assert len(seen) == 1 + SHORT.epochs
    assert not any(torch.equal(seen[1], crops) for crops in seen[2:])
    assert torch.equal(torch.rand(1), torch.rand(1, generator=torch.Generator().manual_seed(1)))
    assert linear(Features(data, spy, 16, 0), train, test, SHORT, progress=False) == first
    assert all(torch.equal(a, b) for a, b in zip(seen, features, strict=True))


def test_learning_rate_of_linear_is_the_papers(points, monkeypatch):
    rates = []
    real = torch.optim.SGD.step

    def step(self, *arguments):
        rates.append((self.param_groups[0]["lr"], self.param_groups[0]["weight_decay"]))
        return real(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    features = Features(points, raw_coordinates, 1, seed=0)
    linear(features, np.arange(64), np.arange(64, 80), LinearConfig(), progress=False)
    wanted = [0.1] * 50 + [0.01] * 20 + [0.001] * 10
    assert np.array(rates) == pytest.approx(np.stack([wanted, np.zeros(80)], axis=1))


# Tasks


@pytest.mark.parametrize("name", ["seq", "graph"])
def test_frozen_encoder_is_untouched(name, run, ntu):
    checkpoint = load_latest(run)
    encoder = checkpoint.restore_model(CPU).train().encoder(name)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    assert (name == "graph") == any("running_mean" in key for key in before)
    with Store(ntu) as store:
        train, test = store.part("xsub", train=True), store.part("xsub", train=False)
        features = Features(Sequences.load(store, 2, CPU), encoder, 16, seed=0)
    linear(features, train, test, SHORT, progress=False)
    retrieval(features, train, test)
    assert states_equal(before, encoder.state_dict())
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert not features.centre(train).requires_grad


def test_encoders_are_the_checkpoints_and_fresh_ones(own_run, ntu, monkeypatch):
    seen = []

    def spy(features, *_, **__):
        seen.append(features.encoder)
        return score(torch.zeros(1), torch.zeros(1))

    monkeypatch.setattr(tasks, "retrieval", spy)
    found = a_retrieval(own_run, ntu)

    checkpoint = load_latest(own_run)
    fresh = build_model(checkpoint.config, checkpoint.data)
    assert [(row.encoder, row.representation) for row in found.rows] == [
        ("pretrained", "seq"),
        ("untrained", "seq"),
        ("pretrained", "graph"),
        ("untrained", "graph"),
        ("raw coordinates", ""),
    ]
    for encoder, row in zip(seen[:4], found.rows, strict=False):
        prefix = f"query.{row.representation}.encoder."
        trained = {k.removeprefix(prefix): v for k, v in checkpoint.model.items() if k.startswith(prefix)}
        untrained = fresh.encoder(row.representation).state_dict()
        assert states_equal(encoder.state_dict(), trained) == (row.encoder == "pretrained")
        assert states_equal(encoder.state_dict(), untrained) == (row.encoder == "untrained")
    assert seen[4] is raw_coordinates


def test_result_is_complete_and_its_file_in_the_run_is_equal(task, own_run, ntu):
    found = task(own_run, ntu)
    assert (found.protocol, found.epoch, found.train, found.test) == ("xsub", 3, 24, 8)
    assert found.chance == 0.25
    assert len(found.rows) == 5
    for row in found.rows:
        assert 0 <= row.top1 <= 1
        assert row.top1 == pytest.approx(row.mean_class)  # as many of each class
    written = json.loads((own_run / f"eval-{found.task}-{ntu.stem}-xsub.json").read_text())
    assert written == json.loads(json.dumps(asdict(found)))
    assert found.settings == (asdict(SHORT) if found.task == "linear" else {"k": 1})
    assert [path.name for path in own_run.glob("*.tmp")] == []
    table = found.table()
    for words in (
        "24 train, 8 test",
        "checkpoint after 3 epochs",
        "pretrained seq",
        "untrained graph",
        "25.0%",
    ):
        assert words in table


def test_one_representation_and_no_baselines(task, own_run, ntu):
    rows = task(own_run, ntu, representation="graph").rows
    assert [(row.encoder, row.representation) for row in rows] == [
        ("pretrained", "graph"),
        ("untrained", "graph"),
        ("raw coordinates", ""),
    ]
    alone = task(own_run, ntu, representation="graph", baselines=False).rows
    assert alone == rows[:1]


def test_evaluation_is_the_same_again(task, own_run, ntu):
    first = task(own_run, ntu)
    torch.rand(3)
    assert task(own_run, ntu).rows == first.rows


def test_another_store_of_the_same_kind_is_taken(task, own_run, make_store, tmp_path):
    other = make_store(tmp_path / "other.h5", classes=6, repeats=4)
    found = task(own_run, other)
    assert (found.train, found.test) == (18, 6)
    assert found.chance == pytest.approx(1 / 6)


def test_what_does_not_fit_is_refused_and_nothing_is_written(
    task, own_run, ntu, kinect, make_store, tmp_path
):
    before = sorted(path.name for path in own_run.iterdir())
    unlabelled = make_store(tmp_path / "unlabelled.h5", label=-1)
    other_recipe = make_store(tmp_path / "recipe.h5", recipe="isc")
    for data, options, error, message in (
        (ntu, {"protocol": "xview"}, StoreError, "no protocol 'xview'; it has xsub"),
        (ntu, {"representation": "image"}, SkelkitError, "isc: has seq, graph, not image"),
        (kinect, {}, SkelkitError, "joint layout is kinect20, the run was trained on ntu25"),
        (other_recipe, {}, SkelkitError, "recipe is isc, the run was trained on raw"),
        (unlabelled, {}, SkelkitError, "some samples have no label"),
        (tmp_path / "nowhere.h5", {}, StoreError, "no such file"),
    ):
        with pytest.raises(error, match=message) as caught:
            task(own_run, data, **options)
        assert "\n" not in str(caught.value)
    with pytest.raises(SkelkitError, match="is it a run of skelkit-train pretrain"):
        task(tmp_path / "no run", ntu)
    assert sorted(path.name for path in own_run.iterdir()) == before


@pytest.mark.parametrize("bodies", [1, 3])
def test_bodies_of_the_views_are_the_runs(bodies, ntu, tiny, tmp_path):
    config = tiny(representations="seq", bodies=bodies)
    pretrain(ntu, tmp_path / "run", config, device=CPU, progress=False)
    found = a_retrieval(tmp_path / "run", ntu)
    assert len(found.rows) == 3


def test_image_encoder_is_evaluated_without_dropout(ntu, tiny, tmp_path):
    config = tiny(representations="image", hcn_dropout=0.9)
    pretrain(ntu, tmp_path / "run", config, device=CPU, progress=False)
    with Store(ntu) as store:
        data = Sequences.load(store, 2, CPU)
    encoder = load_latest(tmp_path / "run").restore_model(CPU).encoder("image")
    features = Features(data, encoder, 16, seed=0)
    places = np.arange(5)
    assert torch.equal(features.centre(places), features.centre(places))
    assert features.centre(places).shape == (5, encoder.features)
