"""convert: bad files are named and the rest is converted; what cannot be written is one line."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import naive
import pytest
from conversions import GOOD, interrupt, run

from skelkit import blocks
from skelkit.errors import InputError, SkelkitError
from skelkit.readers import ntu
from skelkit.sequence import SkeletonSequence

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


def test_a_broken_archive_is_named_and_the_other_sources_are_converted(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK no")
    report = run([tmp_path / "bad.zip", raw], tmp_path / "a.h5")
    assert (report.found, report.kept) == (41, 40)
    assert [row["file"] for row in report.quarantined] == [str(tmp_path / "bad.zip")]
    assert "not a readable zip archive" in report.quarantined[0]["reason"]
    with pytest.raises(InputError, match="not a readable zip archive"):
        run([tmp_path / "bad.zip", raw], tmp_path / "b.h5", stop_on_bad=True)


def test_coordinates_too_large_to_normalise(raw: Path, tmp_path: Path) -> None:
    joints: list[list[object]] = [["3e38" if v % 2 else "-3e38", "1", "2"] for v in range(25)]
    (raw / "S001C001P001R001A050.skeleton").write_bytes(naive.skeleton_text([[(1, joints)]]))
    report = run(raw, tmp_path / "a.h5")
    assert report.kept == 40
    assert "cannot be normalised" in report.quarantined[0]["reason"]


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


def test_a_name_that_looks_like_a_path(raw: Path, tmp_path: Path) -> None:
    (raw / f"zz!{GOOD}").write_bytes(b"0\n")
    report = run(raw, tmp_path / "a.h5")
    assert report.kept == 40
    assert [row["file"] for row in report.quarantined] == [str(raw / f"zz!{GOOD}")]


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


def test_nothing_left_to_store(tmp_path: Path, tiny: bytes) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "S001C001P001R001A061.skeleton").write_bytes(tiny)
    (folder / GOOD).write_bytes(b"1\nx\n")
    said = r"1 excluded, 1 quarantined; first .*A001\.skeleton, line 2: found 'x'.*"
    with pytest.raises(SkelkitError, match=rf"{said}; all are in .*a\.report\.json$"):
        run(folder, tmp_path / "a.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.report.json", "raw"]
    report = json.loads((tmp_path / "a.report.json").read_text())
    assert (report["found"], report["kept"], report["content_hash"]) == (2, 0, None)
    assert [row["name"] for row in report["excluded"]] == ["S001C001P001R001A061"]
    assert [row["line"] for row in report["quarantined"]] == [2]


def test_nothing_left_to_store_leaves_the_store_before_and_its_report(
    raw: Path, tmp_path: Path, tiny: bytes
) -> None:
    run(raw, tmp_path / "a.h5")
    before = [path.read_bytes() for path in (tmp_path / "a.h5", tmp_path / "a.report.json")]
    other = tmp_path / "other"
    other.mkdir()
    (other / "S001C001P001R001A061.skeleton").write_bytes(tiny)
    with pytest.raises(
        SkelkitError, match=r"nothing to store: 1 excluded, 0 quarantined; first .*120 has it$"
    ):
        run(other, tmp_path / "a.h5", overwrite=True)
    assert before == [path.read_bytes() for path in (tmp_path / "a.h5", tmp_path / "a.report.json")]
    assert not (tmp_path / "a.h5.part").exists()


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
