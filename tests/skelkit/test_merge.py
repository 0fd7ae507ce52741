"""Shards and merging: the same content as in one go, and nothing forgotten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import skelkit

from skelkit.conversion import Report, convert
from skelkit.errors import SkelkitError
from skelkit.merging import merge
from skelkit.store import Store, verify


def run(raw: Path, out: Path, **options: Any) -> Report:
    return convert([raw], out, dataset="ntu60", progress=False, **options)


def shards(raw: Path, folder: Path, of: int, **options: Any) -> list[Path]:
    parts = [folder / f"part{index}.h5" for index in range(1, of + 1)]
    for index, part in enumerate(parts, 1):
        run(raw, part, shard=(index, of), **options)
    return parts


@pytest.mark.parametrize("of", [1, 3, 7])
def test_shards_merged_are_the_whole(raw: Path, tmp_path: Path, of: int) -> None:
    (raw / "S001C001P001R001A000.skeleton").write_bytes(b"0\n")
    (raw / "S001C001P001R001A061.skeleton").write_bytes(b"0\n")
    (raw / "notes.txt").write_text("mine")
    whole = run(raw, tmp_path / "whole.h5")
    parts = shards(raw, tmp_path, of)
    count, content_hash = merge(parts[::-1], tmp_path / "merged.h5", progress=False)
    assert (count, content_hash) == (40, whole.content_hash)
    assert (tmp_path / "merged.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert verify(tmp_path / "merged.h5") == []
    reports = [json.loads((tmp_path / f"{name}.report.json").read_text()) for name in ("whole", "merged")]
    assert {**reports[0], "seconds": 0} == {**reports[1], "seconds": 0}


def test_clips_in_shards(pku_raw: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"dataset": "pku2", "progress": False}
    whole = convert([pku_raw], tmp_path / "whole.h5", **options)
    parts = [tmp_path / f"{index}.h5" for index in (1, 2, 3, 4, 5)]
    for index, part in enumerate(parts, 1):
        convert([pku_raw], part, shard=(index, 5), **options)
    assert merge(parts, tmp_path / "merged.h5", progress=False) == (36, whole.content_hash)


def test_a_missing_shard(raw: Path, tmp_path: Path) -> None:
    parts = shards(raw, tmp_path, 4)
    with pytest.raises(SkelkitError, match="shards 2, 4 of 4 are missing; all are needed"):
        merge([parts[0], parts[2]], tmp_path / "a.h5", progress=False)
    assert not (tmp_path / "a.h5").exists()


def test_shards_that_do_not_belong_together(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.h5"
    parts = shards(raw, tmp_path, 2)
    run(raw, tmp_path / "raw2.h5", shard=(2, 2), recipe="raw")
    with pytest.raises(SkelkitError, match=r"raw2\.h5: its recipe differs from that of "):
        merge([parts[0], tmp_path / "raw2.h5"], out, progress=False)
    (raw / "S001C001P009R001A001.skeleton").write_bytes(next(raw.iterdir()).read_bytes())
    run(raw, tmp_path / "more2.h5", shard=(2, 2))
    with pytest.raises(SkelkitError, match=r"more2\.h5: a shard of another conversion"):
        merge([parts[0], tmp_path / "more2.h5"], out, progress=False)
    (tmp_path / "copy.h5").write_bytes(parts[0].read_bytes())
    with pytest.raises(SkelkitError, match=r"copy\.h5: shard 1 of 2, as "):
        merge([*parts, tmp_path / "copy.h5"], out, progress=False)
    run(raw, tmp_path / "whole.h5")
    with pytest.raises(SkelkitError, match=r"whole\.h5: not a shard, but others are"):
        merge([*parts, tmp_path / "whole.h5"], out, progress=False)


def test_stores_that_are_no_shards(raw: Path, tmp_path: Path) -> None:
    halves = [tmp_path / "one", tmp_path / "two"]
    for half, files in zip(halves, (sorted(raw.iterdir())[::2], sorted(raw.iterdir())[1::2]), strict=True):
        half.mkdir()
        for file in files:
            (half / file.name).write_bytes(file.read_bytes())
        run(half, half.with_suffix(".h5"))
    stores = [half.with_suffix(".h5") for half in halves]
    whole = run(raw, tmp_path / "whole.h5")
    assert merge(stores, tmp_path / "a.h5", progress=False) == (40, whole.content_hash)
    with pytest.raises(SkelkitError, match="S001C001P001R001A001 is in both "):
        merge([*stores, tmp_path / "whole.h5"], tmp_path / "b.h5", progress=False)
    with pytest.raises(SkelkitError, match="exists already; --overwrite replaces it"):
        merge(stores, tmp_path / "a.h5", progress=False)


def test_a_shard_knows_its_place(raw: Path, tmp_path: Path) -> None:
    run(raw, tmp_path / "a.h5", shard=(2, 3))
    with Store(tmp_path / "a.h5") as store:
        assert store.shard is not None
        assert (store.shard.index, store.shard.of) == (2, 3)
        assert store.names == sorted(path.stem for path in raw.iterdir())[1::3]


def test_the_commands(raw: Path, tmp_path: Path) -> None:
    def call(*arguments: object) -> tuple[int, str]:
        result = skelkit(*arguments)
        return result.exit_code, result.output

    for index in (1, 2):
        part = tmp_path / f"{index}.h5"
        code, text = call("convert", raw, "--dataset", "ntu60", "--shard", f"{index}/2", "-o", part)
        assert (code, f"shard {index}/2" in text) == (0, True)
    code, text = call("merge", tmp_path / "1.h5", tmp_path / "2.h5", "-o", tmp_path / "a.h5")
    assert (code, "40 sequences of 2 stores" in text) == (0, True)
    for wrong in ("0/2", "3/2", "2", "a/b", "1/0", "-1/2", "1/2/3"):
        code, text = call("convert", raw, "--dataset", "ntu60", f"--shard={wrong}", "-o", tmp_path / "b.h5")
        assert (code, "expected I/N with I from 1 to N" in text) == (2, True)


def test_what_is_left_out_and_quarantined_in_shards(raw: Path, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (raw / f"S001C001P00{number}R002A001.skeleton").write_bytes(b"1\nx\n")
    whole = run(raw, tmp_path / "whole.h5")
    merge(shards(raw, tmp_path, 3), tmp_path / "merged.h5", progress=False)
    merged = json.loads((tmp_path / "merged.report.json").read_text())
    assert merged["quarantined"] == whole.quarantined
    assert (merged["found"], merged["kept"]) == (43, 40)


def test_shards_of_which_nothing_is_kept(raw: Path, tmp_path: Path) -> None:
    for path in sorted(raw.iterdir())[2:]:
        path.unlink()
    (raw / "S001C003P003R001A061.skeleton").write_bytes(b"0\n")
    whole = run(raw, tmp_path / "whole.h5")
    parts = [tmp_path / f"{index}.h5" for index in (1, 2, 3, 4)]
    for index in (1, 2):
        run(raw, parts[index - 1], shard=(index, 4))
    with pytest.raises(SkelkitError, match="shards 3, 4 of 4 are missing"):
        merge(parts[:2], tmp_path / "a.h5", progress=False)
    for index in (3, 4):
        with pytest.raises(SkelkitError, match="nothing to store"):
            run(raw, parts[index - 1], shard=(index, 4))
    assert merge(parts[:2], tmp_path / "a.h5", progress=False) == (2, whole.content_hash)
    reports = [json.loads((tmp_path / f"{name}.report.json").read_text()) for name in ("whole", "a")]
    assert {**reports[0], "seconds": 0} == {**reports[1], "seconds": 0}


def test_a_report_of_another_store_goes(raw: Path, tmp_path: Path) -> None:
    parts = shards(raw, tmp_path, 2)
    run(raw, tmp_path / "a.h5")
    report = tmp_path / "part1.report.json"
    text = report.read_text()
    report.write_text("[]")
    with pytest.raises(SkelkitError, match=r"part1\.report\.json: not a report of a conversion"):
        merge(parts, tmp_path / "b.h5", progress=False)
    assert not (tmp_path / "b.h5").exists()
    report.unlink()
    merge(parts, tmp_path / "a.h5", progress=False, overwrite=True)
    assert not (tmp_path / "a.report.json").exists()
    report.write_text(text)
    merge(parts, tmp_path / "a.h5", progress=False, overwrite=True)
    assert (tmp_path / "a.report.json").exists()


@pytest.mark.parametrize("shard", [(0, 2), (3, 2), (-1, 2), (1, 0)])
def test_a_shard_that_is_none(raw: Path, tmp_path: Path, shard: tuple[int, int]) -> None:
    with pytest.raises(SkelkitError, match=r"shard is .*, expected \(I, N\), I from 1 to N"):
        run(raw, tmp_path / "a.h5", shard=shard)
