"""interchange.npz: plain npz comes out of a store as it went in; a malformed one is told in one line."""

from __future__ import annotations

import random
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from stores import Content, contents

from skelkit.clips import ClipRules
from skelkit.conversion import convert
from skelkit.datasets import Protocol, parse_protocol
from skelkit.errors import InputError, SkelkitError
from skelkit.interchange import export_store, import_file, npz
from skelkit.normalise import RECIPES
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout, load_layout
from skelkit.store import Store, verify

NTU = load_layout("ntu25")


def read_npz(file: Path, layout: JointLayout) -> list[SkeletonSequence]:
    return list(npz.read(file, layout).sequences)


def import_npz(file: Path, out: Path, layout: JointLayout, **options: Any) -> tuple[int, str]:
    report = import_file(file, out, layout, format="npz", **options)
    return report.kept, report.content_hash


def arrays(**changed: Any) -> dict[str, NDArray[Any]]:
    """Three sequences of 2, 1 and 3 frames, two bodies, names not in order; None leaves an array out."""
    good = {
        "joints": np.random.default_rng(0).normal(0, 1, (6, 2, 25, 3)).astype(np.float32),
        "length": np.array([2, 1, 3], np.int32),
        "name": np.array(["b", "c", "a"]),
        "label": np.array([4, 0, -1], np.int16),
        "subject": np.array([1, 2, 3], np.int8),
    }
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def saved(path: Path, **changed: Any) -> Path:
    np.savez(path, **arrays(**changed))  # type: ignore[arg-type]
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.npz"


def test_round_trip(file: Path, tmp_path: Path) -> None:
    given = arrays()
    protocols = dict([parse_protocol("xsub=subject:1-2")])
    count, content = import_npz(saved(file), tmp_path / "a.h5", NTU, protocols=protocols)
    assert count == 3
    assert verify(tmp_path / "a.h5") == []
    with Store(tmp_path / "a.h5") as store:
        assert store.names == ["a", "b", "c"]
        assert store.label.tolist() == [-1, 4, 0]
        assert store.columns["subject"].tolist() == [3, 1, 2]
        assert store.protocols["xsub"].tolist() == [0, 1, 1]
        assert (store.content_hash, store.dataset, store.layout) == (content, "x", NTU)
        a, b, c = store
        np.testing.assert_array_equal(np.concatenate([b.joints, c.joints, a.joints]), given["joints"])


def test_millimetres_are_told(file: Path, tmp_path: Path) -> None:
    given = arrays()["joints"]
    assert import_file(saved(file), tmp_path / "a.h5", NTU, format="npz").notes == ()
    notes = import_file(saved(file, joints=1000 * given), tmp_path / "b.h5", NTU, format="npz").notes
    assert len(notes) == 3
    assert all("m away, expected metres" in note for note in notes)


def test_one_body_without_an_axis_for_it(file: Path) -> None:
    given = arrays()["joints"][:, 0]
    a, b, c = read_npz(saved(file, joints=given), NTU)
    assert [s.joints.shape for s in (a, b, c)] == [(3, 1, 25, 3), (2, 1, 25, 3), (1, 1, 25, 3)]
    np.testing.assert_array_equal(np.concatenate([b.joints, c.joints, a.joints])[:, 0], given)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_other_floats_become_float32(file: Path, dtype: Any) -> None:
    given = arrays()["joints"].astype(dtype)
    _, _, c = read_npz(saved(file, joints=given), NTU)
    assert c.joints.dtype == np.float32
    np.testing.assert_array_equal(c.joints, given[2:3].astype(np.float32))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_unsigned_lengths(file: Path, dtype: Any) -> None:
    lengths = [sequence.frames for sequence in read_npz(saved(file, length=np.array([2, 1, 3], dtype)), NTU)]
    assert lengths == [3, 2, 1]


