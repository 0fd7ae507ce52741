"""files: whole under the final name, or not at all."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from skelkit import files
from skelkit.errors import SkelkitError
from skelkit.files import HeldInterrupts, RememberingFile, replacing


def test_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with replacing(path, "it") as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


FAILURES = [OSError(28, "No space left on device"), ValueError("x"), KeyboardInterrupt()]


@pytest.mark.parametrize("failure", FAILURES)
def test_what_was_there_stays_when_it_fails(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def write_half() -> None:
        with replacing(path, "the thing") as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(SkelkitError if isinstance(failure, OSError) else type(failure)) as raised:
        write_half()
    if isinstance(failure, OSError):
        assert str(raised.value) == f"{path}: cannot write the thing: No space left on device"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_refused_write_is_remembered() -> None:
    with RememberingFile("/dev/full", "w") as disk:
        disk.check()
        assert disk.write(b"abc") == 3, "HDF5 must not see it"
        with pytest.raises(OSError, match="No space left"):
            disk.check()


def test_two_cannot_write_the_same(tmp_path: Path) -> None:
    with replacing(tmp_path / "a", "it") as first:
        first.write_text("first")
        with (
            pytest.raises(SkelkitError, match="a: another program is writing it"),
            replacing(tmp_path / "a", "it"),
        ):
            pass
    assert (tmp_path / "a").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_another_may_write_as_soon_as_one_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = replacing(tmp_path / "a", "it")
    begun: list[Path] = []
    synchronise = files._synchronise

    def slow(path: Path) -> None:
        if path == tmp_path and not begun:
            begun.append(second.__enter__())
            begun[0].write_text("second")
        synchronise(path)

    monkeypatch.setattr(files, "_synchronise", slow)
    with replacing(tmp_path / "a", "it") as first:
        first.write_text("first")
    assert begun[0].exists()
    second.__exit__(None, None, None)
    assert (tmp_path / "a").read_text() == "second"


def test_ctrl_c_is_not_heard_where_it_is_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with HeldInterrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
            with interrupts.let_through():
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_with_handlers_of_its_own_hears_what_was_held_back(number: int) -> None:
    heard: list[int] = []
    before = signal.signal(number, lambda number, _: heard.append(number))
    try:
        with HeldInterrupts() as interrupts:
            signal.raise_signal(number)
            assert heard == []
            with interrupts.let_through():
                assert heard == [number]
                signal.raise_signal(number)
                assert heard == [number] * 2
            signal.raise_signal(number)
            assert heard == [number] * 2
        assert heard == [number] * 3
        signal.raise_signal(number)
        assert heard == [number] * 4, "it has its place again"
    finally:
        signal.signal(number, before)
