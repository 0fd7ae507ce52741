"""Two processes under torchrun compute what one does, stop together, and go on after one was killed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from runs import CPU, assert_same_run, metrics, train

from skelkit.errors import SkelkitError
from skelkit_train import pretrain as module
from skelkit_train.checkpoint import checkpoints, load_latest
from skelkit_train.config import read_toml, resolve
from skelkit_train.distributed import Ranks, is_first, joined, launch

SETTINGS = {
    "representations": "seq+graph",
    "synchronised_norms": True,
    "optimizer": "sgd",  # AdamW makes much of gradients that are zero but for rounding
    "learning_rate": 0.03,
    "epochs": 3,
    "milestones": [2],
    "checkpoint_every": 100,
    "checkpoint_minutes": 1e-9,  # at every step
}


def torchrun(*arguments, restarts=0, fails=False):
    """Run `ranks` in two processes; what they printed on standard output and error."""
    launcher = ["--standalone", "--nproc-per-node", "2", "--max-restarts", restarts]
    command = ["-m", "torch.distributed.run", *launcher, Path(__file__).with_name("ranks.py"), *arguments]
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
        check=False,
    )
    assert bool(done.returncode) == fails, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def pretrain(ntu, tiny, tmp_path_factory):
    """Pretrains in two processes: the task of `ranks`, a name, and further arguments."""
    folder = tmp_path_factory.mktemp("ranks")
    settings = folder / "settings.toml"
    settings.write_text(tiny(**SETTINGS).to_toml())

    def run(task, name, *arguments, **options):
        given = ["pretrain", ntu, "--config", settings, "--device", "cpu", "-o", folder / name]
        return folder / name, *torchrun(task, *given, *arguments, **options)

    return run


@pytest.fixture(scope="module")
def whole(pretrain):
    """An uninterrupted run of two processes, and what they printed."""
    return pretrain("run", "whole")


def test_what_the_ranks_exchange_is_what_one_process_has():
    torchrun("exchange")


def test_two_processes_have_the_losses_of_one_and_one_of_them_writes(whole, ntu, tiny, tmp_path):
    run, out, err = whole
    one = tmp_path / "one"
    train(ntu, one, tiny(**SETTINGS))

    for ours, theirs in zip(metrics(run), metrics(one), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    ours, theirs = load_latest(run), load_latest(one)
    for name in ("seq", "graph"):
        torch.testing.assert_close(
            ours.model[f"queues.{name}.keys"], theirs.model[f"queues.{name}.keys"], rtol=0, atol=1e-4
        )
        assert ours.model[f"queues.{name}.position"] == theirs.model[f"queues.{name}.position"]
    assert {path.name for path in run.iterdir()} == {path.name for path in one.iterdir()} | {"launched-by"}
    assert resolve(read_toml(run / "config.toml")) == ours.config
    assert out.count("3 epochs, loss") == 1
    assert err.count("9/9") >= 1


def test_run_whose_process_is_killed_says_so_and_goes_on_when_restarted(whole, pretrain):
    run, _, err = pretrain("die", "died", restarts=1)
    lines = [line for line in err.splitlines() if "Error: rank" in line]
    assert len(lines) == 1, err
    assert "rank 0 of 2: another process of this run ended or cannot be reached" in lines[0]
    assert "[rank" not in err  # torch's mark on a traceback
    assert re.search(r"[1-9]/9 \[00:00<\?", err), "the restarted run began anew"
    assert_same_run(run, whole[0])


def test_run_told_to_end_saves_within_the_epoch_and_goes_on_in_any_number_of_processes(
    whole, pretrain, ntu, tiny
):
    run, _, err = pretrain("stop", "stopped", "--set", "checkpoint_minutes=0", fails=True)
    assert "Error: " not in err
    left = load_latest(run)
    where = f"in epoch {left.epoch + 1}" if left.begun else f"after epoch {left.epoch}"
    assert err.count(f"stopped after step {left.step}, {where}; it is saved") == 1
    assert checkpoints(run)[-1].name == left.file_name
    assert 5 <= left.step < 9

    train(ntu, run, tiny(**SETTINGS), resume=True)
    for ours, theirs in zip(metrics(run), metrics(whole[0]), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_a_restart_takes_up_what_its_own_launch_has_begun_and_nothing_else(ntu, tiny, tmp_path, monkeypatch):
    def attempt(number, name):
        monkeypatch.setattr("skelkit_train.run.launch", lambda: name)
        monkeypatch.setattr("skelkit_train.run.restarted", lambda: number > 0)
        return train(ntu, tmp_path / "run", tiny(epochs=2))

    attempt(0, "a")
    assert attempt(1, "a")["epoch"] == 2
    for name in ("b", None, "a"):  # the last by a later launch of the same name
        for number in (0, 1):
            with pytest.raises(SkelkitError, match="exists already"):
                attempt(number, name)


def test_a_launch_has_a_name(monkeypatch):
    assert launch() is None
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    assert launch() == f"process {os.getppid()}"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert launch() == f"process {os.getppid()}"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "isc")
    assert launch() == "isc"


NCCL = """NCCL error in: NCCLUtils.cpp:94, unhandled system error (run with NCCL_DEBUG=INFO for details)
ncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error.
Last error:
Error while creating shared memory segment /dev/shm/nccl-lDBjMA, error: No space left on device (28)
"""


def test_the_cause_that_nccl_tells_is_told(monkeypatch):
    monkeypatch.setattr(module, "joined", joined)
    for name, value in {"RANK": 0, "WORLD_SIZE": 2, "MASTER_ADDR": "x", "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(dist, "rendezvous", lambda *_, **__: iter([(None, 0, 2)]))
    monkeypatch.setattr(dist, "init_process_group", lambda *_, **__: None)
    cause = "Error while creating .*No space left on device"
    with pytest.raises(SkelkitError, match=rf"rank 0 of 2: .* \({cause}"), joined(CPU):
        raise dist.DistBackendError(NCCL)


def test_batch_that_the_processes_cannot_share_is_refused(ntu, tiny, tmp_path, monkeypatch):
    @contextmanager
    def three(device):
        yield Ranks(device, 0, 3)

    monkeypatch.setattr(module, "joined", three)
    with pytest.raises(SkelkitError, match=r"batch_size is 8, .*; expected a multiple of the 3 processes"):
        train(ntu, tmp_path / "run", tiny(batch_size=8))
    assert not (tmp_path / "run").exists()


def test_more_processes_than_gpus_is_one_clear_error(monkeypatch):
    for name, value in {
        "RANK": 5,
        "LOCAL_RANK": 1,
        "WORLD_SIZE": 6,
        "MASTER_ADDR": "x",
        "MASTER_PORT": 1,
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(SkelkitError, match=r"rank 5: its machine has 1 GPUs; .* --nproc-per-node 1 gives"),
        joined(torch.device("cuda")),
    ):
        pass


@pytest.mark.parametrize("names", [(), ("RANK",), ("RANK", "WORLD_SIZE", "MASTER_ADDR")])
def test_without_torchrun_there_is_one_rank(names, monkeypatch):
    for name in names:  # as some schedulers leave them in the environment
        monkeypatch.setenv(name, "1")
    assert is_first()
    with joined(CPU) as ranks:
        assert (ranks.rank, ranks.size, ranks.device) == (0, 1, CPU)
        assert ranks.any(True)
        assert not ranks.any(False)
