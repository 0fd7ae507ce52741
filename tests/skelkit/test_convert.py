"""convert: equal to the paper's code through the whole chain; the same whatever the way there; bad input."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest
from numpy.typing import NDArray

from skelkit import blocks, conversion
from skelkit.blocks import Block
from skelkit.conversion import Report, convert
from skelkit.datasets import DATASETS
from skelkit.errors import InputError, SkelkitError
from skelkit.inputs import gather
from skelkit.journal import Journal
from skelkit.normalise import RECIPES
from skelkit.readers import ntu
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import load_layout
from skelkit.store import Store, verify
from skelkit.workers import Processes

GOOD = "S001C001P001R001A001.skeleton"


def run(source: Path | list[Path], out: Path, dataset: str = "ntu60", **options: Any) -> Report:
    sources = source if isinstance(source, list) else [source]
    return convert(sources, out, dataset=dataset, progress=False, **options)


def packed(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir(), reverse=True):
            archive.write(file, f"nturgb+d_skeletons/{file.name}")
    return path


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four files a block, so that 40 files are ten blocks."""
    monkeypatch.setattr(conversion, "BLOCK_FILES", 4)


def test_the_real_files_come_out_as_the_papers_code_has_them(
    ntu_data: Path, golden_isc: Mapping[str, NDArray[np.float32]], tmp_path: Path
) -> None:
    out = tmp_path / "ntu.h5"
    report = run(sorted(ntu_data.glob("*.zip")), out)
    assert (report.found, report.kept, report.quarantined) == (62, 61, [])
    assert report.excluded == [{"name": "S001C001P001R002A008", "reason": "nobody in any frame"}]
    assert verify(out) == []
    with Store(out) as store:
        assert sorted(store.names) == sorted(golden_isc)
        assert store.content_hash == report.content_hash
        for sequence in store:
            expected = golden_isc[sequence.name][:, : sequence.bodies]
            np.testing.assert_allclose(sequence.joints, expected, rtol=0, atol=1e-5, err_msg=sequence.name)
            assert not golden_isc[sequence.name][:, sequence.bodies :].any()


def test_a_store_has_what_reader_and_recipe_give(raw: Path, tmp_path: Path) -> None:
    report = run(raw, tmp_path / "a.h5")
    assert (report.found, report.kept, report.excluded, report.quarantined) == (40, 40, [], [])
    with Store(tmp_path / "a.h5") as store:
        assert store.names == sorted(path.stem for path in raw.iterdir())
        for sequence in store:
            file = raw / f"{sequence.name}.skeleton"
            expected = RECIPES["isc"].apply(ntu.read(file.read_bytes(), file.name), load_layout("ntu25"))
            assert sequence.joints.tobytes() == expected.joints.tobytes()
            assert dict(sequence.columns) == dict(expected.columns)
            assert sequence.label == int(sequence.name[-3:]) - 1
        assert store.class_name(0) == "drink water"
        subject = store.columns["subject"]
        np.testing.assert_array_equal(store.protocols["xsub"], np.isin(subject, [1, 2, 4, 5]))
        np.testing.assert_array_equal(store.protocols["xview"], np.isin(store.columns["camera"], [2, 3]))
        assert not store.protocols["xset"].any(), "setup 1 tests"


def test_the_report_beside_the_store(raw: Path, tmp_path: Path) -> None:
    report = run(raw, tmp_path / "a.h5", recipe="raw")
    written = json.loads((tmp_path / "a.report.json").read_text())
    assert set(written) >= {"found", "kept", "excluded", "quarantined", "recipe", "seconds", "content_hash"}
    assert written["recipe"] == RECIPES["raw"].describe()
    assert (written["kept"], written["content_hash"]) == (40, report.content_hash)
    assert 0 < written["seconds"] < 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "a.report.json", "raw"]


