"""interchange.ctrgcn: the npz of CTR-GCN, in and out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from stores import Content, assert_same_sequences, contents

from skelkit.conversion import convert
from skelkit.datasets import ListedSplit
from skelkit.errors import InputError, SkelkitError, StoreError
from skelkit.interchange import export_store, import_file
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import load_layout
from skelkit.store import Header, Store, write_store

NTU = load_layout("ntu25")


def x(*lengths: int, frames: int = 300) -> NDArray[np.float32]:
    """(N, 300, 150): two bodies in the lengths given, then zeros."""
    values = np.random.default_rng(len(lengths)).normal(0, 1, (len(lengths), frames, 150)).astype(np.float32)
    for row, length in zip(values, lengths, strict=True):
        row[length:] = 0
    return values


def arrays(**changed: Any) -> dict[str, Any]:
    good = {"x_train": x(300, 7), "y_train": np.eye(60)[[3, 59]], "x_test": x(1), "y_test": np.eye(60)[[0]]}
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def stored(tmp_path: Path, name: str = "NTU60_CS.npz", **changed: Any) -> tuple[str, ...]:
    """The notes on making a.h5."""
    np.savez(tmp_path / name, **arrays(**changed))
    return import_file(tmp_path / name, tmp_path / "a.h5", NTU, format="ctrgcn", protocols={}).notes


def test_as_ctrgcn_makes_it(tmp_path: Path) -> None:
    notes = stored(tmp_path)
    assert notes == ("names are made up, and a sequence ends at its last frame that is not all zero",)
    given = arrays()
    with Store(tmp_path / "a.h5") as store:
        assert store.names == ["test-00001", "train-00001", "train-00002"]
        assert store.frames.tolist() == [1, 300, 7]
        assert store.label.tolist() == [0, 3, 59]
        assert store.protocols["xsub"].tolist() == [0, 1, 1]
        second = given["x_train"][1, :7].reshape(7, 2, 25, 3)
        np.testing.assert_array_equal(store.sequence(2).joints, second)


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("NTU60_CV", "xview"),
        ("NTU120_CSub", "xsub"),
        ("NTU120_CSet", "xset"),
        ("ntu-xview", "xview"),
        ("a", "split"),
    ],
)
def test_the_file_names_the_protocol(tmp_path: Path, name: str, protocol: str) -> None:
    stored(tmp_path, f"{name}.npz")
    with Store(tmp_path / "a.h5") as store:
        assert list(store.protocols) == [protocol]


def test_one_body_plain_labels_and_compression(tmp_path: Path) -> None:
    alone = x(2, 9)[..., :75].astype(np.float64)
    np.savez_compressed(tmp_path / "x.npz", **arrays(x_train=alone, y_train=np.array([5, 6])))
    import_file(tmp_path / "x.npz", tmp_path / "a.h5", NTU, format="ctrgcn", protocols={})
    with Store(tmp_path / "a.h5") as store:
        assert store.bodies.tolist() == [2, 1, 1]
        assert store.label.tolist() == [0, 5, 6]
        np.testing.assert_array_equal(
            store.sequence(2).joints[:, 0], alone[1, :9].reshape(9, 25, 3).astype(np.float32)
        )


def test_nobody_in_any_frame(tmp_path: Path) -> None:
    assert stored(tmp_path, x_train=x(0, 4))[1:] == ("1 left out, nobody in any frame: train-00001",)
    with Store(tmp_path / "a.h5") as store:
        assert store.names == ["test-00001", "train-00002"]


NAN = x(4, 5)
NAN[1, 2, 3] = np.nan


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"x_test": None}, "no array 'x_test', expected x_train, y_train, x_test, y_test"),
        (
            {"x_train": x(4, 5)[..., :149]},
            r"x_train: is float32 \(2, 300, 149\), expected .* x 75\) for the 25",
        ),
        ({"x_train": x(4, 5)[0]}, r"is float32 \(300, 150\)"),
        ({"x_train": x(4, 5).astype(int)}, "is int64"),
        ({"x_train": np.asfortranarray(x(4, 5))}, "in Fortran order, expected numbers in C order"),
        ({"x_train": x(4, 5, 6)}, "has 3 sequences, but y_train has 2"),
        ({"x_train": x(4, 5)[:, :0]}, "has 0 bytes of float32, expected those of its shape"),
        ({"x_train": NAN}, "train-00002: a coordinate is not a finite float32"),
        ({"x_train": np.array([None])}, "not a readable array: it is object"),
        ({"y_train": np.zeros((2, 60))}, "row 0 of y_train names 0 classes, expected one"),
        ({"y_train": np.ones((2, 60))}, "row 0 of y_train names 60 classes"),
        ({"y_train": np.array([1, -1])}, "y_train has -1, expected classes from 0"),
        ({"y_train": np.array(["a", "b"])}, "y_train is <U1"),
        ({"y_train": np.array([None, 1])}, "not a readable npz: Object arrays"),
    ],
)
def test_what_is_told_in_one_line(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        stored(tmp_path, **changed)
    assert str(caught.value).startswith(str(tmp_path / "NTU60_CS.npz"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "a.h5").exists()


def test_a_cut_or_damaged_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **arrays())
    data = (tmp_path / "x.npz").read_bytes()
    flipped = bytearray(data)
    flipped[5000] ^= 1
    for damage, said in ((data[:5000], "not an .npz"), (bytes(flipped), "Bad CRC-32")):
        (tmp_path / "x.npz").write_bytes(damage)
        with pytest.raises(InputError, match=said):
            import_file(tmp_path / "x.npz", tmp_path / "a.h5", NTU, format="ctrgcn", protocols={})


def test_a_protocol_needs_a_column(tmp_path: Path) -> None:
    from skelkit.datasets import Protocol

    np.savez(tmp_path / "x.npz", **arrays())
    rules = {"xsub": Protocol("subject", frozenset([1]))}
    with pytest.raises(SkelkitError, match=r"has no column 'subject'; it has none"):
        import_file(tmp_path / "x.npz", tmp_path / "a.h5", NTU, format="ctrgcn", protocols=rules)


@settings(max_examples=40, deadline=None)
@given(contents(unknown_labels=False))
def test_any_store_comes_back(random: Content) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, "a.h5"), Path(folder, "any_xsub.npz")
        random.write(path)
        export_store(path, out, format="ctrgcn", protocol="xsub")
        import_file(out, Path(folder, "c.h5"), random.layout, format="ctrgcn", protocols={})
        with Store(path) as a, Store(Path(folder, "c.h5")) as b:
            for train in (True, False):
                pairs = zip(a.part("xsub", train), b.part("xsub", train), strict=True)
                for one, other in ((a.sequence(int(i)), b.sequence(int(j))) for i, j in pairs):
                    np.testing.assert_array_equal(one.joints, other.joints)
                    np.testing.assert_array_equal(one.present, other.present)
                    assert one.label == other.label


def test_genuine_files_as_ctrgcn_reads_them(ntu_data: Path, tmp_path: Path) -> None:
    archives = [ntu_data / "nturgbd_skeletons_sample.zip", ntu_data / "edge_cases.zip"]
    convert(archives, tmp_path / "a.h5", dataset="ntu60", recipe="isc", progress=False)
    export_store(tmp_path / "a.h5", tmp_path / "NTU60_CSet.npz", format="ctrgcn", protocol="xset")
    with Store(tmp_path / "a.h5") as store, np.load(tmp_path / "NTU60_CSet.npz") as exported:
        places = store.part("xset", train=True)
        assert exported["x_train"].shape == (len(places), 300, 150)
        assert exported["x_train"].dtype == np.float32
        assert exported["y_train"].shape == (len(places), 60)
        np.testing.assert_array_equal(np.where(exported["y_train"] > 0)[1], store.label[places])
        for n, row in zip(places, exported["x_train"].reshape(-1, 300, 2, 25, 3), strict=True):
            given = store.sequence(int(n)).joints
            np.testing.assert_array_equal(row[: len(given), : given.shape[1]], given)
            assert not row[len(given) :].any()


def test_what_the_format_cannot_hold(tmp_path: Path) -> None:
    def sequence(name: str, frames: int, bodies: int, label: int) -> SkeletonSequence:
        joints = np.full((frames, bodies, 25, 3), 1.5, np.float32)
        return SkeletonSequence(joints, np.ones((frames, bodies), np.bool_), name, label, {"day": 1})

    def split(*test: str) -> ListedSplit:
        return ListedSplit(frozenset("a"), frozenset(test), "lists.txt")

    sequences = [sequence("a", 310, 3, 0), sequence("b", 2, 1, 1), sequence("c", 1, 1, -1)]
    header = Header(
        "x", NTU, {"name": "raw", "steps": []}, (), {"s": split("b"), "t": split("c"), "u": split("x")}
    )
    write_store(tmp_path / "a.h5", sequences, header)
    with pytest.raises(SkelkitError, match=r"--protocol is needed; .* has s, t, u"):
        export_store(tmp_path / "a.h5", tmp_path / "x.npz", format="ctrgcn")
    with pytest.raises(SkelkitError, match="c has label -1, and the format needs classes 0 to 9999"):
        export_store(tmp_path / "a.h5", tmp_path / "x.npz", format="ctrgcn", protocol="t")
    with pytest.raises(StoreError, match="the test part of u is empty"):
        export_store(tmp_path / "a.h5", tmp_path / "x.npz", format="ctrgcn", protocol="u")
    written = export_store(tmp_path / "a.h5", tmp_path / "x.npz", format="ctrgcn", protocol="s")
    assert written.sequences == 2
    assert written.notes == (
        "the format keeps no names",
        "the format keeps no columns: day",
        "1 are in neither part",
        "1 with more than 2 bodies: the first 2 are kept",
    )
    with np.load(tmp_path / "x.npz") as exported:
        assert exported["x_train"].shape == exported["x_test"].shape == (1, 310, 150)
        assert (exported["x_train"] == 1.5).all()


def test_northwestern_ucla_comes_back(nucla: Path, tmp_path: Path) -> None:
    from skelkit.datasets import parse_protocol

    kinect, rules = load_layout("kinect20"), dict([parse_protocol("xview=camera:1,2")])
    import_file(nucla, tmp_path / "a.h5", kinect, format="npz", protocols=rules)
    export_store(tmp_path / "a.h5", tmp_path / "b_CV.npz", format="ctrgcn", protocol="xview")
    import_file(tmp_path / "b_CV.npz", tmp_path / "c.h5", kinect, format="ctrgcn", protocols={})
    export_store(tmp_path / "c.h5", tmp_path / "d_CV.npz", format="ctrgcn", protocol="xview")
    import_file(tmp_path / "d_CV.npz", tmp_path / "e.h5", kinect, format="ctrgcn", protocols={})
    with Store(tmp_path / "a.h5") as a, Store(tmp_path / "c.h5") as c, Store(tmp_path / "e.h5") as e:
        assert_same_sequences(c, e)
        for train in (True, False):
            before, after = a.part("xview", train), c.part("xview", train)
            assert a.frames[before].tolist() == c.frames[after].tolist()
            assert a.label[before].tolist() == c.label[after].tolist()
