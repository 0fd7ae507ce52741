"""workers: a worker that dies takes no other file down, here or on a dask cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from skelkit import blocks, conversion, workers
from skelkit import journal as journal_module
from skelkit.conversion import Report, convert
from skelkit.errors import SkelkitError
from skelkit.inputs import Input
from skelkit.sources import RawFile
from skelkit.store import verify
from skelkit.workers import Processes

POISON = "S001C003P002R001A002.skeleton"


def run(raw: Path, out: Path, **options: Any) -> Report:
    return convert([raw], out, dataset="ntu60", progress=False, **options)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four files a block, so that 40 files are ten blocks."""
    monkeypatch.setattr(conversion, "BLOCK_FILES", 4)


def in_every_worker(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Python run this at the start of every process started from here on."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))


DEADLY = f"""
import os, signal
from skelkit.sources import RawFile
read = RawFile.read
def deadly(file, most=-1):
    if file.name == {POISON!r}:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(file, most)
RawFile.read = deadly
"""


@pytest.fixture
def poisoned(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Raw files, one of which kills every worker that reads it."""
    assert (raw / POISON).exists()
    in_every_worker(tmp_path / "site", DEADLY, monkeypatch)
    return raw


def without_the_poison(raw: Path, out: Path) -> Report:
    (raw / POISON).rename(raw / "poison")
    try:
        return run(raw, out, workers=1)
    finally:
        (raw / "poison").rename(raw / POISON)


def test_the_file_that_kills_its_worker_is_named_and_the_others_are_kept(
    poisoned: Path, tmp_path: Path
) -> None:
    report = run(poisoned, tmp_path / "a.h5", workers=2)
    assert (report.found, report.kept) == (40, 39)
    (row,) = report.quarantined
    assert row["file"] == str(poisoned / POISON)
    assert "every process that worked on it died" in row["reason"]
    assert verify(tmp_path / "a.h5") == []
    assert report.content_hash == without_the_poison(poisoned, tmp_path / "b.h5").content_hash


def test_a_worker_killed_once_costs_no_file(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = tmp_path / "killed"
    code = DEADLY.replace("        os.kill", f"        open({str(once)!r}, 'x').close(); os.kill")
    code = code.replace(f"{POISON!r}:", f"{POISON!r} and not os.path.exists({str(once)!r}):")
    in_every_worker(tmp_path / "site", code, monkeypatch)
    report = run(raw, tmp_path / "a.h5", workers=2)
    assert once.exists()
    assert (report.kept, report.quarantined) == (40, [])


def _deadly_at_times(items: list[Input]) -> list[tuple[int, bytes | None]]:
    """A large answer, which is still being sent when the next file kills."""
    number = int(items[0].file.path)
    if number % 5 == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return [(number, bytes(10_000_000))]


def _nothing() -> None:
    """Needs no getting ready."""


def test_a_file_is_not_blamed_for_the_death_by_the_next() -> None:
    files = [[Input(RawFile(str(number), None, 0, 0))] for number in range(10)]
    with closing(Processes(_deadly_at_times, _nothing)) as processes:
        results = processes.results(files, lambda item: [(int(item.file.path), None)], 2)
        answers = [answer for parts in results for part in parts for answer in part]
    assert [number for number, _ in answers] == list(range(10))
    assert [number for number, data in answers if data is None] == [3, 8]


def test_the_poison_stops_the_conversion_where_that_is_asked_for(poisoned: Path, tmp_path: Path) -> None:
    with pytest.raises(SkelkitError, match=f"{POISON}: every process that worked on it died"):
        run(poisoned, tmp_path / "a.h5", workers=2, stop_on_bad=True)


ONE_ANSWER_CUT = """
import os, signal
from multiprocessing.connection import Connection
send = Connection.send
def cut(connection, answer):
    if answer is None or os.path.exists({once!r}):
        return send(connection, answer)
    open({once!r}, 'x').close()
    os.write(connection.fileno(), (10**6).to_bytes(4, 'big') + b'some')
    os.kill(os.getpid(), signal.SIGKILL)
Connection.send = cut
"""


def test_a_worker_killed_amid_its_answer(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once = tmp_path / "cut"
    in_every_worker(tmp_path / "site", ONE_ANSWER_CUT.format(once=str(once)), monkeypatch)
    report = run(raw, tmp_path / "a.h5", workers=2)
    assert once.exists()
    assert (report.kept, report.quarantined) == (40, [])


def test_what_was_killed_with_one_worker_finds_the_poison_when_taken_up(
    poisoned: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "skelkit", "convert", poisoned, "--dataset", "ntu60", "--workers", "1"]
    command += ["-o", tmp_path / "a.h5"]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{POISON}: every process that worked on it died" in done.stdout


def test_workers_that_cannot_live_blame_no_file(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import os, sys\nif 'spawn_main' in str(sys.orig_argv): os._exit(1)"
    in_every_worker(tmp_path / "site", code, monkeypatch)
    with pytest.raises(SkelkitError, match="worker processes die as soon as they start"):
        run(raw, tmp_path / "a.h5", workers=2)
    monkeypatch.delenv("PYTHONPATH")
    assert run(raw, tmp_path / "a.h5", workers=2).kept == 40


def test_what_killed_its_worker_is_tried_again_when_taken_up() -> None:
    block = blocks.died(Input(RawFile("a.skeleton", None, 0, 0)))
    assert block.passing
    assert block.quarantined[0]["file"] == "a.skeleton"


def _cannot_begin() -> None:
    raise RuntimeError("no locator available")


def test_why_workers_cannot_begin(raw: Path) -> None:
    items = [[Input(RawFile(str(raw), None, 0, 0))]] * 3
    with (
        closing(Processes(_deadly_at_times, _cannot_begin)) as processes,
        pytest.raises(RuntimeError, match="no locator"),
    ):
        list(processes.results(items, lambda _: (0, None), 2))


# dask


@pytest.fixture
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed", reason="needs skelkit[cluster]")
    local = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    )
    with local:
        yield local


def kill_a_worker(cluster: Any, log: Path, killed: list[int]) -> None:
    """As soon as something is done."""
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_bytes().count(b"\n") > 2) and time.monotonic() < deadline:
        time.sleep(0.001)
    worker = next(iter(cluster.workers.values()))
    if log.exists():  # and is not done yet
        os.kill(worker.process.pid, signal.SIGKILL)
        killed.append(worker.process.pid)


@pytest.mark.filterwarnings("default")
def test_a_cluster_whose_workers_are_killed_gives_the_same(
    cluster: Any, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = journal_module.Journal.append

    def slowly(journal: Any, block: Any) -> Any:
        time.sleep(0.05)
        return append(journal, block)

    monkeypatch.setattr(journal_module.Journal, "append", slowly)
    out = tmp_path / "a.h5"
    killed: list[int] = []
    killer = Thread(target=kill_a_worker, args=(cluster, tmp_path / "a.h5.part" / "journal", killed))
    killer.start()
    report = run(raw, out, scheduler=cluster.scheduler_address)
    killer.join()
    assert killed
    assert (report.kept, report.quarantined) == (40, [])
    assert report.content_hash == run(raw, tmp_path / "b.h5", workers=1).content_hash
    assert out.read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.filterwarnings("default")
def test_the_poison_on_a_cluster(poisoned: Path, cluster: Any, tmp_path: Path) -> None:
    report = run(poisoned, tmp_path / "a.h5", scheduler=cluster.scheduler_address)
    assert [row["file"] for row in report.quarantined] == [str(poisoned / POISON)]
    assert report.content_hash == without_the_poison(poisoned, tmp_path / "b.h5").content_hash


@pytest.mark.filterwarnings("default")
def test_no_scheduler_there(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="needs skelkit[cluster]")
    monkeypatch.setattr(workers, "_TIMEOUT", 0.5)
    with pytest.raises(SkelkitError, match=r"tcp://127.0.0.1:9: no dask scheduler answers there"):
        run(raw, tmp_path / "a.h5", scheduler="tcp://127.0.0.1:9")
    assert not (tmp_path / "a.h5").exists()


@pytest.mark.parametrize(
    ("quota", "count"),
    [
        *(("400000 100000\n", 4), ("150000 100000\n", 1), ("50000 100000\n", 1), ("9900000 100000\n", 64)),
        *(("max 100000\n", 64), ("", 64), (None, 64)),
    ],
)
def test_cores_are_no_more_than_a_containers_quota(
    quota: str | None, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if quota is not None:
        (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(workers, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert workers.cores() == count
