"""A run gives the same bits again, goes on as if never interrupted, stops when asked, and stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import count

import pytest
import torch
from runs import CPU, assert_same_run, metrics, train

from skelkit.errors import SkelkitError
from skelkit_train import pretrain as module
from skelkit_train.checkpoint import checkpoints, load_latest
from skelkit_train.cli import main

ALL = "seq+graph+image"


# The same again


def test_same_seed_same_bits_whenever_checkpoints_are_written(ntu, tiny, tmp_path):
    for name, every in {"often": 1, "seldom": 100}.items():
        torch.rand(len(name))
        train(ntu, tmp_path / name, tiny(representations=ALL, checkpoint_every=every))
    assert len(list((tmp_path / "seldom").glob("*.pt"))) == 1
    assert_same_run(tmp_path / "often", tmp_path / "seldom")

    train(ntu, tmp_path / "other", tiny(representations=ALL, seed=1))
    assert metrics(tmp_path / "other")[0]["loss"] != metrics(tmp_path / "often")[0]["loss"]


def test_order_and_dropout_follow_from_the_seed_and_change_from_step_to_step(
    ntu, tiny, tmp_path, monkeypatch
):
    seeds, asked, seed, batches = [], [], torch.manual_seed, module.batches
    monkeypatch.setattr(torch, "manual_seed", lambda value: (seeds.append(value), seed(value))[1])
    monkeypatch.setattr(module, "batches", lambda *given: (asked.append(given[2:]), batches(*given))[1])
    train(ntu, tmp_path / "run", tiny(seed=5))
    assert asked == [(5, 0), (5, 1)]
    assert len(set(seeds[-6:])) == 6
    assert all(value >> 32 == 5 for value in seeds[-6:])


@pytest.mark.parametrize(("optimizer", "queue"), [("adamw", 64), ("sgd", 64), ("adamw", 0)])
def test_resumed_run_is_to_the_bit_the_uninterrupted_one(optimizer, queue, ntu, tiny, tmp_path):
    fields = {"representations": ALL, "milestones": [1, 3], "hcn_dropout": 0.5}
    fields |= {"optimizer": optimizer, "queue": queue}
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
    assert len(queues) == (6 if queue else 0)


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


def wait_for_epochs(count, run, process):
    metrics = run / "metrics.jsonl"
    for _ in range(6000):
        if metrics.exists() and metrics.read_bytes().count(b"\n") >= count:
            return
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    pytest.fail(f"no {count} epochs in a minute")


def test_run_killed_within_an_epoch_goes_on_to_the_bit(ntu, tiny, tmp_path):
    file = tmp_path / "settings.toml"
    fields = {"representations": "seq+image", "hcn_dropout": 0.5, "milestones": [2]}
    file.write_text(tiny(**fields, epochs=1_000_000, checkpoint_minutes=1e-9).to_toml())  # at every step
    arguments = ["pretrain", str(ntu), "--config", str(file), "--device", "cpu", "-o", str(tmp_path / "run")]
    process = subprocess.Popen(
        [sys.executable, "-m", "skelkit_train", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # as many as in this process: more round otherwise
        stderr=subprocess.DEVNULL,
    )
    wait_for_epochs(2, tmp_path / "run", process)
    process.kill()
    assert process.wait() == -signal.SIGKILL

    if not load_latest(tmp_path / "run").begun:
        checkpoints(tmp_path / "run")[-1].unlink()
    before = load_latest(tmp_path / "run")
    assert 0 < before.begun["batches"] < 3
    assert before.step == 3 * before.epoch + before.begun["batches"]
    epochs = before.epoch + 2
    main([*arguments, "--resume", "--epochs", str(epochs)], standalone_mode=False)

    train(ntu, tmp_path / "whole", tiny(**fields, epochs=epochs))
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


@pytest.mark.parametrize("numbers", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGTERM, signal.SIGTERM]])
def test_signal_saves_within_the_epoch_and_says_how_to_go_on(numbers, ntu, tiny, tmp_path, monkeypatch):
    fields = {"representations": "seq+image", "hcn_dropout": 0.5, "epochs": 4, "checkpoint_every": 100}
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        stop_in(patch, 1, *numbers)
        with pytest.raises(SkelkitError, match="stopped after step 4, in epoch 2; it is saved, and --resume"):
            train(ntu, tmp_path / "run", tiny(**fields))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["checkpoint-000001_000001.pt"]
    left = load_latest(tmp_path / "run")
    assert (left.epoch, left.step, left.begun["batches"]) == (1, 4, 1)
    assert len(metrics(tmp_path / "run")) == 1

    train(ntu, tmp_path / "run", tiny(**fields), resume=True)
    train(ntu, tmp_path / "whole", tiny(**fields))
    assert_same_run(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize(("minutes", "many"), [(1, False), (0.05, True)])
def test_checkpoints_within_an_epoch_come_by_the_minute(minutes, many, ntu, tiny, tmp_path, monkeypatch):
    saved, clock = [], count()
    save = module.save
    monkeypatch.setattr(module, "save", lambda run, state: (saved.append(state.step), save(run, state))[1])
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))  # a second passes at every look
    train(ntu, tmp_path / "run", tiny(epochs=1, checkpoint_every=100, checkpoint_minutes=minutes))
    assert saved[-1] == 3
    assert (len(saved) > 1) == many


def test_ctrl_c_is_not_heard_where_it_is_ignored(ntu, tiny, tmp_path, monkeypatch):
    stop_in(monkeypatch, 0, signal.SIGINT)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert train(ntu, tmp_path / "run", tiny(epochs=1))["epoch"] == 1
    finally:
        signal.signal(signal.SIGINT, before)


def test_run_stopped_twice_in_one_epoch_is_still_the_same(ntu, tiny, tmp_path, monkeypatch):
    answers = iter([True, False, True])  # before the first step; then before the second

    class Asked(list):
        def __bool__(self):
            return next(answers, False)

    @contextmanager
    def asked(**_):
        yield Asked()

    monkeypatch.setattr(module, "stop_signals", asked)
    config = tiny(epochs=2, checkpoint_every=100)
    for step, resume in ((0, False), (1, True)):
        with pytest.raises(SkelkitError, match=f"stopped after step {step}, in epoch 1"):
            train(ntu, tmp_path / "run", config, resume=resume)
        assert load_latest(tmp_path / "run").step == step
    train(ntu, tmp_path / "run", config, resume=True)

    monkeypatch.undo()
    train(ntu, tmp_path / "whole", config)
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_ctrl_c_is_answered_before_the_step_is_over(ntu, tiny, tmp_path, monkeypatch, capfd):
    stop_in(monkeypatch, 0, signal.SIGINT)
    with pytest.raises(SkelkitError, match="stopped after step"):
        module.pretrain(ntu, tmp_path / "run", tiny(), device=CPU, progress=True)
    said = "stopping after this step, and saving it; another Ctrl-C stops at once"
    assert capfd.readouterr().err.count(said) == 1


def test_run_is_saved_although_nobody_reads_its_output_any_more(ntu, tiny, tmp_path):
    (tmp_path / "c.toml").write_text(tiny(epochs=10**6, checkpoint_every=10**6).to_toml())
    words = ["pretrain", ntu, "--config", tmp_path / "c.toml", "-o", tmp_path / "run", "--device", "cpu"]
    command = [sys.executable, "-m", "skelkit_train", *map(str, words)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            wait_for_epochs(2, tmp_path / "run", process)
            assert not checkpoints(tmp_path / "run")
            process.stderr.close()  # as when Ctrl-C ends the tee that it is piped into
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
        finally:
            process.kill()
    assert checkpoints(tmp_path / "run")


def test_second_ctrl_c_stops_at_once(ntu, tiny, tmp_path, monkeypatch):
    handler = signal.getsignal(signal.SIGINT)
    stop_in(monkeypatch, 1, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(ntu, tmp_path / "run", tiny(epochs=4))
    assert load_latest(tmp_path / "run").step == 3
    assert signal.getsignal(signal.SIGINT) is handler


def test_signal_in_the_last_step_is_a_finished_run(ntu, tiny, tmp_path, monkeypatch):
    real = torch.optim.AdamW.step
    steps = []

    def step(self, *arguments):
        steps.append(real(self, *arguments))
        if len(steps) == 6:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    assert train(ntu, tmp_path / "run", tiny(epochs=2))["epoch"] == 2


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
        ("epochs", 2, "has come to epoch 3 already, beyond the 2 asked for"),
    ],
)
def test_changed_setting_on_resume_is_refused_by_name(field, value, message, own_run, ntu, tiny):
    before = {path.name: path.read_bytes() for path in own_run.iterdir()}
    config = tiny(**{"representations": "seq+graph", "epochs": 3, field: value})
    with pytest.raises(SkelkitError, match=message):
        train(ntu, own_run, config, resume=True)
    assert {path.name: path.read_bytes() for path in own_run.iterdir()} == before


def test_when_to_save_may_change_on_resume(own_run, ntu, tiny):
    config = tiny(representations="seq+graph", epochs=4, checkpoint_every=7, checkpoint_minutes=5)
    assert train(ntu, own_run, config, resume=True)["epoch"] == 4


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