def test_names_as_bytes(file: Path) -> None:
    assert [s.name for s in read_npz(saved(file, name=np.array([b"b", b"c", b"a"])), NTU)] == ["a", "b", "c"]


def test_a_body_of_zeros_is_absent(file: Path) -> None:
    joints = arrays()["joints"]
    joints[0, 1] = 0  # in one frame of b
    joints[2, 1] = 0  # in all frames of c
    _, b, c = read_npz(saved(file, joints=joints), NTU)
    assert b.present.tolist() == [[True, False], [True, True]]
    assert c.joints.shape == (1, 1, 25, 3)


def test_arrays_that_are_no_column_are_left_alone(file: Path) -> None:
    arrays = {"height": np.ones(3), "extra": np.arange(7), "camera": np.array([1, 2, 2])}
    (a, *_) = read_npz(saved(file, **arrays), NTU)
    assert dict(a.columns) == {"subject": 3, "camera": 2}


def test_arrays_that_are_no_column_and_classes_that_are_two_are_told(file: Path, tmp_path: Path) -> None:
    saved(file, subject=np.array(["x", "y", "x"]), class_name=np.array(["a", "b", "a", "c", "d"]))
    report = import_file(file, tmp_path / "a.h5", NTU, format="npz")
    no_column = "subject is <U1 (3,), expected (3,) whole numbers: not taken as a column"
    assert report.notes == (no_column, "class_name has 'a' more than once")
    with pytest.raises(SkelkitError, match=f"has no column 'subject'; it has none; {re.escape(no_column)}$"):
        import_npz(file, tmp_path / "b.h5", NTU, protocols={"xsub": Protocol("subject", frozenset([1]))})


def test_the_recipe_is_applied(file: Path, tmp_path: Path) -> None:
    import_npz(saved(file), tmp_path / "a.h5", NTU, protocols={}, recipe="isc")
    with Store(tmp_path / "a.h5") as store:
        assert store.recipe == RECIPES["isc"].describe()
        for sequence, given in zip(store, read_npz(file, NTU), strict=True):
            assert sequence.joints.tobytes() == RECIPES["isc"].apply(given, NTU).joints.tobytes()


def test_protocols_and_classes_of_ones_own(file: Path, tmp_path: Path) -> None:
    classes = np.array(["sit", "run", "jump", "fall", "wave"])
    saved(file, class_name=classes, protocol_name=["day"], protocol_part=[[0, 1, -1]])
    import_npz(file, tmp_path / "a.h5", NTU, protocols={})
    with Store(tmp_path / "a.h5") as store:
        assert store.classes == ("sit", "run", "jump", "fall", "wave")
        assert store.protocols["day"].tolist() == [-1, 0, 1]
        assert store.protocol_rules["day"].startswith("1 train and 1 test names listed in x.npz")


def test_a_protocol_on_the_command_line_goes_before_the_files(file: Path, tmp_path: Path) -> None:
    saved(file, protocol_name=["xsub"], protocol_part=[[0, 1, -1]])
    import_npz(file, tmp_path / "a.h5", NTU, protocols=dict([parse_protocol("xsub=subject:1")]))
    with Store(tmp_path / "a.h5") as store:
        assert store.protocols["xsub"].tolist() == [0, 1, 0]


