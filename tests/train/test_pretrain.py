"""Pretraining learns from what it should, says what is wrong, and never saves numbers that are none."""

from __future__ import annotations

import json
import threading

import pytest
import torch
from runs import CPU, metrics, train

from skelkit.datasets import Protocol
from skelkit.errors import SkelkitError, StoreError
from skelkit.store import Store
from skelkit_train import pretrain as module
from skelkit_train.checkpoint import checkpoints, load_latest
from skelkit_train.config import read_toml, resolve
from skelkit_train.data import pick_device

ALL = "seq+graph+image"


# Training


@pytest.mark.parametrize(
    ("representations", "terms"),
    [
        ("seq", 1),
        ("graph", 1),
        ("image", 1),
        ("seq+graph", 2),
        ("seq+image", 2),
        ("graph+image", 2),
        (ALL, 6),
    ],
)
@pytest.mark.parametrize("store", ["ntu", "kinect"])
def test_every_combination_of_representations_trains(store, representations, terms, tiny, tmp_path, request):
    config = tiny(representations=representations)
    last = train(request.getfixturevalue(store), tmp_path / "run", config)

    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["step"]) for line in lines] == [(1, 3), (2, 6)]
    assert lines[-1] == last
    for line in lines:
        losses = [value for name, value in line.items() if name.startswith("loss ")]
        assert len(losses) == terms
        assert all(0 < loss < 100 for loss in losses)
        assert line["loss"] == pytest.approx(sum(losses), rel=1e-5)
        assert all(0 <= value <= 1 for name, value in line.items() if name.startswith("accuracy"))
        assert line["samples_per_second"] > 0
    checkpoint = load_latest(tmp_path / "run")
    assert checkpoint.config == config == resolve(read_toml(tmp_path / "run" / "config.toml"))
    assert (checkpoint.epoch, checkpoint.step) == (2, 6)


@pytest.mark.parametrize("representations", ["seq", "seq+graph"])
def test_loss_falls(representations, ntu, tiny, tmp_path):
    config = tiny(representations=representations, epochs=20, milestones=[], spatial="", learning_rate=0.01)
    train(ntu, tmp_path / "run", config)
    # The first epoch does not count: its negatives are random, and the key encoders equal the others.
    losses = [line["loss"] for line in metrics(tmp_path / "run")][1:]
    assert sum(losses[-4:]) < 0.85 * sum(losses[:4])


def test_learning_rate_is_divided_at_the_milestones(ntu, tiny, tmp_path):
    train(ntu, tmp_path / "run", tiny(epochs=4, milestones=[1, 3], learning_rate=0.01))
    rates = [line["learning_rate"] for line in metrics(tmp_path / "run")]
    assert rates == pytest.approx([0.01, 0.001, 0.001, 0.0001])


def test_pretraining_sees_the_training_part_alone_and_no_labels(ntu, make_store, tiny, tmp_path, monkeypatch):
    seen = set()
    real = module.batches

    def spy(places, *arguments):
        seen.update(places.tolist())
        return real(places, *arguments)

    monkeypatch.setattr(module, "batches", spy)
    train(ntu, tmp_path / "run", tiny())
    assert seen == {place for place in range(32) if place % 4 != 3}

    unlabelled = make_store(tmp_path / "unlabelled.h5", label=-4)
    train(unlabelled, tmp_path / "other", tiny())
    assert metrics(tmp_path / "other") == metrics(tmp_path / "run")


