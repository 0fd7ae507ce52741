"""What the tasks of evaluation are made of counts right: neighbours, scores, views, probes, subsets."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import naive
import numpy as np
import pytest
import torch
from draws import chain
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    confusion_matrix,
    top_k_accuracy_score,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from skelkit.errors import InputError, SkelkitError
from skelkit.skeleton import load_layout
from skelkit.store import Store
from skelkit.views import DrawKey, identity
from skelkit_train.checkpoint import load_latest
from skelkit_train.data import Sequences
from skelkit_train.evaluate import retrieval as retrieval_module
from skelkit_train.evaluate.compress import CompressConfig, compress
from skelkit_train.evaluate.curve import Fitted
from skelkit_train.evaluate.features import (
    Features,
    Joined,
    centre_views,
    digest,
    random_views,
    raw_coordinates,
    untouched,
)
from skelkit_train.evaluate.finetune import FinetuneConfig, finetune
from skelkit_train.evaluate.fusion import fused, side_by_side
from skelkit_train.evaluate.linear import LinearConfig, linear, logistic
from skelkit_train.evaluate.retrieval import ranked, retrieval, search, vote
from skelkit_train.evaluate.scores import score
from skelkit_train.evaluate.subsets import LabelSubsets, hold_out, stratified

CPU = torch.device("cpu")
SHORT = LinearConfig(epochs=5)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


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


# Views


def test_centre_views_follow_the_papers_arithmetic():
    frames = np.arange(1, 400)
    key = DrawKey(0, 0, frames, frames)
    view = centre_views(64).draw(key, identity(frames, load_layout("ntu25"), bodies=1))
    start = np.array([int((1 - 0.95) * T / 2) for T in frames])
    assert np.array_equal(view.start, start)
    assert np.array_equal(view.length, frames - 2 * start)
    assert view.frames == 64
    assert np.array_equal(view.maps, np.broadcast_to(np.eye(3), view.maps.shape))


def test_random_views_are_crops_of_half_or_more_and_nothing_else():
    frames = np.full(2000, 200)
    view = random_views(64).draw(
        DrawKey(0, 0, np.arange(2000), 0 * frames), identity(frames, load_layout("ntu25"), bodies=1)
    )
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
        rates.append((self.param_groups[0]["lr"], self.param_groups[0]["weight_decay"]))
        return real(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    features = Features(points, raw_coordinates, 1, seed=0)
    probe(features, np.arange(64), np.arange(64, 80), LinearConfig())
    wanted = [0.1] * 50 + [0.01] * 20 + [0.001] * 10
    assert np.array(rates) == pytest.approx(np.stack([wanted, np.zeros(80)], axis=1))


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


# Compression


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


# Fusion


def test_joined_features_are_side_by_side_and_of_the_same_views(ntu, run):
    model = load_latest(run).restore_model(CPU)
    encoders = {name: model.encoder(name) for name in ("seq", "graph")}
    with Store(ntu) as store:
        data = Sequences.load(store, 2, CPU)
    joined, places = Features(data, Joined(encoders), 16, 0), np.array([3, 1])
    parts = [Features(data, encoder, 16, 0) for encoder in encoders.values()]
    for view in ("centre", "random"):
        arguments = (places,) if view == "centre" else (places, 4)
        wanted = torch.cat([getattr(part, view)(*arguments) for part in parts], dim=1)
        assert torch.equal(getattr(joined, view)(*arguments), wanted)


def test_scores_are_added_as_probabilities():
    one, two = torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.3, 0.7]]).log()
    curve = [{"epoch": 1, "loss": 2.0}]
    both = fused([Fitted({"test": one}, curve), Fitted({"test": two}, [{"epoch": 1, "loss": 3.0}])])
    assert both.logits["test"].exp() == pytest.approx(torch.tensor([[0.6, 0.4]]))
    assert both.curve == [{"epoch": 1, "loss 1": 2.0, "loss 2": 3.0}]


def test_cosines_are_added_whatever_the_scale_of_the_features():
    pairs = [(random(9, 3, seed=n) * 10**n, random(5, 3, seed=n + 9)) for n in range(2)]
    wanted = sum(
        torch.nn.functional.normalize(query) @ torch.nn.functional.normalize(gallery).T
        for gallery, query in pairs
    )
    gallery, query = side_by_side(pairs)
    assert search(query, gallery, 9).row.tolist() == wanted.argsort(dim=1, descending=True).tolist()


# Subsets


def test_subsets_are_stratified_and_drawn_independently():
    label = np.repeat([0, 1, 2], [200, 100, 5])
    train = np.flatnonzero(np.arange(305) % 5)
    five, twenty = (stratified(label, train, share, 0, seed=3) for share in (5, 20))
    assert np.bincount(label[twenty]).tolist() == [32, 16, 1]
    assert np.bincount(label[five]).tolist() == [8, 4, 1]
    assert set(five) < set(twenty) < set(train)
    assert np.array_equal(five, stratified(label, train, 5, 0, seed=3))
    assert len(set(five) & set(stratified(label, train, 5, 1, seed=3))) < 6
    assert len(set(five) & set(stratified(label, train, 5, 0, seed=4))) < 6
    assert np.array_equal(stratified(label, train, 100, 0, seed=3), train)


def test_subsets_are_written_and_found_again_by_name(tmp_path):
    names, label, train = [f"n{k:02}" for k in range(40)], np.arange(40) % 4, np.arange(30)
    drawn = LabelSubsets.draw(
        names, label, train, share=20, count=3, seed=0, protocol="xsub", content_hash="?"
    )
    drawn.write(tmp_path / "subsets.json")
    read = LabelSubsets.read(tmp_path / "subsets.json")
    assert read == drawn
    wanted = [stratified(label, train, 20, n, seed=0) for n in range(3)]
    for found, places in zip(read.places(names, train, "xsub"), wanted, strict=True):
        assert np.array_equal(found, places)
    backwards = read.places(names[::-1], np.arange(10, 40), "xsub")
    assert [[names[::-1][place] for place in part[::-1]] for part in backwards] == read.subsets
    with pytest.raises(SkelkitError, match=r"label subset: 'n..' is not in the training part of xsub$"):
        read.places(names, np.arange(4), "xsub")
    with pytest.raises(SkelkitError, match=r"training part of xview; the subsets are of xsub$"):
        read.places(names, np.arange(4), "xview")


@pytest.mark.parametrize("text", ["", "[]", '{"share": 5}', None])
def test_a_file_of_subsets_that_is_none_is_one_line(text, tmp_path):
    file = tmp_path / "subsets.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(
        InputError, match=r"subsets.json: (no file of label subsets|cannot be read): "
    ) as caught:
        LabelSubsets.read(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("share", 0, "share is 0, expected a percentage above 0"),
        ("share", 101.0, "share is 101.0"),
        ("share", float("nan"), "share is nan"),
        ("share", True, "share is True"),
        ("share", "5", "share is '5'"),
        ("subsets", [], "it has no subsets"),
        ("subsets", "ab", "it has no subsets"),
        ("subsets", [["a"], []], "subset 2 is no list of names"),
        ("subsets", [["a", 1]], "subset 1 is no list of names"),
        ("subsets", ["ab"], "subset 1 is no list of names"),
        ("subsets", [["a", "b"], ["b", "a", "b"]], "subset 2 has 'b' twice"),
    ],
)
def test_subsets_that_make_no_sense_are_refused(field, value, reason, tmp_path):
    file = tmp_path / "subsets.json"
    good = {"protocol": "xsub", "share": 5, "seed": 0, "content_hash": "?", "subsets": [["a", "b"], ["a"]]}
    file.write_text(json.dumps(good))
    assert LabelSubsets.read(file) == LabelSubsets(**good)
    file.write_text(json.dumps(good | {field: value}))
    with pytest.raises(InputError, match=f"subsets.json: no file of label subsets: {re.escape(reason)}"):
        LabelSubsets.read(file)


def test_subjects_held_out_are_in_one_part_only():
    subject, train = np.arange(60) % 6, np.arange(0, 60, 2)  # subjects 0, 2 and 4
    rest, held, who = hold_out(subject, train, 2, seed=0)
    assert sorted([*rest, *held]) == train.tolist()
    assert set(subject[held]) == set(who)
    assert len(who) == 2
    assert not set(who) & set(subject[rest])
    with pytest.raises(SkelkitError, match="3 subjects cannot be held out: the training part has 3"):
        hold_out(subject, train, 3, seed=0)


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


# The frozen encoder


def test_a_frozen_encoder_that_changes_is_found_out():
    norm = torch.nn.BatchNorm1d(3)
    with untouched(norm):
        norm.eval()(random(4, 3))
    with pytest.raises(RuntimeError, match="frozen encoder was changed"), untouched(norm):
        norm.train()(random(4, 3))  # its running statistics alone
    with untouched(raw_coordinates):
        pass