@pytest.mark.usefixtures("small_blocks")
def test_the_same_content_whatever_the_way(raw: Path, tmp_path: Path) -> None:
    files = sorted(raw.iterdir())
    odd, even = tmp_path / "odd", tmp_path / "even"
    for folder, part in ((odd, files[1::2]), (even, files[::2])):
        folder.mkdir()
        for file in part:
            shutil.copy(file, folder)
    archive = packed(raw, tmp_path / "a.zip")
    ways: list[tuple[list[Path], int]] = [([raw], 1), ([archive], 1), ([archive], 2)]
    ways += [
        ([odd, even], 1),
        ([even, odd], 1),
        (files[::-1], 1),
        ([packed(odd, tmp_path / "b.zip"), even], 1),
    ]
    hashes = {
        run(sources, tmp_path / f"{n}.h5", workers=workers).content_hash
        for n, (sources, workers) in enumerate(ways)
    }
    assert len(hashes) == 1
    assert len({(tmp_path / f"{n}.h5").read_bytes() for n in range(len(ways))}) == 1
    assert run(raw, tmp_path / "raw.h5", recipe="raw").content_hash not in hashes


def test_large_files_make_small_blocks(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, converted: list[str]
) -> None:
    whole = run(raw, tmp_path / "whole.h5")
    sizes = sorted(path.stat().st_size for path in raw.iterdir())
    monkeypatch.setattr(conversion, "BLOCK_BYTES", 3 * sizes[-1])
    interrupt(raw, tmp_path / "a.h5", 0)
    converted.clear()
    blocks = conversion._in_blocks(gather([raw], DATASETS["ntu60"]).files)
    assert all(sum(item.file.size for item in block) <= 3 * sizes[-1] for block in blocks)
    assert 2 < len(blocks) < 40
    assert run(raw, tmp_path / "a.h5").content_hash == whole.content_hash


BAD: dict[str, tuple[bytes | None, int | None, str]] = {
    "S001C001P001R001A041.skeleton": (b"", 1, "the file is empty"),
    "S001C001P001R001A042.skeleton": (b"2\n1\n", 3, "the file ends here"),
    "S001C001P001R001A043.skeleton": (b"1\n1\n7 0 1 1 1 1 0 0 0 2\n24\n", 4, "the number of joints, 25"),
    "S001C001P001R001A044.skeleton": (b"1\none\n", 2, "found 'one'"),
    "S001C001P001R001A045.skeleton": (b"\x00\xff\xfe", 1, "expected the number of frames"),
    "notes.skeleton": (b"0\n", None, "expected SsssCcccPpppRrrrAaaa"),
}


def test_bad_files_are_named_and_the_rest_is_converted(raw: Path, tmp_path: Path) -> None:
    alone = run(raw, tmp_path / "alone.h5").content_hash
    for name, (data, _, _) in BAD.items():
        raw.joinpath(name).write_bytes(data or b"")
    raw.joinpath("readme.txt").write_text("hello")
    report = run(raw, tmp_path / "a.h5")
    assert (report.found, report.kept, report.excluded) == (46, 40, [])
    assert report.content_hash == alone
    assert report.ignored == [str(raw / "readme.txt")]
    rows = {Path(row["file"]).name: row for row in report.quarantined}
    assert set(rows) == set(BAD)
    for name, (_, line, reason) in BAD.items():
        assert rows[name]["line"] == line, name
        assert reason in rows[name]["reason"]
        assert set(rows[name]) == {"file", "line", "reason"}
    assert json.loads((tmp_path / "a.report.json").read_text())["quarantined"] == report.quarantined