def test_query_and_key_are_two_views_of_the_same_sequences_new_every_epoch(ntu, tiny, tmp_path, monkeypatch):
    seen = []
    real = module.Sequences.views

    def spy(self, places, transform, **key):
        seen.append((places.tolist(), transform, key))
        return real(self, places, transform, **key)

    monkeypatch.setattr(module.Sequences, "views", spy)
    config = tiny(seed=5)
    train(ntu, tmp_path / "run", config)
    for step, ((places, transform, key), other) in enumerate(zip(seen[::2], seen[1::2], strict=True)):
        assert transform == config.augmentation()
        assert key == {"seed": 5, "epoch": step // 3, "view": 0}
        assert other == (places, transform, key | {"view": 1})


def test_fewer_samples_than_a_batch_are_one_step_an_epoch(ntu, tiny, tmp_path):
    assert train(ntu, tmp_path / "run", tiny(batch_size=1000))["step"] == 2


def test_without_queues_a_batch_of_one_has_no_negatives(ntu, tiny, tmp_path):
    with pytest.raises(SkelkitError, match="batch_size is 1; expected 2 or more"):
        train(ntu, tmp_path / "run", tiny(queue=0, batch_size=1))
    assert not (tmp_path / "run").exists()


def test_pretraining_works_outside_the_main_thread(ntu, tiny, tmp_path):
    thread = threading.Thread(target=train, args=(ntu, tmp_path / "run", tiny()))
    thread.start()
    thread.join()
    assert load_latest(tmp_path / "run").epoch == 2


def test_nothing_is_made_where_the_data_or_a_size_is_wrong(ntu, tiny, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(StoreError, match="no protocol 'xview'; it has xsub"):
        train(ntu, run, tiny(protocol="xview"))
    with pytest.raises(StoreError, match="no such file"):
        train(tmp_path / "nowhere.h5", run, tiny())
    with pytest.raises(SkelkitError, match="image encoder: frames is 20"):
        train(ntu, run, tiny(representations="image", frames=20))
    assert not run.exists()


# Validation


def test_validation_holds_out_training_subjects_and_scores_them(ntu, tiny, tmp_path, monkeypatch):
    seen, trained = [], set()
    real, real_batches = module.retrieval, module.batches

    def spy(features, gallery, queries):
        seen.append((gallery, queries))
        return real(features, gallery, queries)

    def batches(places, *arguments):
        trained.update(places.tolist())
        return real_batches(places, *arguments)

    monkeypatch.setattr(module, "retrieval", spy)
    monkeypatch.setattr(module, "batches", batches)
    config = tiny(representations="seq+graph", epochs=4, validate_every=2, validate_share=0.4)
    train(ntu, tmp_path / "run", config)

    lines = metrics(tmp_path / "run")
    assert [sorted(name for name in line if "retrieval" in name) for line in lines] == [
        [],
        ["retrieval graph", "retrieval seq"],
    ] * 2
    assert all(0 <= value <= 1 for line in lines for name, value in line.items() if "retrieval" in name)
    with Store(ntu) as store:
        subject, part = store.columns["subject"], store.part("xsub", train=True)
    assert len(seen) == 4
    for gallery, queries in seen:
        assert set(gallery) == trained
        assert sorted([*gallery, *queries]) == part.tolist()
        assert len(set(subject[queries])) == 1
        assert set(subject[queries]).isdisjoint(subject[gallery])


def test_validation_does_not_change_the_training(ntu, tiny, tmp_path):
    for name, every in {"often": 1, "seldom": 3}.items():
        config = tiny(representations=ALL, hcn_dropout=0.5, epochs=3, validate_every=every)
        train(ntu, tmp_path / name, config)
    often, seldom = (load_latest(tmp_path / name) for name in ("often", "seldom"))
    torch.testing.assert_close(often.model, seldom.model, rtol=0, atol=0)


def test_trained_encoder_finds_held_out_samples_of_the_same_class(ntu, tiny, tmp_path):
    config = tiny(epochs=15, milestones=[], spatial="", learning_rate=0.01, validate_every=15)
    assert train(ntu, tmp_path / "run", config)["retrieval seq"] >= 0.5  # of four classes


def test_data_that_cannot_validate_is_named(ntu, make_store, rewritten, tiny, tmp_path):
    unlabelled = make_store(tmp_path / "unlabelled.h5", label=-4)
    one = rewritten(ntu, protocols={"one": Protocol("subject", frozenset([2]))})
    for store, fields, message in (
        (unlabelled, {}, "validate_every needs the subject and the label of every sample"),
        (one, {"protocol": "one"}, "validate_every needs 2 training subjects or more, found 1"),
    ):
        with pytest.raises(SkelkitError, match=message):
            train(store, tmp_path / "run", tiny(validate_every=1, **fields))
    assert not (tmp_path / "run").exists()


# Numbers that are none


def test_loss_that_is_not_finite_names_the_step_and_the_last_good_checkpoint(
    ntu, tiny, tmp_path, monkeypatch
):
    real, steps = torch.optim.AdamW.step, []

    def step(self, *arguments):
        steps.append(real(self, *arguments))
        if len(steps) == 4:
            with torch.no_grad():
                self.param_groups[0]["params"][0].fill_(torch.nan)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(
        SkelkitError,
        match=r"the loss stopped being a finite number in step 5, in epoch 2; the last good checkpoint is "
        r"checkpoint-000001\.pt; in a new run a lower learning_rate may help",
    ) as caught:
        train(ntu, tmp_path / "run", tiny(epochs=4))
    assert "\n" not in str(caught.value)
    assert len(metrics(tmp_path / "run")) == 1
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["checkpoint-000001.pt"]


def test_loss_that_is_never_finite_leaves_nothing_to_go_on_from(ntu, tiny, tmp_path):
    with pytest.raises(SkelkitError, match="in epoch 1; there is no checkpoint yet; "):
        train(ntu, tmp_path / "run", tiny(optimizer="sgd", learning_rate=1e30))
    assert metrics(tmp_path / "run") == []
    assert checkpoints(tmp_path / "run") == []


@pytest.mark.parametrize("last", [5, 6])
def test_weights_that_are_not_finite_are_never_saved(last, ntu, tiny, tmp_path, monkeypatch):
    real, steps = torch.optim.AdamW.step, []

    def step(self, *arguments):
        steps.append(real(self, *arguments))
        if len(steps) == last:  # all losses until here are finite
            with torch.no_grad():
                self.param_groups[0]["params"][0].view(-1)[3] = torch.nan

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    config = tiny(epochs=4, checkpoint_minutes=1e-9)  # a checkpoint at every step
    with pytest.raises(
        SkelkitError, match=f"a weight stopped being a finite number by step {last}, in epoch 2"
    ):
        train(ntu, tmp_path / "run", config)
    left = load_latest(tmp_path / "run")
    assert left.step == last - 1
    assert all(value.isfinite().all() for value in left.model.values())
    assert len(metrics(tmp_path / "run")) == 1


# Devices


def test_device_that_is_not_there_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == CPU
    with pytest.raises(SkelkitError, match="no CUDA device here"):
        pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda")
