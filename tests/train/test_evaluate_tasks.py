"""Every task on a run: complete, the same again, honest."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
import torch
from runs import CPU, PROBE, TUNE, setting

from skelkit.datasets import ListedSplit, Protocol
from skelkit.errors import SkelkitError, StoreError
from skelkit.store import Store
from skelkit_train.checkpoint import build_model, load_latest
from skelkit_train.data import Sequences, StoredRows
from skelkit_train.evaluate import tasks
from skelkit_train.evaluate.features import Features, digest, raw_coordinates
from skelkit_train.evaluate.linear import LinearConfig
from skelkit_train.evaluate.tasks import (
    evaluate_finetune,
    evaluate_linear,
    evaluate_retrieval,
    evaluate_semi,
)
from skelkit_train.pretrain import pretrain

TASKS = {
    "linear": lambda where, **options: evaluate_linear(where, PROBE, **options),
    "retrieval": evaluate_retrieval,
    "semi": lambda where, **options: evaluate_semi(where, TUNE, shares=(20.0,), subsets=2, **options),
    "finetune": lambda where, **options: evaluate_finetune(where, TUNE, **options),
    "supervised": lambda where, **options: evaluate_finetune(where, TUNE, supervised=True, **options),
}


@pytest.fixture(params=TASKS)
def task(request):
    return TASKS[request.param]


def states_equal(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_result_is_complete_and_its_file_in_the_run_is_equal(task, own_run, ntu):
    where = setting(own_run, ntu, subjects=1)
    found = task(where, representation="seq")
    assert (found.protocol, found.epoch, found.train, found.test, found.validation) == ("xsub", 3, 16, 8, 8)
    assert len(found.subjects_held_out) == 1
    assert found.chance == 0.25
    with Store(ntu) as store:
        assert found.test_samples["name"] == [store.names[k] for k in store.part("xsub", train=False)]
        assert found.classes == [store.class_name(k) for k in range(4)]
        assert found.content_hash == store.content_hash
    label = found.test_samples["label"]
    for row in found.rows:
        assert np.sum(row.confusion) == 8 * len(row.trials)
        assert row.top1 == pytest.approx(row.mean_class)  # as many of each class
        assert row.per_class == pytest.approx([row.confusion[k][k] / sum(row.confusion[k]) for k in range(4)])
        for trial in row.trials:
            assert np.mean(np.equal(trial.predicted, label)) == pytest.approx(trial.top1)
            if found.task == "retrieval":
                assert trial.validation.keys() == {"top1", "top5", "mean_class"}
                assert len(trial.nearest) == len(trial.similarity) == 8
            else:
                assert trial.validation["top1"] == pytest.approx(trial.curve[-1]["validation"])
                assert trial.curve[-1]["test"] == pytest.approx(trial.top1)
    assert json.loads(found.path.read_text()) == json.loads(json.dumps(asdict(found)))
    assert [path.name for path in own_run.glob("*.tmp")] == []
    table = found.table()
    for words in ("16 train, 8 test, 8 validation", "checkpoint after 3 epochs", "seq", "25.0%"):
        assert words in table


def test_evaluation_is_the_same_again(task, own_run, ntu):
    first = task(setting(own_run, ntu), representation="graph")
    torch.rand(3)
    fresh = {} if first.task == "retrieval" else {"fresh": True}
    again = task(setting(own_run, ntu), representation="graph", **fresh)
    assert again.rows == first.rows
    assert again.path == first.path


def test_seeds_give_mean_and_standard_deviation(own_run, ntu):
    found = evaluate_linear(setting(own_run, ntu), PROBE, seeds=3, baselines=False)
    for row in found.rows:
        for name in ("top1", "mean_class"):
            values = [getattr(trial, name) for trial in row.trials]
            assert getattr(row, name) == pytest.approx(np.mean(values))
            assert row.deviation[name] == pytest.approx(np.std(values, ddof=1))
        assert [trial.seed for trial in row.trials] == [0, 1, 2]
        assert len({trial.curve[0]["loss"] for trial in row.trials}) == 3
    single = evaluate_linear(setting(own_run, ntu), PROBE, baselines=False)
    assert single.rows[0].deviation is None
    assert single.rows[0].trials == found.rows[0].trials[:1]


def test_the_last_epoch_is_the_result_and_the_best_on_test_stands_apart(own_run, ntu):
    better = 0
    for rate in (10.0, 30.0):  # such rates make the curve jump, another way on every processor
        config = LinearConfig(epochs=12, learning_rate=rate)
        found = evaluate_linear(setting(own_run, ntu), config)
        for row in found.rows:
            (trial,) = row.trials
            tops = [point["test"] for point in trial.curve]
            assert trial.top1 == row.top1 == pytest.approx(tops[-1])
            assert trial.best_on_test == {"epoch": 1 + int(np.argmax(tops)), "top1": max(tops)}
            assert row.best_on_test == max(tops)
            better += row.best_on_test > row.top1
        assert "best on test" in found.table()
    assert better


def test_fused_representations_are_not_those_of_one(own_run, ntu):
    where = setting(own_run, ntu)
    for fusion in ("features", "scores"):
        rows = evaluate_retrieval(where, representation="seq+graph", fusion=fusion).rows
        assert [(row.encoder, row.representation) for row in rows] == [
            ("pretrained", "seq+graph"),
            ("untrained", "seq+graph"),
            ("raw coordinates", ""),
        ]
    for evaluate in (TASKS["linear"], TASKS["finetune"]):
        joined, added = (
            evaluate(where, representation="seq+graph", fusion=f) for f in ("features", "scores")
        )
        assert "loss" in joined.rows[0].trials[0].curve[0]
        assert {"loss 1", "loss 2"} < added.rows[0].trials[0].curve[0].keys()


def test_encoders_are_the_checkpoints_and_fresh_ones(run, ntu):
    found = setting(run, ntu).candidates(None, "pretrained", "untrained", "raw coordinates")
    checkpoint = load_latest(run)
    fresh = build_model(checkpoint.config, checkpoint.data)
    assert [(candidate.kind, candidate.representation) for candidate in found] == [
        ("pretrained", "seq"),
        ("untrained", "seq"),
        ("pretrained", "graph"),
        ("untrained", "graph"),
        ("raw coordinates", ""),
    ]
    for candidate in found[:4]:
        encoder = candidate.encoder(checkpoint.config.seed)
        prefix = f"query.{candidate.representation}.encoder."
        trained = {k.removeprefix(prefix): v for k, v in checkpoint.model.items() if k.startswith(prefix)}
        untrained = fresh.encoder(candidate.representation).state_dict()
        assert states_equal(encoder.state_dict(), trained) == (candidate.kind == "pretrained")
        assert states_equal(encoder.state_dict(), untrained) == (candidate.kind == "untrained")
    assert found[4].encoder(0) is raw_coordinates


def test_finetuning_starts_from_the_pretrained_and_supervised_from_random_weights(own_run, ntu, monkeypatch):
    seen = []

    def spy(sequences, encoder, *arguments, **options):
        seen.append(encoder)
        return real(sequences, encoder, *arguments, **options)

    real = tasks.finetune
    monkeypatch.setattr(tasks, "finetune", spy)
    where = setting(own_run, ntu)
    TASKS["finetune"](where, representation="graph")
    found = evaluate_finetune(where, TUNE, supervised=True, representation="graph", seeds=2)
    starts = [where.trained, where.untrained(0), where.untrained(1)]
    for encoder, start in zip(seen, starts, strict=True):
        assert states_equal(encoder.state_dict(), start.encoder("graph").state_dict())
    assert not states_equal(seen[1].state_dict(), seen[2].state_dict())
    assert found.rows[0].encoder == "from random weights"


@pytest.mark.parametrize("task", ["linear", "compressed retrieval"])
def test_every_seed_has_an_untrained_encoder_of_its_own(task, own_run, ntu, monkeypatch):
    seen = []
    real = Features.centre

    def spy(self, places):
        seen.append(digest(self.encoder))
        return real(self, places)

    monkeypatch.setattr(Features, "centre", spy)
    where = setting(own_run, ntu)
    wanted = [
        digest(model.encoder("graph")) for model in (where.trained, where.untrained(4), where.untrained(5))
    ]
    monkeypatch.setattr(
        "skelkit_train.evaluate.setting.raw_coordinates", torch.nn.Flatten()
    )  # a module, which has a digest
    if task == "linear":
        evaluate_linear(where, replace(PROBE, seed=4), seeds=2, representation="graph")
    else:
        monkeypatch.setattr(tasks, "compress", lambda train, test, *_, **__: (train, test))
        evaluate_retrieval(where, compressed=True, seed=4, seeds=2, representation="graph")
    assert list(dict.fromkeys(seen))[:3] == wanted


@pytest.mark.parametrize("evaluate", [evaluate_retrieval, partial(evaluate_linear, config=PROBE, quick=True)])
def test_seeds_of_what_is_not_random_are_refused(evaluate, own_run, ntu):
    with pytest.raises(ValueError, match="seeds is 3; expected 1"):
        evaluate(setting(own_run, ntu), seeds=3)


def test_test_samples_that_the_run_was_pretrained_on_are_told(ntu, tiny, rewritten, tmp_path):
    protocols = {
        "xsub": Protocol("subject", frozenset([1, 2, 3])),
        "cross": Protocol("subject", frozenset([1, 4])),
    }
    both, run = rewritten(ntu, protocols=protocols), tmp_path / "run"
    pretrain(both, run, tiny(epochs=1), device=CPU, progress=False)
    with Store(both) as store:
        trained_on = {"content_hash": store.content_hash, "protocol": "xsub"}
    same = evaluate_retrieval(setting(run, both), baselines=False)
    assert (same.pretrained_on, same.test_seen) == (trained_on, 0)
    message = r"run: was pretrained with protocol xsub, .* 16 of the 16 test samples of cross"
    with pytest.warns(UserWarning, match=message):
        where = setting(run, both, "cross")
    written = json.loads(evaluate_retrieval(where, baselines=False).path.read_text())
    assert (written["pretrained_on"], written["test_seen"]) == (trained_on, 16)
    transfer = evaluate_retrieval(setting(run, ntu), baselines=False)
    assert (transfer.pretrained_on, transfer.test_seen) == (trained_on, None)


def test_protocol_is_the_runs_or_any_column(own_run, ntu):
    assert setting(own_run, ntu, None).protocol == "xsub"
    with pytest.warns(UserWarning, match=r"was pretrained with protocol xsub"):
        found = evaluate_retrieval(setting(own_run, ntu, "subject:1-2,4"), baselines=False)
    assert (found.protocol, found.train, found.test) == ("subject:1-2,4", 24, 8)
    assert found.file == "eval-retrieval-ntu-subject=1-2,4.json"
    assert found.path.is_file()


def test_classes_that_nobody_trained_are_told_and_chance_is_of_those_trained(own_run, ntu, rewritten):
    with Store(ntu) as store:
        known = frozenset(store.names[k] for k in store.part("xsub", train=True) if store.label[k])
        split = ListedSplit(known, frozenset(store.names) - known, "lists.txt")
    changed = rewritten(ntu, protocols={"xsub": split})
    with pytest.warns(UserWarning, match="of 1 of the 4 classes tested by xsub there is no training sample"):
        where = setting(own_run, changed)
    found = evaluate_retrieval(where, baselines=False)
    assert found.test_samples["label"].count(0) == 8
    assert found.chance == pytest.approx((found.test - 8) / found.test / 3)


def test_table_tells_what_a_test_sample_is_worth_and_who_has_not_learned(own_run, ntu):
    lines = evaluate_finetune(setting(own_run, ntu), TUNE, representation="seq").table().splitlines()
    assert lines[-2].split() == ["one", "of", "8", "test", "samples", "12.5%"]
    assert lines[-1].startswith("  pretrained seq: the training loss is still ")
    assert lines[-1].endswith("of 1.39 by a guess; more --epochs may help")
    widths = {len(line) for line in lines[1:3]}
    assert len(widths) == 1


@pytest.mark.parametrize(("loss", "told"), [(0.69, 0), (0.70, 1), (1.45, 1), (2.1, 0)])
def test_who_has_hardly_begun_to_learn_is_told(own_run, ntu, loss, told):
    found = evaluate_semi(setting(own_run, ntu), TUNE, shares=(20.0,), subsets=1, representation="seq")
    (row,) = found.rows
    (trial,) = row.trials
    trial = replace(trial, curve=[{**trial.curve[-1], "loss": loss}])  # a guess has 1.39; it begins above
    found = replace(found, rows=[replace(row, trials=[trial])])
    assert found.table().count("pretrained seq 20% labels: 4: the training loss is still") == told


def test_an_evaluation_that_touches_the_encoder_is_found_out(own_run, ntu, monkeypatch):
    real = Features.of

    def careless(self, *arguments):
        features = real(self, *arguments)
        if isinstance(self.encoder, torch.nn.Module):
            self.encoder.train()(torch.randn(4, 16, 2, 25, 3))
        return features

    monkeypatch.setattr(Features, "of", careless)
    with pytest.raises(RuntimeError, match="frozen encoder was changed"):
        evaluate_retrieval(setting(own_run, ntu), representation="graph")


def test_another_store_of_the_same_kind_is_taken_which_is_transfer(task, own_run, make_store, tmp_path):
    other = make_store(tmp_path / "other.h5", classes=6, repeats=4)
    found = task(setting(own_run, other), representation="seq")
    assert (found.train, found.test) == (18, 6)
    assert found.chance == pytest.approx(1 / 6)
    assert len(found.classes) == len(found.rows[0].confusion) == 6


def test_what_does_not_fit_is_refused_and_nothing_is_written(
    task, own_run, ntu, kinect, make_store, tmp_path
):
    before = sorted(path.name for path in own_run.iterdir())
    unlabelled = make_store(tmp_path / "unlabelled.h5", label=-1)
    other_recipe = make_store(tmp_path / "recipe.h5", recipe="isc")
    for data, where, options, error, message in (
        (ntu, {"protocol": "xview"}, {}, StoreError, "no protocol 'xview'; it has xsub"),
        (ntu, {}, {"representation": "image"}, SkelkitError, "isc: has seq, graph, not image"),
        (ntu, {}, {"representation": "seq+image"}, SkelkitError, "has seq, graph, not seq.image"),
        (ntu, {}, {"representation": "seq+seq"}, SkelkitError, "has seq, graph, not seq.seq"),
        (ntu, {"subjects": 3}, {}, SkelkitError, "3 subjects cannot be held out"),
        (kinect, {}, {}, SkelkitError, "joint layout is kinect20, the run was trained on ntu25"),
        (other_recipe, {}, {}, SkelkitError, "recipe is isc, the run was trained on raw"),
        (unlabelled, {}, {}, SkelkitError, "8 of 32 samples have no label"),
        (tmp_path / "nowhere.h5", {}, {}, StoreError, "no such file"),
    ):
        with pytest.raises(error, match=message) as caught:
            task(setting(own_run, data, **where), **options)
        assert "\n" not in str(caught.value)
    with pytest.raises(SkelkitError, match="no such run"):
        setting(tmp_path / "no run", ntu)
    assert sorted(path.name for path in own_run.iterdir()) == before


@pytest.mark.parametrize("bodies", [1, 3])
def test_bodies_of_the_views_are_the_runs(bodies, ntu, tiny, tmp_path):
    config = tiny(representations="seq", bodies=bodies)
    pretrain(ntu, tmp_path / "run", config, device=CPU, progress=False)
    assert len(evaluate_retrieval(setting(tmp_path / "run", ntu)).rows) == 3


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


def test_the_same_from_the_disk(task, own_run, ntu, monkeypatch):
    def measured():
        return [(row.title, row.top1, row.mean_class) for row in task(setting(own_run, ntu)).rows]

    resident = measured()
    for folder in ("features", "trials"):
        shutil.rmtree(own_run / folder, ignore_errors=True)
    monkeypatch.setattr("skelkit_train.data.fits", lambda *_: False)
    assert isinstance(setting(own_run, ntu).sequences.rows, StoredRows)
    assert measured() == resident
