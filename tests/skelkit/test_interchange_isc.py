"""interchange.isc: the folder of npy files of Skeleton-Contrastive, in and out, and its padding."""

from __future__ import annotations

import pickle
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from stores import Content, assert_same_sequences, contents

from skelkit.conversion import convert
from skelkit.datasets import ListedSplit
from skelkit.errors import InputError, SkelkitError
from skelkit.interchange import export_store, import_file
from skelkit.normalise import RECIPES
from skelkit.readers import ntu
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import load_layout
from skelkit.store import Header, Store, write_store

NTU = load_layout("ntu25")
FILES = ["data_joint.npy", "num_frame.npy", "label.pkl"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As the paper's code makes it: two samples that train, one that tests."""
    folder = tmp_path / "xsub"
    folder.mkdir()
    chance = np.random.default_rng(0)
    for part, names in (
        ("train", ["S001C002P002R001A003", "S001C001P001R001A002"]),
        ("val", ["S001C001P003R001A060"]),
    ):
        data = chance.normal(0, 1, (len(names), 3, 300, 25, 2)).astype(np.float32)
        np.save(folder / f"{part}_data_joint.npy", data)
        np.save(folder / f"{part}_num_frame.npy", np.arange(len(names)) + 5)
        labels = [int(name[-3:]) - 1 for name in names]
        (folder / f"{part}_label.pkl").write_bytes(
            pickle.dumps(([f"{name}.skeleton" for name in names], labels))
        )
    return folder


def stored(folder: Path) -> tuple[str, ...]:
    """The notes on making a.h5."""
    return import_file(folder, folder.parent / "a.h5", NTU, format="isc", protocols={}).notes


def test_as_the_papers_code_makes_it(folder: Path) -> None:
    assert stored(folder) == ()
    data = np.load(folder / "train_data_joint.npy")
    with Store(folder.parent / "a.h5") as store:
        assert store.names == ["S001C001P001R001A002", "S001C001P003R001A060", "S001C002P002R001A003"]
        assert store.frames.tolist() == [6, 5, 5]
        assert store.label.tolist() == [1, 59, 2]
        assert store.protocols["xsub"].tolist() == [1, 0, 1]
        assert store.columns["camera"].tolist() == [1, 1, 2]
        np.testing.assert_array_equal(store.sequence(0).joints, data[1, :, :6].transpose(1, 3, 2, 0))


def test_files_and_folders_of_other_names(folder: Path) -> None:
    other = folder.rename(folder.with_name("mine"))
    (other / "val_label.pkl").write_bytes(pickle.dumps((["b"], np.array([4]))))
    stored(other)
    with Store(folder.parent / "a.h5") as store:
        assert list(store.protocols) == ["split"]
        assert store.columns == {}
        assert store.label[store.place("b")] == 4


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("val_label.pkl", None, r"xsub: no file 'val_label.pkl' in it, expected train_data_joint.npy, "),
        ("train_label.pkl", [], "train_label.pkl: not a pair of names and labels"),
        ("train_label.pkl", (["a", "b"], [1]), "has 2 names, but 1 labels"),
        ("train_label.pkl", (["a", "b"], [1, "x"]), "b: the label is a str"),
        ("train_label.pkl", (["a", "a"], [1, 2]), "the name a occurs 2 times"),
        (
            "train_label.pkl",
            (["a", "S001C001P003R001A060"], [1, 2]),
            "xsub: the name S001C001P003R001A060 occurs 2",
        ),
        ("train_label.pkl", (["a", "b"], print), r"refused: it uses builtins\.print"),
        (
            "train_num_frame.npy",
            np.array([5]),
            r"num_frame.npy: is int64 \(1,\), expected \(2,\) whole numbers",
        ),
        ("train_num_frame.npy", np.array([5, 0]), "S001C001P001R001A002: num_frame is 0, expected 1 to 300"),
        ("train_num_frame.npy", np.array([301, 5]), "num_frame is 301, expected 1 to 300"),
        (
            "train_data_joint.npy",
            np.zeros((2, 3, 9, 24, 2)),
            r"is float64 \(2, 3, 9, 24, 2\), expected .* 25, bodies",
        ),
        ("train_data_joint.npy", np.zeros((1, 3, 9, 25, 2)), "has 1 sequences, but there are 2 names"),
        ("train_data_joint.npy", np.full((2, 3, 9, 25, 2), np.inf), "a coordinate is not a finite float32"),
    ],
)
def test_what_is_told_in_one_line(folder: Path, name: str, value: Any, said: str) -> None:
    (folder / name).unlink()
    if name.endswith(".npy"):
        np.save(folder / name, value)
    elif value is not None:
        (folder / name).write_bytes(pickle.dumps(value))
    with pytest.raises(InputError, match=said) as caught:
        stored(folder)
    assert str(caught.value).startswith(str(folder))
    assert not (folder.parent / "a.h5").exists()