WHOLE = np.ones((6, 2, 25, 3), np.float32)
NAN = WHOLE.copy()
NAN[3, 1, 2, 0] = np.nan
NOBODY = WHOLE.copy()
NOBODY[:2] = 0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"joints": None}, "no array 'joints', expected joints, length, name, label"),
        ({"length": None}, "no array 'length'"),
        ({"name": None}, "no array 'name'"),
        ({"label": None}, "no array 'label'"),
        ({"joints": WHOLE[..., :24, :]}, r"joints are \(6, 2, 24, 3\), expected .* 25, 3\) as in ntu25"),
        ({"joints": WHOLE[..., :2]}, "joints are"),
        ({"joints": np.float32(1)}, "joints are"),
        ({"joints": WHOLE.astype(int)}, "joints are int64, expected float32, in metres"),
        ({"joints": WHOLE.astype(complex)}, "joints are complex128"),
        ({"joints": NAN}, "a: a coordinate is not a finite float32"),
        ({"joints": WHOLE.astype(float) * 1e39}, "a coordinate is not a finite float32"),
        ({"joints": NOBODY}, "b: all coordinates are zero"),
        ({"length": np.array([2, 1, 4])}, "lengths sum to 7, but joints have 6 frames"),
        ({"length": np.array([3, 0, 3])}, "length of c is 0, expected 1 or more"),
        ({"length": np.array([7, -4, 3])}, "length of c is -4"),
        ({"length": np.array([2.0, 1.0, 3.0])}, "length is float64"),
        ({"length": np.array([2, 4])}, r"length is int64 \(2,\), expected \(3,\)"),
        (
            {"length": np.array([2**63 + 5, 1, 3], np.uint64)},
            "lengths? ",
        ),
        ({"name": np.array(["a", "b", "a"])}, "the name a occurs 2 times"),
        ({"name": np.array([1, 2, 3])}, "name is int64"),
        ({"name": np.array([["a", "b", "c"]])}, "name is"),
        ({"name": np.array("a")}, "name is"),
        ({"name": np.zeros(0, "U1")}, "name is"),
        ({"label": np.array([1.0, 2.0, 3.0])}, "label is float64"),
        ({"label": np.array([1, 2])}, "label is int64"),
        (
            {"label": np.array(["a", "b", "c"])},
            "label is <U1 .* numbers; names of classes go into class_name",
        ),
        ({"name": np.array(["a", "b\tc", "d"])}, r"the name 'b.tc' has a character that is no text"),
        ({"label": np.array([1, -2, 3])}, "label of c is -2"),
        ({"label": np.array([1, 2**63, 3], np.uint64)}, "label has 9223372036854775808"),
        ({"subject": np.array([1, 2**63, 3], np.uint64)}, "subject has 9223372036854775808"),
        ({"a/b": np.array([1, 2, 3])}, "'a/b' cannot name a column"),
        ({"class_name": np.array(["sit", "run"])}, "label of b is 4, but class_name has 2"),
        ({"class_name": np.ones(3)}, r"class_name is float64 \(3,\), expected one axis of texts"),
        ({"class_name": np.array(["a\0b"] * 5)}, "class_name has 'a.x00b', which has a character that is no"),
        ({"class_name": np.array(["x" * 9000] * 9)}, "its class names would take 81036 bytes"),
        (
            {"protocol_name": np.array(["xsub"])},
            r"protocol_part is float64 \(0,\), expected \(1, 3\) of 1 train",
        ),
        (
            {"protocol_name": np.array(["xsub"]), "protocol_part": np.array([[0, 1, 2]])},
            r"protocol_part is int64 \(1, 3\), expected \(1, 3\) of 1 train, 0 test, -1 neither",
        ),
        (
            {"protocol_name": np.array(["a/b"]), "protocol_part": np.array([[0, 1, 1]])},
            "'a/b' cannot name a protocol",
        ),
        ({"recipe": np.array("isc")}, "recipe is not the JSON of a name and steps"),
        ({"name": np.array(["a", "", "b"])}, "found a name that is empty"),
        ({"name": np.array(["a", "b\ud800", "c"])}, r"the name 'b.ud800' has a character that is no text"),
        ({"label": np.array([1, "x", None], object)}, "not a readable npz: Object arrays cannot be loaded"),
        ({"extra": np.array([{}], object)}, "not a readable npz: Object arrays"),
    ],
)
def test_a_malformed_npz_is_told_in_one_line(
    file: Path, tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    saved(file, **changed)
    with pytest.raises(InputError, match=said) as caught:
        import_npz(file, tmp_path / "a.h5", NTU, protocols={})
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [file]


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.save(tmp_path / "single.npy", np.ones(3))
    (tmp_path / "folder.npz").mkdir()
    for name, said in (
        ("text.npz", "not an .npz"),
        ("empty.npz", "not an .npz"),
        ("single.npy", "not an .npz"),
        ("folder.npz", "Is a directory"),
        ("absent.npz", "No such file"),
    ):
        with pytest.raises(InputError, match=said):
            read_npz(tmp_path / name, NTU)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_flipped_bit_is_never_a_traceback(file: Path, save: Any) -> None:
    save(file, **arrays())
    good = file.read_bytes()
    chance = random.Random(0)
    told = 0
    for _ in range(300):
        data = bytearray(good)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        file.write_bytes(data)
        try:
            read_npz(file, NTU)
        except InputError:
            told += 1
    assert told > 250


def test_a_cut_npz(file: Path) -> None:
    data = saved(file).read_bytes()
    for part in (0.1, 0.5, 0.99):
        file.write_bytes(data[: int(part * len(data))])
        with pytest.raises(InputError, match="npz"):
            read_npz(file, NTU)


def test_coordinates_too_large_to_normalise(file: Path, tmp_path: Path) -> None:
    joints = WHOLE * np.float32(3e38)
    joints[..., ::2, :] *= -1
    with pytest.raises(InputError, match="cannot be normalised: a: a coordinate is not finite"):
        import_npz(saved(file, joints=joints), tmp_path / "a.h5", NTU, protocols={}, recipe="isc")
    assert list(tmp_path.iterdir()) == [file]


def test_a_protocol_of_a_column_that_is_not_there(file: Path, tmp_path: Path) -> None:
    rules = {"xview": Protocol("camera", frozenset([1]))}
    with pytest.raises(SkelkitError, match=r"protocol xview: .* has no column 'camera'; it has subject"):
        import_npz(saved(file), tmp_path / "a.h5", NTU, protocols=rules)


def test_an_existing_store_is_replaced_only_when_asked(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.h5"
    out.write_text("mine")
    with pytest.raises(SkelkitError, match="exists already"):
        import_npz(saved(file), out, NTU, protocols={})
    assert out.read_text() == "mine"
    import_npz(file, out, NTU, protocols={}, overwrite=True)
    assert verify(out) == []


def test_a_folder_that_is_not_there(file: Path, tmp_path: Path) -> None:
    with pytest.raises(SkelkitError, match=r"the folder .*absent does not exist"):
        import_npz(saved(file), tmp_path / "absent" / "a.h5", NTU, protocols={})


@pytest.mark.parametrize("recipe", ["raw", "isc"])
def test_northwestern_ucla(nucla: Path, tmp_path: Path, recipe: str) -> None:
    rules = dict([parse_protocol("xview=camera:1,2")])
    count, _ = import_npz(nucla, tmp_path / "a.h5", load_layout("kinect20"), protocols=rules, recipe=recipe)
    assert count == 1484
    with Store(tmp_path / "a.h5") as store:
        assert len(store.part("xview", train=True)) == 1020
        assert len(store.part("xview", train=False)) == 464
        assert len(np.unique(store.label)) == 10
        assert (store.frames.min(), store.frames.max()) == (1, 201)
        with np.load(nucla) as given:
            assert sorted(given["name"].tolist()) == store.names
            if recipe == "raw":
                place = store.place(str(given["name"][0]))
                first = store.sequence(place).joints[:, 0]
                np.testing.assert_array_equal(first, given["joints"][: given["length"][0]])
    assert verify(tmp_path / "a.h5") == []


def test_wolf_motor_function_test(wmft: Path, tmp_path: Path) -> None:
    rules = dict([parse_protocol("xsub=subject:1-16")])
    assert import_npz(wmft, tmp_path / "a.h5", NTU, protocols=rules, recipe="isc")[0] == 1080
    with Store(tmp_path / "a.h5") as store:
        assert len(np.unique(store.columns["subject"])) == 24
        assert len(store.part("xsub", train=True)) == 720
        assert set(store.columns) == {"subject", "condition"}


@settings(max_examples=40, deadline=None)
@given(contents())
def test_any_store_comes_back_from_npz(content: Content) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, "a.h5"), Path(folder, "b.npz")
        content_hash = content.write(path, recipe="isc")
        assert export_store(path, out, format="npz").notes == ()
        report = import_file(out, Path(folder, "c.h5"), content.layout, format="npz", protocols={})
        assert (report.content_hash, report.kept) == (content_hash, len(content.sequences))
        with np.load(out) as arrays:
            assert arrays["joints"].dtype == np.float32
            assert arrays["joints"].ndim == 4


@pytest.mark.parametrize("recipe", ["raw", "isc"])
def test_genuine_files_come_back_from_npz(ntu_data: Path, tmp_path: Path, recipe: str) -> None:
    files = [ntu_data / "nturgbd_skeletons_sample.zip"]
    made = convert(files, tmp_path / "a.h5", dataset="ntu60", recipe=recipe, progress=False)
    export_store(tmp_path / "a.h5", tmp_path / "b.npz", format="npz")
    count, content = import_npz(tmp_path / "b.npz", tmp_path / "c.h5", NTU, protocols={})
    assert (count, content) == (56, made.content_hash)


def test_clips_without_anybody_come_back(pku_raw: Path, tmp_path: Path) -> None:
    skeletons = pku_raw / "PKU_Skeleton_v2" / "A01N01-L.txt"
    lines = skeletons.read_text().splitlines()
    lines[:10] = [" ".join(["0.000000"] * 150)] * 10
    skeletons.write_text("\n".join(lines))
    rules = ClipRules(empty="keep")
    whole = convert([pku_raw], tmp_path / "a.h5", dataset="pku2", recipe="raw", clips=rules, progress=False)
    export_store(tmp_path / "a.h5", tmp_path / "a.npz", format="npz")
    assert import_npz(tmp_path / "a.npz", tmp_path / "b.h5", NTU) == (36, whole.content_hash)


def test_a_protocol_whose_name_is_no_word(file: Path, tmp_path: Path) -> None:
    protocols = {"a/b": Protocol("subject", frozenset([1]))}
    with pytest.raises(SkelkitError, match="protocol 'a/b': the name must be a word, as in xsub"):
        import_npz(saved(file), tmp_path / "a.h5", NTU, protocols=protocols)


def test_the_report_of_a_conversion_goes_with_its_store(raw: Path, file: Path, tmp_path: Path) -> None:
    convert([raw], tmp_path / "a.h5", dataset="ntu60", progress=False)
    import_npz(saved(file), tmp_path / "a.h5", NTU, overwrite=True)
    assert not (tmp_path / "a.report.json").exists()


def test_northwestern_ucla_comes_back(nucla: Path, tmp_path: Path) -> None:
    kinect, rules = load_layout("kinect20"), dict([parse_protocol("xview=camera:1,2")])
    _, content = import_npz(nucla, tmp_path / "a.h5", kinect, protocols=rules)
    export_store(tmp_path / "a.h5", tmp_path / "b.npz", format="npz", protocol="xview")
    assert import_npz(tmp_path / "b.npz", tmp_path / "c.h5", kinect, protocols={}) == (1484, content)
    with np.load(nucla) as given, np.load(tmp_path / "b.npz") as exported:
        assert len(given["joints"]) == len(exported["joints"])


def test_a_column_called_like_an_array(file: Path, tmp_path: Path) -> None:
    import_npz(saved(file, class_name=np.array([1, 2, 3])), tmp_path / "a.h5", NTU, protocols={})
    with pytest.raises(SkelkitError, match="its column 'class_name' has the name of another array"):
        export_store(tmp_path / "a.h5", tmp_path / "b.npz", format="npz")
