"""convert: equal to the paper's code through the whole chain; the same whatever the way; what is left out."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from conversions import interrupt, run
from numpy.typing import NDArray

from skelkit import conversion
from skelkit.datasets import DATASETS
from skelkit.errors import SkelkitError
from skelkit.inputs import gather
from skelkit.normalise import RECIPES
from skelkit.readers import ntu
from skelkit.skeleton import load_layout
from skelkit.store import Store, verify


def packed(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir(), reverse=True):
            archive.write(file, f"nturgb+d_skeletons/{file.name}")
    return path


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


def test_the_same_source_twice_counts_once(raw: Path, tmp_path: Path) -> None:
    report = run([raw, raw], tmp_path / "a.h5")
    assert (report.found, report.kept) == (40, 40)


def test_who_is_left_out_and_why(raw: Path, tmp_path: Path, tiny: bytes) -> None:
    names = ["S001C002P005R002A008", "S001C001P001R001A061", "S018C001P001R001A001", "S001C001P001R001A060"]
    for name in names:
        (raw / f"{name}.skeleton").write_bytes(tiny)
    (raw / "S001C001P001R001A030.skeleton").write_bytes(b"2\n0\n0\n")
    report = run(raw, tmp_path / "60.h5")
    assert (report.found, report.kept, report.quarantined) == (45, 41, [])
    assert {row["name"]: row["reason"] for row in report.excluded} == {
        names[0]: "on the list of samples with missing skeletons of NTU RGB+D 60",
        names[1]: "action 61 is not in NTU RGB+D 60, which has 1 to 60; NTU RGB+D 120 has it",
        names[2]: "setup 18 is not in NTU RGB+D 60, which has 1 to 17",
        "S001C001P001R001A030": "nobody in any frame",
    }
    report = run(raw, tmp_path / "120.h5", dataset="ntu120")
    assert (report.kept, [row["name"] for row in report.excluded]) == (43, ["S001C001P001R001A030", names[0]])


def test_an_existing_store_is_replaced_only_when_asked(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.h5"
    out.write_text("mine")
    with pytest.raises(SkelkitError, match="exists already; --overwrite replaces it"):
        run(raw, out)
    assert out.read_text() == "mine"
    run(raw, out, overwrite=True)
    assert verify(out) == []