def test_a_cut_file(folder: Path) -> None:
    path = folder / "val_data_joint.npy"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(
        InputError, match=r"val_data_joint\.npy: has 179996 bytes of float32, expected those of"
    ):
        stored(folder)


@settings(max_examples=40, deadline=None)
@given(contents())
def test_any_store_comes_back(random: Content) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, "a.h5"), Path(folder, "xsub")
        neither = frozenset(s.name for s in random.sequences) - random.split.train - random.split.test
        random = replace(random, split=replace(random.split, test=random.split.test | neither))
        random.write(path)
        export_store(path, out, format="isc", protocol="xsub")
        import_file(out, Path(folder, "c.h5"), random.layout, format="isc", protocols={})
        with Store(path) as a, Store(Path(folder, "c.h5")) as b:
            assert_same_sequences(a, b, columns=False)
            np.testing.assert_array_equal(a.protocols["xsub"], b.protocols["xsub"])


def exported(path: Path, out: Path, protocol: str) -> dict[str, NDArray[np.float32]]:
    """By name what `export` makes of the store: (3, 300, V, 2)."""
    export_store(path, out, format="isc", protocol=protocol)
    found: dict[str, NDArray[np.float32]] = {}
    for part in ("train", "val"):
        assert sorted(file.name for file in out.glob(f"{part}_*")) == sorted(
            f"{part}_{name}" for name in FILES
        )
        names, labels = pickle.loads((out / f"{part}_label.pkl").read_bytes())
        data = np.load(out / f"{part}_data_joint.npy")
        assert data.dtype == np.float32
        assert np.load(out / f"{part}_num_frame.npy").dtype == np.int64
        assert len(names) == len(labels) == len(data) == len(np.load(out / f"{part}_num_frame.npy"))
        found.update(zip(names, data, strict=True))
    return found


@pytest.fixture
def converted(ntu_data: Path, tmp_path: Path) -> Path:
    """All genuine files in the recipe isc."""
    archives = [ntu_data / "nturgbd_skeletons_sample.zip", ntu_data / "edge_cases.zip"]
    convert(archives, tmp_path / "a.h5", dataset="ntu60", recipe="isc", progress=False)
    return tmp_path / "a.h5"


def test_the_padding_is_that_of_the_papers_code(converted: Path, ntu_data: Path, tmp_path: Path) -> None:
    golden = ntu_data.parents[1] / "golden" / "normalised.npz"
    if not golden.exists():
        pytest.skip("needs ../shared/golden/normalised.npz, which is not on this machine")
    found = exported(converted, tmp_path / "xset", "xset")
    with np.load(golden) as arrays:
        names, padded = arrays["padded_name"].tolist(), arrays["padded_joints"]
    assert len(names) == 2
    for name, joints in zip(names, padded, strict=True):
        assert found[name].shape == (3, 300, 25, 2)
        np.testing.assert_allclose(found[name], joints, rtol=0, atol=1e-5)


