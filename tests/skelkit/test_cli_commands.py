"""cli: each command as a user meets it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import fails, only_json, skelkit


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    path = tmp_path / "x.npz"
    joints = np.random.default_rng(0).normal(0, 1, (70, 20, 3)).astype(np.float32)
    np.savez(path, joints=joints, length=[30, 40], name=["a", "b"], label=[0, 1], camera=[1, 2])
    return path


def test_convert_for_people(raw: Path, tmp_path: Path) -> None:
    (raw / "S001C001P001R001A061.skeleton").write_bytes(b"0\n")
    for number in range(41, 48):
        (raw / f"S001C001P001R001A0{number}.skeleton").write_bytes(b"1\nx\n")
    (raw / "notes.txt").write_text("")
    result = skelkit("convert", raw, "--dataset", "ntu60", "--workers", 1, "-o", tmp_path / "s.h5")
    assert result.exit_code == 0
    assert re.search(r"s\.h5: 40 sequences of 48 files in \d+\.\d s\n", result.stdout)
    why = "action 61 is not in NTU RGB+D 60, which has 1 to 60; NTU RGB+D 120 has it"
    assert f"excluded     1: {why} (S001C001P001R001A061)" in result.stdout
    assert "A041.skeleton, line 2: found 'x'" in result.stdout
    assert "quarantined  7, the first of them:" in result.stdout
    assert "ignored      1 other files" in result.stdout
    assert str(tmp_path / "s.report.json") in result.stdout
    assert "converting ntu60" in result.stderr


def test_convert_json(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.h5"
    sure = ["convert", raw, "--dataset", "ntu120", "--recipe", "raw", "--workers", 1]
    facts = only_json(skelkit(*sure, "-o", out, "--json"))
    assert facts.pop("out") == str(out)
    assert facts == json.loads((tmp_path / "s.report.json").read_text())


def test_a_file_name_that_is_no_text(raw: Path, tmp_path: Path) -> None:
    """A name in another encoding, and one with a line break, stop nothing."""
    try:
        raw.joinpath("caf\udce9.skeleton").write_bytes(b"0\n")
        raw.joinpath("two\nlines.skeleton").write_bytes(b"0\n")
    except OSError:
        pytest.skip("the file system refuses such a name")
    command = [sys.executable, "-m", "skelkit", "convert", str(raw), "--dataset", "ntu60", "--workers", "1"]
    done = subprocess.run([*command, "-o", str(tmp_path / "s.h5")], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"quarantined" in done.stdout


def test_convert_errors(raw: Path, tmp_path: Path, store: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK no")
    (raw / "S001C001P001R001A000.skeleton").write_bytes(b"0\n")
    sure = ["--dataset", "ntu60", "--workers", 1, "-o"]
    fails(skelkit("convert", tmp_path / "absent", *sure, tmp_path / "a.h5"), "no such file or folder")
    fails(
        skelkit("convert", tmp_path / "bad.zip", *sure, tmp_path / "a.h5"),
        r"bad\.zip: not a readable zip archive",
    )
    fails(skelkit("convert", raw, *sure, tmp_path / "absent" / "a.h5"), "the folder .*absent does not exist")
    fails(skelkit("convert", raw, *sure, store), "exists already")
    fails(skelkit("convert", raw, *sure, tmp_path / "a.h5", "--on-bad", "stop"), "A000.skeleton: the name is")
    assert not (tmp_path / "a.h5").exists()


def test_show(store: Path) -> None:
    assert "40 sequences of ntu60" in skelkit("show", store).stdout
    assert only_json(skelkit("show", store, "--json"))["sequences"] == 40
    name = "S001C001P001R001A001"
    assert f"{name}: drink water (label 0)" in skelkit("show", store, "--sample", name).stdout
    assert only_json(skelkit("show", store, "--sample", name, "--json"))["class"] == "drink water"
    fails(skelkit("show", store, "--sample", "S001C001P001R001A0"), "no sequence .* did you mean S001")
    fails(skelkit("show", store.with_name("absent.h5")), "no such file")


def test_verify_tells_of_joints_beyond_reach(npz: Path, tmp_path: Path) -> None:
    arrays = dict(np.load(npz))
    arrays["joints"][60] *= 1000
    np.savez(npz, **arrays)
    out = tmp_path / "far.h5"
    words = ["import", npz, "--from", "npz", "--skeleton", "kinect20", "-o", out]
    assert "b: a joint is" in skelkit(*words).stdout
    note = f"{out}: in 1 of 2 sequences a joint is more than 20 m away, expected metres; the first is b"
    first, second = skelkit("verify", out).stdout.splitlines()
    assert (first, second) == (f"{out}: intact, every byte is as it was written", f"  note  {note}")
    assert only_json(skelkit("verify", out, "--json"))["note"] == note
    assert note not in skelkit("verify", out, "-q").stdout


def test_verify(store: Path) -> None:
    assert skelkit("verify", store).stdout == f"{store}: intact, every byte is as it was written\n"
    facts = only_json(skelkit("verify", store, "--json"))
    assert facts == {"file": str(store), "intact": True, "problems": [], "note": None}
    data = bytearray(store.read_bytes())
    data[len(data) // 2] ^= 1
    store.write_bytes(data)
    assert skelkit("verify", store).exit_code == 1
    result = skelkit("verify", store, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["intact"] is False


def test_import(npz: Path, tmp_path: Path) -> None:
    sure = ["import", npz, "--from", "npz", "--skeleton"]
    rule = ["--protocol", "xview=camera:2", "-o", tmp_path / "a.h5"]
    assert "a.h5: 2 sequences" in skelkit(*sure, "kinect20", *rule).stdout
    facts = only_json(skelkit(*sure, "kinect20", *rule, "--overwrite", "--json"))
    shown = only_json(skelkit("show", tmp_path / "a.h5", "--json"))
    assert shown["protocols"] == {"xview": {"train": 1, "test": 1}}
    assert shown["content_hash"] == facts["content_hash"]
    fails(skelkit(*sure, "kinect20", *rule), "exists already")
    fails(skelkit(*sure, "ntu25", *rule, "--overwrite"), r"joints are \(70, 1, 20, 3\), expected")
    result = skelkit(*sure, "kinect21", *rule, "--overwrite")
    assert result.exit_code == 2
    assert "--skeleton: kinect21: no such joint layout" in result.stderr
    result = skelkit(*sure, "kinect20", "--protocol", "xview", "-o", tmp_path / "b.h5")
    assert result.exit_code == 2
    assert "--protocol: 'xview', expected NAME=COLUMN:VALUES" in result.stderr
    fails(skelkit(*sure, "kinect20", "--protocol", "x=day:1", "-o", tmp_path / "b.h5"), "no column 'day'")


def test_preview(store: Path, tmp_path: Path) -> None:
    name = "S001C001P001R001A001"
    out = tmp_path / "p.html"
    sure = ["augment", "preview", store, "--sample"]
    facts = only_json(skelkit(*sure, name, "--augment", "shear", "--seed", 3, "-o", out, "--json"))
    assert facts["seed"] == 3
    assert out.stat().st_size > 1000
    assert "shear" in skelkit(*sure, name, "--augment", "shear", "-o", out).stdout
    fails(skelkit(*sure, "nobody", "-o", out), "no sequence 'nobody'")


def test_synth_then_convert(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    facts = only_json(skelkit("synth", folder, "--classes", 2, "--subjects", 2, "--repeats", 1, "--json"))
    assert facts == {"directory": str(folder), "files": 12}
    out = tmp_path / "a.h5"
    report = only_json(skelkit("convert", folder, "--dataset", "ntu60", "-o", out, "--workers", 1, "--json"))
    assert (report["found"], report["kept"]) == (12, 12)
    result = skelkit("synth", folder)
    assert result.exit_code == 1
    assert "exists and is not an empty directory" in result.stderr