def test_a_damaged_member_is_quarantined(raw: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(raw.iterdir())[:3]:
            archive.write(file, file.name)
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    report = run(path, tmp_path / "a.h5")
    assert (report.found, report.kept) == (3, 2)
    assert f"{path}!" in report.quarantined[0]["file"]
    assert "Bad CRC-32" in report.quarantined[0]["reason"]


def test_coordinates_too_large_to_normalise(raw: Path, tmp_path: Path) -> None:
    joints: list[list[object]] = [["3e38" if v % 2 else "-3e38", "1", "2"] for v in range(25)]
    (raw / "S001C001P001R001A050.skeleton").write_bytes(naive.skeleton_text([[(1, joints)]]))
    report = run(raw, tmp_path / "a.h5")
    assert report.kept == 40
    assert "cannot be normalised" in report.quarantined[0]["reason"]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.usefixtures("small_blocks")
def test_stop_at_the_first_bad_file(raw: Path, tmp_path: Path, workers: int) -> None:
    (raw / "S001C001P002R001A000.skeleton").write_bytes(b"0\n")
    (raw / "S001C001P002R001A041.skeleton").write_bytes(b"1\n")
    with pytest.raises(InputError, match=r"S001C001P002R001A000\.skeleton: the name is"):
        run(raw, tmp_path / "a.h5", stop_on_bad=True, workers=workers)
    assert not (tmp_path / "a.h5").exists()


@pytest.mark.usefixtures("small_blocks")
def test_stop_after_a_journal_that_has_a_bad_file(raw: Path, tmp_path: Path) -> None:
    (raw / "S001C001P001R001A000.skeleton").write_bytes(b"0\n")
    interrupt(raw, tmp_path / "a.h5", blocks=3)
    with pytest.raises(InputError, match="A000"):
        run(raw, tmp_path / "a.h5", stop_on_bad=True)


def test_a_name_that_occurs_twice(raw: Path, tmp_path: Path, tiny: bytes) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / GOOD).write_bytes(tiny)
    (other / "S001C001P001R001A002.SKELETON").write_bytes(tiny)
    (raw / "S001C001P001R001A002.skeleton").write_bytes(tiny)
    report = run([raw, other], tmp_path / "a.h5")
    assert (report.found, report.kept) == (43, 41)
    assert sorted(Path(row["file"]).stem[-4:] for row in report.quarantined) == ["A001", "A002"]
    assert all("the name occurs twice" in row["reason"] for row in report.quarantined)
    with pytest.raises(InputError, match="the name occurs twice"):
        run([raw, other], tmp_path / "b.h5", stop_on_bad=True)


def test_who_is_left_out_and_why(raw: Path, tmp_path: Path, tiny: bytes) -> None:
    names = ["S001C002P005R002A008", "S001C001P001R001A061", "S018C001P001R001A001", "S001C001P001R001A060"]
    for name in names:
        (raw / f"{name}.skeleton").write_bytes(tiny)
    (raw / "S001C001P001R001A030.skeleton").write_bytes(b"2\n0\n0\n")
    report = run(raw, tmp_path / "60.h5")
    assert (report.found, report.kept, report.quarantined) == (45, 41, [])
    assert {row["name"]: row["reason"] for row in report.excluded} == {
        names[0]: "on the list of samples with missing skeletons of NTU RGB+D 60",
        names[1]: "action 61 is not in NTU RGB+D 60, which has 1 to 60",
        names[2]: "setup 18 is not in NTU RGB+D 60, which has 1 to 17",
        "S001C001P001R001A030": "nobody in any frame",
    }
    report = run(raw, tmp_path / "120.h5", dataset="ntu120")
    assert (report.kept, [row["name"] for row in report.excluded]) == (43, ["S001C001P001R001A030", names[0]])


