"""convert: an interrupted conversion goes on where it was, whatever became of its journal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conversions import GOOD, interrupt, run

from skelkit import conversion
from skelkit.conversion import convert
from skelkit.datasets import DATASETS
from skelkit.errors import SkelkitError, UnreadableError
from skelkit.inputs import gather
from skelkit.journal import Journal
from skelkit.sequence import SkeletonSequence
from skelkit.sources import RawFile
from skelkit.store import verify


@pytest.mark.parametrize("blocks", [0, 1, 5, 9])
@pytest.mark.usefixtures("small_blocks")
def test_an_interrupted_conversion_goes_on(
    raw: Path, tmp_path: Path, blocks: int, converted: list[str]
) -> None:
    (raw / "S001C001P001R001A000.skeleton").write_bytes(b"0\n")
    (raw / "S001C001P001R001A061.skeleton").write_bytes(b"0\n")
    whole = run(raw, tmp_path / "whole.h5")
    out = tmp_path / "a.h5"
    interrupt(raw, out, blocks)
    converted.clear()
    report = run(raw, out)
    assert len(converted) == 42 - 4 * blocks
    assert (report.content_hash, report.kept, report.found) == (whole.content_hash, 40, 42)
    assert (report.excluded, report.quarantined) == (whole.excluded, whole.quarantined)
    assert out.read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert not (tmp_path / "a.h5.part").exists()


def damage_nothing(_: Path) -> None:
    pass


def cut_line(part: Path) -> None:
    data = (part / "journal").read_bytes()
    (part / "journal").write_bytes(data[:-20])


def junk_line(part: Path) -> None:
    with (part / "journal").open("ab") as file:
        file.write(b'\xff{"entries": [\n[]\n')


def rows_of(part: Path) -> Path:
    """A file that a process left its rows in."""
    return min(part.glob("rows.*"))


def cut_rows(part: Path) -> None:
    data = rows_of(part).read_bytes()
    rows_of(part).write_bytes(data[:-7])


def no_rows(part: Path) -> None:
    rows_of(part).unlink()


def zeroed_rows(part: Path) -> None:
    data = rows_of(part).read_bytes()
    rows_of(part).write_bytes(data[:99] + b"\0" * (len(data) - 99))


def wild_rows(part: Path) -> None:
    data = rows_of(part).read_bytes()
    rows_of(part).write_bytes(data[:99] + b"\xff" * (len(data) - 99))


def extra_rows(part: Path) -> None:
    with rows_of(part).open("ab") as file:
        file.write(b"rows of a block that the journal does not know")


def junk_first_line(part: Path) -> None:
    data = (part / "journal").read_bytes()
    (part / "journal").write_bytes(b"x" + data)


@pytest.mark.parametrize(
    ("damage", "again"),
    [
        (damage_nothing, 20),
        (cut_line, 24),
        (junk_line, 20),
        (cut_rows, 24),
        (no_rows, 40),
        (zeroed_rows, 40),
        (wild_rows, 40),
        (extra_rows, 20),
        (junk_first_line, 40),
    ],
)
@pytest.mark.usefixtures("small_blocks")
def test_a_damaged_journal_costs_no_more_than_its_end(
    raw: Path, tmp_path: Path, damage: Any, again: int, converted: list[str]
) -> None:
    whole = run(raw, tmp_path / "whole.h5").content_hash
    out = tmp_path / "a.h5"
    interrupt(raw, out, 5)
    damage(tmp_path / "a.h5.part")
    converted.clear()
    assert run(raw, out).content_hash == whole
    assert len(converted) == again
    assert verify(out) == []


@pytest.mark.usefixtures("small_blocks")
def test_a_damaged_journal_is_whole_again_after(raw: Path, tmp_path: Path, converted: list[str]) -> None:
    out = tmp_path / "a.h5"
    interrupt(raw, out, 5)
    junk_line(tmp_path / "a.h5.part")
    interrupt(raw, out, 8)
    converted.clear()
    assert run(raw, out).kept == 40
    assert len(converted) == 8


@pytest.mark.usefixtures("small_blocks", "converted")
def test_a_journal_changed_by_one_digit_is_not_believed(raw: Path, tmp_path: Path) -> None:
    whole = run(raw, tmp_path / "whole.h5")
    interrupt(raw, tmp_path / "a.h5", 5)
    log = tmp_path / "a.h5.part" / "journal"
    log.write_bytes(log.read_bytes().replace(b'"label": 0', b'"label": 7', 1))
    assert run(raw, tmp_path / "a.h5").content_hash == whole.content_hash


@pytest.mark.usefixtures("small_blocks")
def test_rows_that_change_while_the_store_is_written(raw: Path, tmp_path: Path) -> None:
    interrupt(raw, tmp_path / "a.h5", 5)
    sequences = Journal.sequences

    def spoil(journal: Journal) -> Iterator[SkeletonSequence]:
        wild_rows(tmp_path / "a.h5.part")
        return sequences(journal)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "sequences", spoil)
        with pytest.raises(SkelkitError, match="rows are damaged; convert again with --fresh"):
            run(raw, tmp_path / "a.h5")
    assert not (tmp_path / "a.h5").exists()
    assert run(raw, tmp_path / "a.h5", fresh=True).kept == 40


@pytest.mark.parametrize("change", ["files", "recipe", "dataset", "fresh"])
@pytest.mark.usefixtures("small_blocks")
def test_what_another_conversion_has_done_is_forgotten_only_when_asked(
    raw: Path, tmp_path: Path, change: str, converted: list[str]
) -> None:
    out = tmp_path / "a.h5"
    interrupt(raw, out, 5)
    options: dict[str, Any] = {}
    match change:
        case "files":
            for path in raw.iterdir():
                path.rename(path.with_name(path.name.replace("S001", "S002")))
        case "recipe":
            options["recipe"] = "raw"
        case "dataset":
            options["dataset"] = "ntu120"
    converted.clear()
    if change != "fresh":
        said = rf"a\.h5\.part: an interrupted conversion with other {change}.*; --fresh forgets it"
        with pytest.raises(SkelkitError, match=said):
            run(raw, out, **options)
    assert not converted
    report = run(raw, out, fresh=True, **options)
    assert len(converted) == len(list(raw.iterdir()))
    assert report.content_hash == run(raw, tmp_path / "b.h5", **options).content_hash


def change_one(raw: Path) -> str:
    data = (raw / GOOD).read_bytes()
    (raw / GOOD).write_bytes(data.replace(b".1", b".2"))
    return f"note: changed since the interruption: {GOOD}\n"


def remove_one(raw: Path) -> str:
    (raw / GOOD).unlink()
    return f"note: not given any more since the interruption: {GOOD}\n"


def add_one(raw: Path) -> str:
    (raw / GOOD.replace("A001", "A002")).write_bytes((raw / GOOD).read_bytes())  # among those done
    return ""


def spoil_one(raw: Path) -> str:
    (raw / GOOD).write_bytes(b"no number\n")
    return f"note: changed since the interruption: {GOOD}\n"


@pytest.mark.parametrize(
    ("change", "again"), [(change_one, 24), (remove_one, 23), (add_one, 25), (spoil_one, 24)]
)
@pytest.mark.usefixtures("small_blocks")
def test_files_that_change_after_an_interruption_are_converted_again_and_no_others_of_those_done(
    raw: Path,
    tmp_path: Path,
    change: Any,
    again: int,
    converted: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "a.h5"
    interrupt(raw, out, 5)
    said = change(raw)
    whole = run(raw, tmp_path / "whole.h5")
    converted.clear()
    report = convert(raw, out, dataset="ntu60")
    assert len(converted) == again
    errors = capsys.readouterr().err
    assert said in errors
    assert ("note:" in errors) == bool(said)
    assert report.content_hash == whole.content_hash
    assert (report.excluded, report.quarantined) == (whole.excluded, whole.quarantined)
    assert out.read_bytes() == (tmp_path / "whole.h5").read_bytes()


@pytest.mark.usefixtures("small_blocks")
def test_a_file_changed_and_changed_back_is_taken_from_the_journal_once(
    raw: Path, tmp_path: Path, converted: list[str]
) -> None:
    whole = run(raw, tmp_path / "whole.h5").content_hash
    out, status = tmp_path / "a.h5", (raw / GOOD).stat()
    data = (raw / GOOD).read_bytes()
    interrupt(raw, out, 5)
    change_one(raw)
    interrupt(raw, out, 6)
    converted.clear()
    interrupt(raw, out, 6)
    assert len(converted) == 4, "the next block alone: the changed one is in the journal as it is now"
    (raw / GOOD).write_bytes(data)
    os.utime(raw / GOOD, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert run(raw, out).content_hash == whole


@pytest.mark.parametrize("failure", [UnreadableError(GOOD, "cannot be read: I/O error"), MemoryError()])
@pytest.mark.usefixtures("small_blocks")
def test_a_file_that_could_not_be_read_for_a_while_is_tried_again(
    raw: Path, tmp_path: Path, converted: list[str], monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    whole = run(raw, tmp_path / "whole.h5")
    read = RawFile.read

    def away(file: RawFile, most: int = -1) -> bytes:
        if file.name == GOOD:
            raise failure
        return read(file, most)

    out = tmp_path / "a.h5"
    with monkeypatch.context() as patch:
        patch.setattr(RawFile, "read", away)
        interrupt(raw, out, 3)
    converted.clear()
    report = run(raw, out)
    assert len(converted) == 40 - 2 * 4
    assert (report.content_hash, report.quarantined) == (whole.content_hash, [])


@pytest.mark.usefixtures("small_blocks", "converted")
def test_a_file_taken_away_and_put_back_is_stored_once(raw: Path, tmp_path: Path) -> None:
    whole = run(raw, tmp_path / "whole.h5")
    out = tmp_path / "a.h5"
    interrupt(raw, out, 5)
    (raw / GOOD).rename(tmp_path / GOOD)
    interrupt(raw, out, 6)
    (tmp_path / GOOD).rename(raw / GOOD)
    report = run(raw, out)
    assert out.read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert report.found == whole.found == 40


@pytest.mark.usefixtures("small_blocks")
def test_what_has_changed_is_told_once(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    interrupt(raw, tmp_path / "a.h5", 5)
    remove_one(raw)
    interrupt(raw, tmp_path / "a.h5", 6)
    capsys.readouterr()
    assert convert(raw, tmp_path / "a.h5", dataset="ntu60").kept == 39
    assert "note:" not in capsys.readouterr().err


@pytest.mark.usefixtures("small_blocks")
def test_a_store_is_replaced_by_one_of_other_files_only_when_asked(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.h5"
    run(raw, out)
    before = out.read_bytes()
    interrupt(raw, out, 5, overwrite=True)
    remove_one(raw)
    with pytest.raises(SkelkitError, match="exists already; --overwrite replaces it"):
        run(raw, out)
    assert out.read_bytes() == before
    assert run(raw, out, overwrite=True).kept == 39


@pytest.mark.usefixtures("small_blocks")
def test_what_another_conversion_left_behind_does_not_allow_to_replace_a_store(
    raw: Path, tmp_path: Path, tiny: bytes
) -> None:
    out = tmp_path / "a.h5"
    kept = run(raw, out).content_hash
    interrupt(raw, out, 3, overwrite=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "S001C001P001R009A009.skeleton").write_bytes(tiny)
    with pytest.raises(SkelkitError, match="exists already; --overwrite replaces it"):
        run(other, out)
    assert verify(out) == []
    assert run(raw, out).content_hash == kept, "the same files go on where they were"


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.usefixtures("small_blocks")
def test_one_conversion_at_a_time(raw: Path, tmp_path: Path, fresh: bool) -> None:
    out = tmp_path / "a.h5"
    interrupt(raw, out, 5)
    before = {path.name: path.read_bytes() for path in (tmp_path / "a.h5.part").iterdir()}
    job = conversion.Job("ntu60", "isc")
    inputs = gather([raw], DATASETS["ntu60"])
    with Journal(out, job, inputs, fresh=False):
        with pytest.raises(SkelkitError, match="another conversion is writing this store"):
            run(raw, out, fresh=fresh)
        assert {path.name: path.read_bytes() for path in (tmp_path / "a.h5.part").iterdir()} == before
    assert run(raw, out, fresh=fresh).kept == 40
