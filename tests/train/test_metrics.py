"""What a run says of itself: sums, whenever they are looked at, metrics, and the progress line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from runs import CPU, metrics, train

from skelkit.datasets import Protocol
from skelkit.errors import SkelkitError
from skelkit.store import Header, Store, write_store
from skelkit_train.evaluate.setting import open_setting
from skelkit_train.metrics import MetricsLog, Progress, Totals, memory_in_use, require_tensorboard
from skelkit_train.pretrain import pretrain

NAMES = ["loss", "accuracy a>a"]


def steps(count):
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(1)).abs()


def totals_of(rows, looks=(), begun=None):
    totals = Totals(begun)
    for i, row in enumerate(rows):
        totals.add(NAMES, row, 4)
        if i in looks:
            assert totals.look() is None
    assert totals.look() is None
    return totals


# Sums


def test_means_are_those_of_the_steps():
    rows = steps(7)
    totals = totals_of(rows)
    assert (totals.batches, totals.samples) == (7, 28)
    assert totals.means() == pytest.approx(dict(zip(NAMES, rows.double().mean(0).tolist(), strict=True)))


def test_means_do_not_depend_on_looks_or_an_interruption():
    rows = steps(101)
    wanted = totals_of(rows).means()
    assert totals_of(rows, looks=range(0, 101, 7)).means() == wanted

    begun = totals_of(rows[:40]).state()
    again = totals_of(rows[40:], begun=json.loads(json.dumps(begun)))
    assert again.means() == wanted
    assert (again.batches, again.samples) == (101, 404)
    assert again.seconds >= begun["seconds"]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_first_loss_that_is_not_finite_is_found(bad):
    rows = steps(9)
    rows[5, 0] = rows[7, 0] = bad
    totals = totals_of(rows[:3])
    for row in rows[3:]:
        totals.add(NAMES, row, 4)
    assert totals.look() == 6


def test_looking_is_due_at_once_and_then_seldom():
    totals = Totals()
    due = []
    for i, row in enumerate(steps(120)):
        assert not totals.due
        totals.add(NAMES, row, 1)
        if totals.due:
            totals.look()
            due.append(i)
    assert due == [0, 50, 100]


# What is seen


def test_a_large_model_on_a_cpu_is_warned_of(ntu, tiny, tmp_path, monkeypatch, capsys):
    pretrain(ntu, tmp_path / "small", tiny(epochs=1), device=CPU)
    assert "weights on a CPU" not in capsys.readouterr().err
    monkeypatch.setattr("skelkit_train.pretrain._SMALL", 10)
    pretrain(ntu, tmp_path / "large", tiny(epochs=1), device=CPU)
    assert (
        "million weights on a CPU: a step takes seconds to minutes; --preset small" in capsys.readouterr().err
    )


@pytest.mark.parametrize(("seconds", "told"), [(20.0, "takes 2.3 days more"), (5.0, None)])
def test_a_run_of_days_is_told_once(monkeypatch, capsys, seconds, told):
    clock = [0.0]
    monkeypatch.setattr("skelkit_train.metrics.time.perf_counter", lambda: clock[0])
    bar = Progress(epochs=2, batches=5000, done=0, device=CPU, shown=True)
    totals = SimpleNamespace(means=lambda: {"loss": 1.0, "accuracy a>a": 0.5}, speed=1.0)
    for step in range(1, 5):
        bar.step()
        clock[0] += 1000 if step == 1 else seconds  # the first compiles
        bar.show(0, totals)
    bar.close()
    err = capsys.readouterr().err
    assert err.count("days more") == (told is not None)
    assert told is None or told in err


def test_joints_beyond_reach_are_told_of(ntu, tiny, tmp_path, capsys):
    with Store(ntu) as store:
        header = Header(
            store.dataset,
            store.layout,
            store.recipe,
            store.classes,
            {"xsub": Protocol("subject", frozenset([1, 2, 3]))},
        )
        sequences = list(store)
    for place in (3, 5):
        joints = sequences[place].joints.copy()
        joints[-1, 0, 5, 2] = -20.5
        sequences[place] = replace(sequences[place], joints=joints)
    write_store(tmp_path / "far.h5", sequences, header)
    pretrain(tmp_path / "far.h5", tmp_path / "run", tiny(epochs=1), device=CPU)
    far = sequences[3].name
    said = f"in 2 of 32 sequences a joint is more than 20 m away, expected metres; the first is {far}"
    assert said in capsys.readouterr().err
    with pytest.warns(UserWarning, match=said):
        open_setting(tmp_path / "run", tmp_path / "far.h5", "xsub", device=CPU)


def test_a_queue_for_more_samples_than_there_are_and_a_run_that_is_done_are_told_of(
    ntu, tiny, tmp_path, capsys
):
    pretrain(ntu, tmp_path / "run", tiny(epochs=1, queue=24), device=CPU)
    assert "note:" not in capsys.readouterr().err
    pretrain(ntu, tmp_path / "run", tiny(epochs=1, queue=24), device=CPU, resume=True)
    assert "note: all 1 epochs are done already; more --epochs go on" in capsys.readouterr().err
    pretrain(ntu, tmp_path / "large", tiny(epochs=1, queue=25), device=CPU)
    assert "note: a queue of 25 keys has every one of 24 training samples more" in capsys.readouterr().err


def test_progress_line_has_all_there_is_to_see(ntu, tiny, tmp_path, capsys):
    pretrain(ntu, tmp_path / "run", tiny(), device=CPU)
    last = capsys.readouterr().err.splitlines()[-1]
    pattern = (
        r"epoch 2/2  loss \d+\.\d{3}  contrastive accuracy \d+\.\d%: 100%.* 6/6 \[.*<00:00,.*"
        r", \d+ samples/s, \d+\.\d GiB\]"
    )
    assert re.search(pattern, last), last


GROWTH = """
import torch
from skelkit_train.metrics import memory_in_use
cpu = torch.device("cpu")
before = memory_in_use(cpu)
taken = torch.ones((before + 2**28) // 4)  # more than ever before, as the peak may be all that is known
print(before, memory_in_use(cpu) - before)
"""


def test_memory_grows_by_what_is_taken():
    """In a process of its own, which is small."""
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    before, grown = map(int, done.stdout.split())
    assert before > 2**20
    assert grown > 2**27


def test_memory_in_use_is_the_resident_part(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "90000 5000 1000 1 0 4000 0\n")
    assert memory_in_use(CPU) == 5000 * os.sysconf("SC_PAGE_SIZE")


def test_memory_in_use_is_the_peak_where_there_is_no_proc(monkeypatch):
    def missing(path, **_):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", missing)
    taken = torch.ones(2**26)
    assert taken.nbytes < memory_in_use(CPU) < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_metrics_log_goes_on_after_the_epochs_that_count(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n{"epoch": 3}\n{"epoch": 4, "lo')
    log = MetricsLog(tmp_path, 2, tensorboard=False)
    log.write({"epoch": 3, "loss": 0.5})
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"epoch": 1}, {"epoch": 2}, {"epoch": 3, "loss": 0.5}]


def test_damaged_lines_of_the_metrics_log_are_dropped(tmp_path):
    damaged = [b"\xff\xfe\x00", b"garbage", b"[1]", b"3", b"null", b"", b'{"loss": 1}', b'{"epoch": "1"}']
    lines = [b'{"epoch": 1}', *damaged, b'{"epoch": 2}', b"\x00" * 20]
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines))
    MetricsLog(tmp_path, 2, tensorboard=False).close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == b'{"epoch": 1}\n{"epoch": 2}\n'


# TensorBoard


def test_without_tensorboard_nothing_is_made(ntu, tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(
        SkelkitError, match=r"TensorBoard is not installed; pip install .skelkit\[tensorboard\]"
    ):
        train(ntu, tmp_path / "run", tiny(tensorboard=True))
    assert not (tmp_path / "run").exists()


def test_tensorboard_gets_every_metric(ntu, tiny, tmp_path, monkeypatch):
    written = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            written.append((folder, purge_step))

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

        def flush(self):
            pass

        def close(self):
            written.append("closed")

    board = SimpleNamespace(SummaryWriter=SummaryWriter)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", board)
    run = tmp_path / "run"
    train(ntu, run, tiny(tensorboard=True))
    assert written[0] == (str(run / "tensorboard"), 1)
    assert written[-1] == "closed"
    for line in metrics(run):
        for name, value in line.items():
            assert (name, value, line["epoch"]) in written

    written.clear()
    train(ntu, run, tiny(tensorboard=True, epochs=3), resume=True)
    assert written[0] == (str(run / "tensorboard"), 3)
    assert {entry[2] for entry in written[1:-1]} == {3}


def test_tensorboard_itself_reads_what_was_written(ntu, tiny, tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    require_tensorboard()
    train(ntu, tmp_path / "run", tiny(tensorboard=True))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2]