def test_nothing_left_to_store(tmp_path: Path, tiny: bytes) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "S001C001P001R001A061.skeleton").write_bytes(tiny)
    (folder / GOOD).write_bytes(b"1\nx\n")
    with pytest.raises(
        SkelkitError, match=r"1 excluded, 1 quarantined; first .*A001\.skeleton, line 2: found 'x'"
    ):
        run(folder, tmp_path / "a.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_where_the_store_cannot_go(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "b.h5.part").write_text("")
    for out, said in (
        (tmp_path / "absent" / "a.h5", "does not exist"),
        (tmp_path / "file" / "a.h5", "does not exist"),
        (tmp_path / "a.hdf5", r"must end in \.h5"),
        (tmp_path / "b.h5", "cannot write there"),
    ):
        with pytest.raises(SkelkitError, match=said) as caught:
            run(raw, out)
        assert str(out) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_folder_that_may_not_be_written(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(SkelkitError, match=r"a\.h5: cannot write there: Permission denied"):
        run(raw, tmp_path / "a.h5")


def test_a_report_that_cannot_be_written(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "a.report.json").mkdir()
    with pytest.raises(SkelkitError, match="cannot write the report"):
        run(raw, tmp_path / "a.h5")
    assert not list(tmp_path.glob(".a.*"))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kilobytes", [0, 4, 40, 100])
def test_a_full_disk(raw: Path, tmp_path: Path, kilobytes: int, workers: int) -> None:
    """The limit on a file's size stands for the disk: it hits the journal, its rows, or the store."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, kilobytes * 1024))

    out = tmp_path / "out" / "a.h5"
    out.parent.mkdir()
    command = [
        sys.executable,
        "-m",
        "skelkit",
        "convert",
        str(raw),
        "--dataset",
        "ntu60",
        "-o",
        str(out),
        f"--workers={workers}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, timeout=60)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert "File too large" in errors[0]
    assert {path.name for path in out.parent.iterdir()} <= {"a.h5.part"}
    assert run(raw, out).kept == 40


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


def test_a_broken_archive_is_named_and_the_other_sources_are_converted(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK no")
    report = run([tmp_path / "bad.zip", raw], tmp_path / "a.h5")
    assert (report.found, report.kept) == (41, 40)
    assert [row["file"] for row in report.quarantined] == [str(tmp_path / "bad.zip")]
    assert "not a readable zip archive" in report.quarantined[0]["reason"]
    with pytest.raises(InputError, match="not a readable zip archive"):
        run([tmp_path / "bad.zip", raw], tmp_path / "b.h5", stop_on_bad=True)


def test_the_same_source_twice_counts_once(raw: Path, tmp_path: Path) -> None:
    report = run([raw, raw], tmp_path / "a.h5")
    assert (report.found, report.kept) == (40, 40)


def test_an_existing_store_is_replaced_only_when_asked(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.h5"
    out.write_text("mine")
    with pytest.raises(SkelkitError, match="exists already; --overwrite replaces it"):
        run(raw, out)
    assert out.read_text() == "mine"
    run(raw, out, overwrite=True)
    assert verify(out) == []


# Interruption


class Killed(BaseException):
    pass


def interrupt(raw: Path, out: Path, blocks: int, overwrite: bool = False) -> None:
    """Convert up to some block, then stop as a kill would."""
    append = Journal.append

    def stop(journal: Journal, block: Block) -> Iterator[SkeletonSequence]:
        if journal.files_done == 4 * blocks:
            raise Killed
        return append(journal, block)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "append", stop)
        with pytest.raises(Killed):
            run(raw, out, overwrite=overwrite)
    assert (out.with_name(out.name + ".part") / "journal").exists()
    assert out.exists() == overwrite


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are converted from here on."""
    names: list[str] = []
    convert_block = blocks.convert_block

    def note(items: list[Any], job: Any) -> Block:
        names.extend(item.file.name for item in items)
        return convert_block(items, job)

    def in_process(processes: Processes[Block], blocks: list[Any], *_: object) -> Iterator[list[Block]]:
        yield from ([processes.work(block)] for block in blocks)

    monkeypatch.setattr(conversion, "convert_block", note)
    monkeypatch.setattr(blocks, "convert_block", note)
    monkeypatch.setattr(Processes, "results", in_process)
    return names


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
    raw: Path, tmp_path: Path, tiny: bytes, change: str, converted: list[str]
) -> None:
    out = tmp_path / "a.h5"
    interrupt(raw, out, 5)
    options: dict[str, Any] = {}
    match change:
        case "files":
            data = (raw / GOOD).read_bytes()
            (raw / GOOD).write_bytes(data.replace(b".1", b".2"))
            (raw / "S001C001P001R001A060.skeleton").write_bytes(tiny)
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


def many_files(path: Path) -> None:
    """800 of them, enough to be stopped midway."""
    joints = np.random.default_rng(0).normal(0, 1, (30, 25, 3)).round(6).tolist()
    data = naive.skeleton_text([[(1, pose)] for pose in joints])
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(800):
            archive.writestr(f"S001C{number % 3 + 1:03}P001R{number // 3 + 1:03}A001.skeleton", data)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_is_one_line(tmp_path: Path, workers: int) -> None:
    many_files(tmp_path / "raw.zip")
    out = tmp_path / "a.h5"
    command = [sys.executable, "-m", "skelkit", "convert", str(tmp_path / "raw.zip"), "--dataset", "ntu60"]
    command += ["-o", str(out), "--workers", str(workers)]
    # A terminal sends it to the whole group, workers included.
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    log = tmp_path / "a.h5.part" / "journal"
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_bytes().count(b"\n") > 2) and time.monotonic() < deadline:
        assert process.poll() is None, "finished before it could be interrupted"
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in errors
    assert re.search(r"\nError: interrupted, \d+ of 800 files done; the same command goes on", errors)
    assert not out.exists()


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_midway_and_started_again(tmp_path: Path, workers: int) -> None:
    many_files(tmp_path / "raw.zip")
    out = tmp_path / "a.h5"
    command = [sys.executable, "-m", "skelkit", "convert", str(tmp_path / "raw.zip"), "--dataset", "ntu60"]
    command += ["-o", str(out), "--json", "--workers"]
    log = tmp_path / "a.h5.part" / "journal"
    deadline = time.monotonic() + 120
    for many in (2, 5, 9):
        # Its own group, to see that no worker outlives the kill.
        process = subprocess.Popen(
            [*command, str(workers)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while not (log.exists() and log.read_bytes().count(b"\n") > many) and time.monotonic() < deadline:
            assert process.poll() is None, "finished before it could be killed"
            time.sleep(0.001)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        while _lives(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _lives(process.pid)
        assert not out.exists()
    lines = log.read_bytes().count(b"\n")
    done = subprocess.run([*command, "1"], capture_output=True, text=True, timeout=60, check=True)
    report = json.loads(done.stdout)
    assert lines > 9
    assert f"{32 * (lines - 1)}/800" in done.stderr, "took up where it was"
    assert verify(out) == []
    assert report["content_hash"] == run(tmp_path / "raw.zip", tmp_path / "b.h5").content_hash
    assert sorted(path.name for path in tmp_path.glob("a.*")) == ["a.h5", "a.report.json"]


@pytest.mark.usefixtures("small_blocks", "converted")
def test_a_journal_changed_by_one_digit_is_not_believed(raw: Path, tmp_path: Path) -> None:
    whole = run(raw, tmp_path / "whole.h5")
    interrupt(raw, tmp_path / "a.h5", 5)
    log = tmp_path / "a.h5.part" / "journal"
    log.write_bytes(log.read_bytes().replace(b'"label": 0', b'"label": 7', 1))
    assert run(raw, tmp_path / "a.h5").content_hash == whole.content_hash


def test_a_name_that_looks_like_a_path(raw: Path, tmp_path: Path) -> None:
    (raw / f"zz!{GOOD}").write_bytes(b"0\n")
    report = run(raw, tmp_path / "a.h5")
    assert report.kept == 40
    assert [row["file"] for row in report.quarantined] == [str(raw / f"zz!{GOOD}")]


def test_a_file_too_large_for_the_memory(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(data: bytes, file: str) -> SkeletonSequence:
        if GOOD in file:
            raise MemoryError
        return ntu.read(data, file)

    monkeypatch.setattr(blocks, "READERS", {"ntu60": greedy})
    report = run(raw, tmp_path / "a.h5")
    assert report.kept == 39
    assert report.quarantined == [
        {"file": str(raw / GOOD), "line": None, "reason": "takes more memory than there is"}
    ]
