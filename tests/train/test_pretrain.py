"""Pretraining learns, gives the same bits again, goes on as if never interrupted, and says what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
import torch

from skelkit.errors import SkelkitError, StoreError
from skelkit_train import pretrain as module
from skelkit_train.checkpoint import load_latest
from skelkit_train.cli import main
from skelkit_train.config import read_toml, resolve
from skelkit_train.data import pick_device
from skelkit_train.pretrain import pretrain

CPU = torch.device("cpu")
ALL = "seq+graph+image"


def train(data, run, config, **options):
    return pretrain(data, run, config, device=CPU, progress=False, **options)


def metrics(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith(("seconds", "samples_per"))} for line in lines]


def assert_same_run(run, other):
    """To the bit, but for times."""
    ours, theirs = load_latest(run), load_latest(other)
    assert (ours.epoch, ours.step, ours.data) == (theirs.epoch, theirs.step, theirs.data)
    for part in ("model", "optimizer", "scheduler"):
        torch.testing.assert_close(getattr(ours, part), getattr(theirs, part), rtol=0, atol=0)
    assert metrics(run) == metrics(other)


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


# The same again


def test_same_seed_same_bits_whenever_checkpoints_are_written(ntu, tiny, tmp_path):
    for name, every in {"often": 1, "seldom": 100}.items():
        torch.rand(len(name))
        train(ntu, tmp_path / name, tiny(representations=ALL, checkpoint_every=every))
    assert len(list((tmp_path / "seldom").glob("*.pt"))) == 1
    assert_same_run(tmp_path / "often", tmp_path / "seldom")

    train(ntu, tmp_path / "other", tiny(representations=ALL, seed=1))
    assert metrics(tmp_path / "other")[0]["loss"] != metrics(tmp_path / "often")[0]["loss"]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_resumed_run_is_to_the_bit_the_uninterrupted_one(optimizer, ntu, tiny, tmp_path):
    fields = {"representations": ALL, "milestones": [1, 3], "optimizer": optimizer, "hcn_dropout": 0.5}
    train(ntu, tmp_path / "whole", tiny(**fields, epochs=4))
    train(ntu, tmp_path / "halves", tiny(**fields, epochs=2))
    torch.rand(5)
    last = train(ntu, tmp_path / "halves", tiny(**fields, epochs=4), resume=True)

    assert last["epoch"] == 4
    assert_same_run(tmp_path / "whole", tmp_path / "halves")
    assert (tmp_path / "halves" / "config.toml").read_text() == (
        tmp_path / "whole" / "config.toml"
    ).read_text()
    queues = [name for name in load_latest(tmp_path / "halves").model if name.startswith("queues.")]
    assert len(queues) == 6


def test_damaged_newest_checkpoint_costs_its_epochs_and_no_more(ntu, tiny, tmp_path):
    train(ntu, tmp_path / "whole", tiny(epochs=4))
    train(ntu, tmp_path / "run", tiny(epochs=3))
    newest = tmp_path / "run" / "checkpoint-000003.pt"
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="damaged"):
        train(ntu, tmp_path / "run", tiny(epochs=4), resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_metrics_after_the_checkpoint_and_a_torn_line_are_dropped(ntu, tiny, tmp_path):
    train(ntu, tmp_path / "whole", tiny(epochs=3))
    train(ntu, tmp_path / "run", tiny(epochs=2))
    log = tmp_path / "run" / "metrics.jsonl"
    log.write_text(log.read_text() + '{"epoch": 3, "loss": 7.0}\n{"epoch": 4, "lo')
    train(ntu, tmp_path / "run", tiny(epochs=3), resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_resuming_a_finished_run_changes_nothing(own_run, ntu):
    before = {path.name: path.read_bytes() for path in own_run.iterdir()}
    last = train(ntu, own_run, load_latest(own_run).config, resume=True)
    assert last["epoch"] == 3
    assert {path.name: path.read_bytes() for path in own_run.iterdir()} == before


def test_resuming_what_was_killed_before_its_first_checkpoint_starts_anew(run, own_run, ntu):
    for path in own_run.glob("checkpoint-*"):
        path.unlink()
    train(ntu, own_run, load_latest(run).config, resume=True)
    assert_same_run(own_run, run)


def wait_for(path, process):
    for _ in range(6000):
        if path.exists() or process.poll() is not None:
            break
        time.sleep(0.01)
    assert path.exists(), process.communicate()


def test_killed_run_goes_on_to_the_bit(ntu, tiny, tmp_path):
    file = tmp_path / "settings.toml"
    endless = tiny(representations="seq+image", epochs=1_000_000)
    file.write_text(endless.to_toml())
    arguments = ["pretrain", str(ntu), "--config", str(file), "--device", "cpu", "-o", str(tmp_path / "run")]
    process = subprocess.Popen(
        [sys.executable, "-m", "skelkit_train", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # as many as in this process: more round otherwise
        stderr=subprocess.DEVNULL,
    )
    wait_for(tmp_path / "run" / "checkpoint-000002.pt", process)
    process.kill()
    assert process.wait() == -signal.SIGKILL

    epochs = load_latest(tmp_path / "run").epoch + 2
    main([*arguments, "--resume", "--epochs", str(epochs)], standalone_mode=False)

    train(ntu, tmp_path / "whole", tiny(representations="seq+image", epochs=epochs))
    assert_same_run(tmp_path / "whole", tmp_path / "run")


# Asked to stop


def stop_in(monkeypatch, epoch, *numbers):
    """Send these signals to this process after the first batch of that epoch."""
    real = module.batches

    def batches(places, size, seed, at):
        for place, batch in enumerate(real(places, size, seed, at)):
            yield batch
            if (at, place) == (epoch, 0):
                for number in numbers:
                    signal.raise_signal(number)

    monkeypatch.setattr(module, "batches", batches)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_epoch_saves_and_says_how_to_go_on(number, ntu, tiny, tmp_path, monkeypatch):
    fields = {"epochs": 4, "checkpoint_every": 100}
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        stop_in(patch, 1, number)
        with pytest.raises(SkelkitError, match="stopped after epoch 2, which is saved; --resume goes on"):
            train(ntu, tmp_path / "run", tiny(**fields))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert load_latest(tmp_path / "run").epoch == 2

    train(ntu, tmp_path / "run", tiny(**fields), resume=True)
    train(ntu, tmp_path / "whole", tiny(**fields))
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_second_signal_stops_at_once(ntu, tiny, tmp_path, monkeypatch):
    handler = signal.getsignal(signal.SIGINT)
    stop_in(monkeypatch, 1, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(ntu, tmp_path / "run", tiny(epochs=4))
    assert load_latest(tmp_path / "run").epoch == 1
    assert signal.getsignal(signal.SIGINT) is handler


def test_signal_in_the_last_epoch_is_a_finished_run(ntu, tiny, tmp_path, monkeypatch):
    stop_in(monkeypatch, 1, signal.SIGTERM)
    assert train(ntu, tmp_path / "run", tiny(epochs=2))["epoch"] == 2


def test_signal_before_the_first_epoch_still_saves_what_it_says(ntu, tiny, tmp_path, monkeypatch):
    @contextmanager
    def asked():
        yield [signal.SIGTERM]

    monkeypatch.setattr(module, "_stop_signals", asked)
    with pytest.raises(SkelkitError, match="stopped after epoch 1, which is saved"):
        train(ntu, tmp_path / "run", tiny(epochs=4, checkpoint_every=100))
    assert load_latest(tmp_path / "run").epoch == 1


def test_pretraining_works_outside_the_main_thread(ntu, tiny, tmp_path):
    thread = threading.Thread(target=train, args=(ntu, tmp_path / "run", tiny()))
    thread.start()
    thread.join()
    assert load_latest(tmp_path / "run").epoch == 2


# What is refused


def test_run_that_exists_is_refused_without_resume(own_run, ntu, tiny, tmp_path):
    before = {path.name: path.read_bytes() for path in own_run.iterdir()}
    with pytest.raises(SkelkitError, match="isc: exists already; --resume goes on with it"):
        train(ntu, own_run, load_latest(own_run).config)
    assert {path.name: path.read_bytes() for path in own_run.iterdir()} == before

    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(SkelkitError, match="file: exists already"):
        train(ntu, file, tiny())
    with pytest.raises(SkelkitError, match="cannot write there: Not a directory"):
        train(ntu, file / "run", tiny())
    for place in (file, file / "run", tmp_path / "absent"):
        with pytest.raises(SkelkitError, match="no run in this folder to go on with"):
            train(ntu, place, tiny(), resume=True)
    assert file.read_text() == "mine"


def test_empty_folder_is_taken(ntu, tiny, tmp_path):
    train(ntu, tmp_path, tiny())
    assert load_latest(tmp_path).epoch == 2


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("queue", 64, r"was begun with queue = 32, not 64; --config .*config\.toml gives"),
        ("milestones", [1], r"was begun with milestones = \(2,\), not \(1,\)"),
        ("representations", "seq", "was begun with representations = 'seq.graph', not 'seq'"),
        ("epochs", 2, "has 3 epochs already, more than 2"),
    ],
)
def test_changed_setting_on_resume_is_refused_by_name(field, value, message, own_run, ntu, tiny):
    before = {path.name: path.read_bytes() for path in own_run.iterdir()}
    config = tiny(**{"representations": "seq+graph", "epochs": 3, field: value})
    with pytest.raises(SkelkitError, match=message):
        train(ntu, own_run, config, resume=True)
    assert {path.name: path.read_bytes() for path in own_run.iterdir()} == before


def test_other_data_on_resume_is_refused(own_run, make_store, tmp_path):
    other = make_store(tmp_path / "other.h5", repeats=9)
    with pytest.raises(SkelkitError, match="isc: was trained on a store with other content"):
        train(other, own_run, load_latest(own_run).config, resume=True)


def test_other_recipe_or_layout_on_resume_is_named(own_run, kinect, make_store, tmp_path):
    for other, message in (
        (make_store(tmp_path / "other.h5", recipe="isc"), "recipe is isc, the run was trained on raw; "),
        (kinect, "joint layout is kinect20, the run was trained on ntu25"),
    ):
        with pytest.raises(SkelkitError, match=f"isc: cannot go on with this store: its {message}"):
            train(other, own_run, load_latest(own_run).config, resume=True)


def test_nothing_is_made_where_the_data_or_a_size_is_wrong(ntu, tiny, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(StoreError, match="no protocol 'xview'; it has xsub"):
        train(ntu, run, tiny(protocol="xview"))
    with pytest.raises(StoreError, match="no such file"):
        train(tmp_path / "nowhere.h5", run, tiny())
    with pytest.raises(SkelkitError, match="image encoder: frames is 20"):
        train(ntu, run, tiny(representations="image", frames=20))
    assert not run.exists()


# Numbers that are none


def test_loss_that_is_not_finite_is_one_clear_error(ntu, tiny, tmp_path):
    with pytest.raises(SkelkitError, match=r"stopped being a finite number.*lower learning_rate") as caught:
        train(ntu, tmp_path / "run", tiny(optimizer="sgd", learning_rate=1e30))
    assert "\n" not in str(caught.value)
    assert metrics(tmp_path / "run") == []


def test_weights_that_are_not_finite_are_never_saved(ntu, tiny, tmp_path, monkeypatch):
    real, steps = torch.optim.AdamW.step, []

    def step(self, *arguments):
        steps.append(real(self, *arguments))
        if len(steps) == 6:  # the last of the second epoch, whose losses are all finite
            with torch.no_grad():
                self.param_groups[0]["params"][0].view(-1)[3] = torch.nan

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(SkelkitError, match="in epoch 2 the loss or a weight stopped being a finite number"):
        train(ntu, tmp_path / "run", tiny(epochs=4))
    left = load_latest(tmp_path / "run")
    assert left.epoch == 1
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
