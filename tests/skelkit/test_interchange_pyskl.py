"""interchange.pyskl: pickles as PYSKL makes and reads them, in and out; and those that are not data."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from stores import Content, assert_same_sequences, contents

from skelkit.conversion import convert
from skelkit.errors import InputError
from skelkit.interchange import ImportReport, export_store, import_file
from skelkit.interchange.pickles import load_plain
from skelkit.skeleton import LAYOUTS, load_layout
from skelkit.store import Store

NTU = load_layout("ntu25")
A, B = "S001C001P001R001A001", "S002C003P004R002A050"


def keypoint(bodies: int = 1, frames: int = 3, joints: int = 25, coordinates: int = 3) -> NDArray[np.float16]:
    values = np.random.default_rng(frames).normal(0, 1, (bodies, frames, joints, coordinates))
    return values.astype(np.float16)


def annotation(name: str = A, **changed: Any) -> dict[str, Any]:
    good = {"frame_dir": name, "label": 0, "total_frames": 3, "keypoint": keypoint()}
    return {key: value for key, value in {**good, **changed}.items() if value is not None}


def content(*annotations: dict[str, Any], **split: list[str]) -> dict[str, Any]:
    return {"split": split, "annotations": list(annotations) or [annotation(B, label=49), annotation()]}


def imported(tmp_path: Path, value: Any, layout: str = "ntu25", protocol: int = 4) -> ImportReport:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value, protocol))
    return import_file(
        tmp_path / "x.pkl",
        tmp_path / "a.h5",
        load_layout(layout),
        format="pyskl",
        protocols={},
        overwrite=True,
    )


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_as_pyskl_makes_it(tmp_path: Path, protocol: int) -> None:
    two = np.asfortranarray(keypoint(2, 4))
    value = content(
        annotation(B, label=np.int64(49), keypoint=two, total_frames=4),
        annotation(),
        xsub_train=[A],
        xsub_val=[B],
        xview_train=[B],
        xview_test=[A],
    )
    assert imported(tmp_path, value, protocol=protocol).notes == ()
    with Store(tmp_path / "a.h5") as store:
        assert store.names == [A, B]
        assert store.label.tolist() == [0, 49]
        assert {name: part.tolist() for name, part in store.protocols.items()} == {
            "xsub": [1, 0],
            "xview": [0, 1],
        }
        assert {name: values.tolist() for name, values in store.columns.items()} == {
            "setup": [1, 2],
            "camera": [1, 3],
            "subject": [1, 4],
            "replication": [1, 2],
        }
        np.testing.assert_array_equal(store.sequence(0).joints[:, 0], keypoint()[0].astype(np.float32))
        np.testing.assert_array_equal(store.sequence(1).joints, two.swapaxes(0, 1).astype(np.float32))


def test_as_old_numpy_wrote_it(tmp_path: Path) -> None:
    data = pickle.dumps(content(annotation(label=np.int32(3))), 2)
    assert b"numpy._core.multiarray" in data
    (tmp_path / "x.pkl").write_bytes(data.replace(b"numpy._core.", b"numpy.core."))
    import_file(tmp_path / "x.pkl", tmp_path / "a.h5", NTU, format="pyskl", protocols={})
    with Store(tmp_path / "a.h5") as store:
        assert store.label.tolist() == [3]


def test_a_list_of_annotations_without_splits(tmp_path: Path) -> None:
    assert imported(tmp_path, [annotation("clip/1"), annotation("clip/2")]).kept == 2
    with Store(tmp_path / "a.h5") as store:
        assert (store.protocols, store.columns) == ({}, {})


def test_splits_by_other_names(tmp_path: Path) -> None:
    lists = {"train": [A], "val": [B], "train1": [B], "test1": [A], "train_day": [A], "val_day": [B]}
    report = imported(tmp_path, content(**lists, odd_train=[A], all=[A, B, "nobody"]))
    with Store(tmp_path / "a.h5") as store:
        assert {name: part.tolist() for name, part in store.protocols.items()} == {
            "split": [1, 0],
            "split1": [0, 1],
            "day": [1, 0],
        }
    pair = "no pair of ..._train and ..._val or ..._test"
    assert report.notes == (
        f"the split 'all' is left out: {pair}",
        f"the split 'odd_train' is left out: {pair}",
        "1 names in the splits are not among the annotations",
    )


def test_two_dimensional_poses(tmp_path: Path) -> None:
    flat = keypoint(2, 3, 17, 2)
    report = imported(
        tmp_path,
        content(annotation(keypoint=flat, keypoint_score=flat[..., 0], img_shape=(1080, 1920))),
        layout="coco17",
    )
    assert report.notes == (
        "1 with two-dimensional keypoints: x and y as in the file, in pixels, z is 0",
        "1 with keypoint_score, which a store does not keep",
    )
    with Store(tmp_path / "a.h5") as store:
        joints = store.sequence(0).joints
    np.testing.assert_array_equal(joints[..., :2], flat.swapaxes(0, 1).astype(np.float32))
    assert not joints[..., 2].any()


def test_nobody_in_any_frame(tmp_path: Path) -> None:
    report = imported(tmp_path, content(annotation(), annotation(B, keypoint=keypoint() * 0)))
    assert report.kept == 1
    assert report.notes == (f"1 left out, nobody in any frame: {B}",)


NAN = keypoint()
NAN[0, 2, 3, 1] = np.nan


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "no list of annotations, expected"),
        ({}, "no list of annotations"),
        ({"annotations": {"a": 1}}, "no list of annotations"),
        ("text", "no list of annotations"),
        ([1], "an annotation is no dict"),
        (content(annotation(), annotation()), f"the name {A} occurs 2 times"),
        (content(annotation(frame_dir=3)), "found a name that is of type int"),
        (
            content(annotation(frame_dir=None)) | {"annotations": [{"label": 1}]},
            "a name that is of type NoneType",
        ),
        (content(annotation(frame_dir="")), "found a name that is empty"),
        (content(annotation("a\0b")), r"the name 'a.x00b' has a character that is no text"),
        (content(annotation(label=None)), f"{A}: the label is a NoneType, expected a whole number"),
        (content(annotation(label=[1, 2])), "the label is a list"),
        (content(annotation(label=-2)), "the label is out of range"),
        (content(annotation(label=10**40)), "the label is out of range"),
        (content(annotation(keypoint=None)), f"{A}: no keypoint, expected an array"),
        (content(annotation(keypoint=[[1]])), "keypoint is a list"),
        (
            content(annotation(keypoint=keypoint()[0])),
            r"keypoint is float16 \(3, 25, 3\), expected float \(M, T, 25",
        ),
        (content(annotation(keypoint=keypoint(joints=17))), r"\(1, 3, 17, 3\), expected .* as in ntu25"),
        (content(annotation(keypoint=keypoint().astype(int))), "keypoint is int64"),
        (content(annotation(keypoint=NAN)), f"{A}: a coordinate is not a finite float32"),
        (content(annotation(total_frames=4)), "keypoint has 3 frames, not as many as total_frames says"),
        (content() | {"split": [A]}, "split is no dict of names"),
        ({**content(), "split": {"xsub_train": A}}, "the split 'xsub_train' is no list of names"),
        ({**content(), "split": {"xsub_train": [1]}}, "the split 'xsub_train' is no list of names"),
        (
            content(xsub_train=[A, B], xsub_val=[B]),
            f"'{B}' is both in the split 'xsub_train' and in 'xsub_val'",
        ),
    ],
)
def test_what_is_told_in_one_line(tmp_path: Path, value: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        imported(tmp_path, value)
    assert str(caught.value).startswith(f"{tmp_path / 'x.pkl'}: ")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "a.h5").exists()


@settings(max_examples=40, deadline=None)
@given(contents())
def test_any_store_comes_back(random: Content) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, "a.h5"), Path(folder, "b.pkl")
        random.write(path)
        export_store(path, out, format="pyskl")
        import_file(out, Path(folder, "c.h5"), random.layout, format="pyskl", protocols={})
        with Store(path) as a, Store(Path(folder, "c.h5")) as b:
            assert_same_sequences(a, b, columns=False)
            np.testing.assert_array_equal(a.protocols["xsub"], b.protocols["xsub"])


@pytest.mark.parametrize("recipe", ["raw", "isc"])
def test_genuine_files_come_back(ntu_data: Path, tmp_path: Path, recipe: str) -> None:
    files = [ntu_data / "nturgbd_skeletons_sample.zip"]
    convert(files, tmp_path / "a.h5", dataset="ntu60", recipe=recipe, progress=False)
    export_store(tmp_path / "a.h5", tmp_path / "b.pkl", format="pyskl")
    import_file(tmp_path / "b.pkl", tmp_path / "c.h5", NTU, format="pyskl", protocols={})
    with Store(tmp_path / "a.h5") as a, Store(tmp_path / "c.h5") as b:
        assert len(a) == 56
        assert_same_sequences(a, b)
        assert {k: v.tolist() for k, v in a.protocols.items()} == {
            k: v.tolist() for k, v in b.protocols.items()
        }


def test_any_program_reads_what_is_exported(tmp_path: Path) -> None:
    """Nothing in the pickle that numpy 1 or 2 alone would know, and arrays that can be changed in place."""
    imported(tmp_path, content(annotation(), xsub_train=[A], xsub_val=[B]))
    export_store(tmp_path / "a.h5", tmp_path / "b.pkl", format="pyskl")
    data = (tmp_path / "b.pkl").read_bytes()
    assert b"_core" not in data
    assert b"numpy.core" not in data
    value = pickle.loads(data)
    assert value["split"] == {"xsub_train": [A], "xsub_val": []}
    (only,) = value["annotations"]
    assert (only["frame_dir"], only["label"], only["total_frames"]) == (A, 0, 3)
    assert (only["keypoint"].shape, only["keypoint"].dtype) == ((1, 3, 25, 3), np.float32)
    only["keypoint"] += 1


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.sampled_from([np.arange(6).reshape(2, 3), np.asfortranarray(np.eye(3)), np.zeros((0, 3), ">f2")])
    | st.sampled_from([np.array(["é", "b"]), np.array([b"a"]), np.array(1.5), np.array([True])]),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.tuples(inner).map(lambda pair: [pair[0], pair[0]])
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(plain, st.integers(0, 5))
def test_plain_data_is_read_as_pickle_reads_it(value: Any, protocol: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.pkl")
        path.write_bytes(pickle.dumps(value, protocol))
        assert_equal(load_plain(path), value)


def assert_equal(one: Any, other: Any) -> None:
    if isinstance(other, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(one, other)
    elif isinstance(other, list | tuple):
        assert type(one) is type(other)
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_equal(*pair)
    elif isinstance(other, dict):
        assert list(one) == list(other)
        for key in other:
            assert_equal(one[key], other[key])
    else:
        assert type(one) is type(other)
        assert one == other


class _Malice:
    """Calls a function when it is unpickled."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = call, arguments

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.mark.parametrize("protocol", range(6))
def test_a_malicious_pickle_is_not_run(tmp_path: Path, protocol: int) -> None:
    hit = tmp_path / "hit"
    for malice, said in (
        (_Malice(os.system, f"touch {hit}"), r"refused: it uses (posix|nt)\.system, and only plain data"),
        (
            _Malice(eval, f"open({str(hit)!r}, 'w')"),
            r"refused: it uses (builtins|__builtin__)\.eval, and only",
        ),
        (_Malice(np.load, str(hit)), r"refused: it uses numpy\.load"),
        (_Malice(np.frombuffer, b"12345678"), r"refused: it uses numpy\S*\.frombuffer"),
        (_Malice(getattr, "a", "upper"), r"refused: it uses \w+\.getattr"),
        (Path("x"), "refused: it uses pathlib"),
        ({1, 2}, "refused: it (uses .*set|holds more than plain data, the instruction EMPTY_SET)"),
        (np.array([{}], object), "refused: it has an array of neither numbers nor texts"),
        (np.datetime64("2020"), "refused: it has an array of neither numbers nor texts"),
        ({(1, 2): 3}, "refused: it has a dict with a key of type tuple"),
    ):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(content(annotation(label=malice)), protocol))
        with pytest.raises(InputError, match=said):
            import_file(tmp_path / "x.pkl", tmp_path / "a.h5", NTU, format="pyskl", protocols={})
    assert [path.name for path in tmp_path.iterdir()] == ["x.pkl"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a readable pickle"),
        (b"hello", "not a readable pickle"),
        (b"\x80\x04]", "not a readable pickle: pickle exhausted before seeing STOP"),
        (b"\x80\x04]]\x2e", "not a readable pickle"),
        (b"\x80\x04\x8e" + (2**60).to_bytes(8, "little") + b"x.", "not a readable pickle"),  # bytes8
        (b"\x80\x04]r\xff\xff\xff\xff.", "no list of annotations"),  # a memo place of 4 billion
        (b"\x80\x04(" * 9 + b".", "not a readable pickle"),
        (b"\x80\x04]c\nx\n.", "refused: it uses .x"),
        (b"\x80\x04]}b.", "refused: it sets the state of what is no array"),
        (b"\x80\x04])R.", "refused: it calls what is no function"),
        (
            b"\x80\x04cnumpy\ndtype\n\x8c\x02f4\x89\x88\x87R(K\x03\x8c\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb.",
            "no list",
        ),
        (
            b"\x80\x04cnumpy\nndarray\n(J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86\x8c\x02f4C\x04abcdtR.",
            "not a readable",
        ),
        (b"\x80\x04" + b")" + b"\x85" * 200_000 + b"K\x01\x86.", "no list of annotations"),  # a deep tuple
    ],
)
def test_pickles_made_by_hand(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "x.pkl").write_bytes(data)
    with pytest.raises(InputError, match=said):
        import_file(tmp_path / "x.pkl", tmp_path / "a.h5", NTU, format="pyskl", protocols={})


def test_every_layout_can_come_in(tmp_path: Path) -> None:
    for name in LAYOUTS:
        value = content(annotation(keypoint=keypoint(joints=load_layout(name).size)))
        assert imported(tmp_path, value, layout=name).kept == 1