def test_the_padding_is_that_of_the_recipe_on_300_frames(
    converted: Path, real_files: dict[str, bytes], tmp_path: Path
) -> None:
    """The paper's code fills gaps in one go with the padding: the recipe on a sequence of 300 frames."""
    found = exported(converted, tmp_path / "xset", "xset")
    assert len(found) == 61
    for name, joints in found.items():
        (data,) = (data for file, data in real_files.items() if file.startswith(name))
        raw = ntu.read(data, f"{name}.skeleton")
        more = 300 - raw.frames
        long = replace(
            raw,
            joints=np.pad(raw.joints, ((0, more), (0, 0), (0, 0), (0, 0))),
            present=np.pad(raw.present, ((0, more), (0, 0))),
            tracks=None,
        )
        expected = RECIPES["isc"].apply(long, NTU).joints.transpose(3, 0, 2, 1)
        # Of two bodies one came later than the other: the second then depends on what centring took away.
        bodies = 1 if name == "S001C001P001R002A050" else expected.shape[3]
        np.testing.assert_allclose(
            joints[..., :bodies], expected[..., :bodies], rtol=0, atol=1e-5, err_msg=name
        )


def test_genuine_files_come_back(converted: Path, tmp_path: Path) -> None:
    exported(converted, tmp_path / "xset", "xset")
    import_file(tmp_path / "xset", tmp_path / "b.h5", NTU, format="isc", protocols={})
    with Store(converted) as a, Store(tmp_path / "b.h5") as b:
        assert_same_sequences(a, b)
        np.testing.assert_array_equal(a.protocols["xset"], b.protocols["xset"])


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """Sequences of 310 frames with three bodies, and of 2 with one."""
    sequences = []
    for name, frames, bodies in (("a", 310, 3), ("b", 2, 1), ("c", 1, 1)):
        joints = np.arange(frames * bodies * 75, dtype=np.float32).reshape(frames, bodies, 25, 3) + 1
        sequences.append(SkeletonSequence(joints, np.ones((frames, bodies), np.bool_), name, 0))
    split = ListedSplit(frozenset("a"), frozenset("b"), "lists.txt")
    header = Header("x", NTU, {"name": "raw", "steps": []}, ("sit",), {"s": split})
    write_store(tmp_path / "a.h5", sequences, header)
    return tmp_path / "a.h5"


def test_what_the_format_cannot_hold(long: Path, tmp_path: Path) -> None:
    with pytest.raises(SkelkitError, match=r"--protocol is needed; .* has s"):
        export_store(long, tmp_path / "s", format="isc")
    written = export_store(long, tmp_path / "s", format="isc", protocol="s")
    assert written.notes == (
        "the format keeps no class names",
        "1 are in neither part",
        "1 with more than 2 bodies: the first 2 are kept",
        "1 with more than 300 frames: the first 300 are kept",
    )
    assert np.load(tmp_path / "s" / "train_num_frame.npy").tolist() == [300]
    with Store(long) as store:
        a, b, _ = store
    train, val = (np.load(tmp_path / "s" / f"{part}_data_joint.npy")[0] for part in ("train", "val"))
    np.testing.assert_array_equal(train, a.joints[:300, :2].transpose(3, 0, 2, 1))
    np.testing.assert_array_equal(val[..., 0], np.tile(b.joints[:, 0], (150, 1, 1)).transpose(2, 0, 1))
    assert not val[..., 1].any()


def test_a_folder_is_replaced_whole_and_only_when_it_is_ours(long: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    out.mkdir()
    (out / "train_label.pkl").write_text("old")
    with pytest.raises(SkelkitError, match="exists already; --overwrite replaces it"):
        export_store(long, out, format="isc", protocol="s")
    export_store(long, out, format="isc", protocol="s", overwrite=True)
    assert len(list(out.iterdir())) == 6
    assert pickle.loads((out / "train_label.pkl").read_bytes()) == (["a"], [0])
    (out / "thesis.tex").write_text("mine")
    with pytest.raises(SkelkitError, match=r"has 'thesis\.tex' in it, which is none of the files to replace"):
        export_store(long, out, format="isc", protocol="s", overwrite=True)
    assert len(list(out.iterdir())) == 7
    with pytest.raises(SkelkitError, match="is a file, expected a folder"):
        export_store(long, out / "thesis.tex", format="isc", protocol="s", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "s"]
