"""interchange: what all formats share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from commands import skelkit
from stores import assert_same_sequences

from skelkit import cli
from skelkit.cli.interchange import FORMAT_NAMES
from skelkit.datasets import parse_protocol
from skelkit.errors import SkelkitError, StoreError
from skelkit.interchange import EXPORTERS, IMPORTERS, export_store, import_file
from skelkit.skeleton import load_layout
from skelkit.store import Store

THREE = {"length": [2, 1, 3], "name": ["b", "c", "a"], "label": [4, 0, 2], "subject": [1, 2, 3]}
"""Sequences, but for their joints."""


OWN_LAYOUT = """
joints = ["hip", "chest", "head", "left hand", "right hand", "left foot", "right foot", "nose", "neck"]
bones = [[0, 1], [2, 1], [3, 1], [4, 1], [5, 0], [6, 0], [7, 2], [8, 2]]
mirror = [[3, 4], [5, 6]]
centre = 1
spine = [0, 1]
shoulders = [4, 3]
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three sequences of which two train, every coordinate 1.25; imported from x.npz beside it."""
    given, store = tmp_path / "x.npz", tmp_path / "a.h5"
    np.savez(given, joints=np.full((6, 2, 25, 3), 1.25, np.float32), **THREE)  # type: ignore[arg-type]
    protocols = dict([parse_protocol("xsub=subject:1-2")])
    import_file(given, store, load_layout("ntu25"), format="npz", protocols=protocols)
    return store


def run(*arguments: object) -> Any:
    result = skelkit(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("format", FORMAT_NAMES)
def test_a_layout_of_ones_own_all_the_way(tmp_path: Path, format: str) -> None:
    (tmp_path / "nine.toml").write_text(OWN_LAYOUT)
    joints = np.random.default_rng(0).normal(0, 1, (6, 2, 9, 3)).astype(np.float32)
    np.savez(tmp_path / "x.npz", joints=joints, **THREE)  # type: ignore[arg-type]
    own = ["--skeleton", tmp_path / "nine.toml", "--json"]
    rule, first = ["--protocol", "xsub=subject:1-2"], tmp_path / "a.h5"
    run("import", tmp_path / "x.npz", "--from", "npz", *own, *rule, "-o", first, "--recipe", "isc")
    export = ["export", first, "--to", format, "--protocol", "xsub", "-o", tmp_path / "xsub"]
    assert json.loads(run(*export, "--json"))["sequences"] == 3
    facts = json.loads(run("import", tmp_path / "xsub", "--from", format, *own, "-o", tmp_path / "b.h5"))
    assert facts["kept"] == 3
    with Store(first) as a, Store(tmp_path / "b.h5") as b:
        assert b.layout == a.layout == load_layout(str(tmp_path / "nine.toml"))
        assert b.part("xsub", train=True).shape == (2,)
        if format != "ctrgcn":
            assert_same_sequences(a, b, columns=False)


def test_the_formats_of_the_command_are_those_of_the_modules() -> None:
    assert tuple(IMPORTERS) == tuple(EXPORTERS) == FORMAT_NAMES
    assert isinstance(cli.main.commands["export"], click.Command)


@pytest.mark.parametrize("format", FORMAT_NAMES)
def test_a_rule_is_exported_where_the_format_has_one_split(store: Path, tmp_path: Path, format: str) -> None:
    out = tmp_path / "out"
    if format in ("npz", "pyskl"):
        with pytest.raises(SkelkitError, match=f"{format} keeps protocols by name, not 'subject:1'"):
            export_store(store, out, format=format, protocol="subject:1")
        assert not out.exists()
    else:
        assert export_store(store, out, format=format, protocol="subject:1").sequences == 3


def test_import_shows_the_first_of_many_notes(tmp_path: Path) -> None:
    far = {**dict.fromkeys(("length", "label"), np.ones(9, np.int64)), "name": np.array(list("abcdefghi"))}
    np.savez(tmp_path / "x.npz", joints=np.full((9, 25, 3), 99, np.float32), **far)  # type: ignore[arg-type]
    words = ["import", tmp_path / "x.npz", "--from", "npz", "--skeleton", "ntu25", "-o", tmp_path / "a.h5"]
    lines = [line.split(maxsplit=1)[1] for line in run(*words).splitlines() if " note " in line]
    assert lines[0] == "a: a joint is 99 m away, expected metres, at most 20"
    assert lines[5:] == ["and 4 more, which --verbose tells"]
    assert run(*words, "--overwrite", "--verbose").count("expected metres") == 9


def test_export_for_people(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.pkl"
    said = run("export", store, "--to", "pyskl", "-o", out)
    assert said == f"{out}: 3 sequences\n  note       the format keeps no columns: subject\n"


@pytest.mark.parametrize("format", FORMAT_NAMES)
def test_what_cannot_be_exported(store: Path, tmp_path: Path, format: str) -> None:
    out = tmp_path / "out"
    before = sorted(tmp_path.iterdir())
    for path, target, protocol, said in (
        (tmp_path / "absent.h5", out, "xsub", "absent.h5: no such file"),
        (tmp_path / "x.npz", out, "xsub", "x.npz: not a store"),
        (store, out, "xview", "no protocol 'xview'; it has xsub"),
        (store, out, "subject:9", "training part of subject:9 is empty"),
        (store, tmp_path / "absent" / "x", "xsub", "the folder .*absent does not exist"),
        (store, store, "xsub", "a.h5: exists already; --overwrite replaces it"),
    ):
        with pytest.raises(SkelkitError, match=said):
            export_store(path, target, format=format, protocol=protocol)
    with pytest.raises(SkelkitError, match="is the store itself"):
        export_store(store, store, format=format, protocol="xsub", overwrite=True)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("format", FORMAT_NAMES)
def test_a_damaged_store_leaves_nothing_behind(store: Path, tmp_path: Path, format: str) -> None:
    data = store.read_bytes()
    at = data.index(np.full((2, 25, 3), 1.25, np.float32).tobytes())
    store.write_bytes(data[: at + 9] + b"!" + data[at + 10 :])
    with pytest.raises(StoreError, match=r"sequence [abc] is damaged"):
        export_store(store, tmp_path / "out", format=format, protocol="xsub")
    assert sorted(tmp_path.iterdir()) == [store, tmp_path / "x.npz"]


@pytest.mark.parametrize("format", ["npz", "pyskl", "ctrgcn"])
def test_a_folder_in_the_way(store: Path, tmp_path: Path, format: str) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(SkelkitError, match="out: is a folder, expected the file"):
        export_store(store, tmp_path / "out", format=format, protocol="xsub", overwrite=True)
