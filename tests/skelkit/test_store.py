"""store: what goes in comes out, and nothing half-written is left; damage is in test_verify.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from skelkit.datasets import ListedSplit, Protocol
from skelkit.errors import SkelkitError, StoreError
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout
from skelkit.store import Header, Shard, Store, verify, write_store
from skelkit.store.write import _BLOCK_ROWS

LAYOUT = JointLayout(
    "own", ("hip", "spine", "left", "right"), ((0, 1), (2, 1), (3, 1)), ((2, 3),), 1, (0, 1), (3, 2)
)
PROTOCOLS = {"xview": Protocol("camera", frozenset([2, 3]))}
HEADER = Header("own", LAYOUT, {"name": "raw", "steps": [{"step": "none"}]}, ("wave", "n\xfcll"), PROTOCOLS)


@st.composite
def sequences(draw: st.DrawFn) -> list[SkeletonSequence]:
    made = []
    for name in sorted(draw(st.sets(st.text("ABC#-0\xe9", min_size=1, max_size=6), min_size=1, max_size=6))):
        shape = draw(st.integers(1, 9)), draw(st.integers(1, 3))
        present = draw(arrays.arrays(np.bool_, shape))
        joints = draw(
            arrays.arrays(np.float32, (*shape, 4, 3), elements=st.floats(-(2.0**99), 2.0**99, width=32))
        )
        joints[~present] = 0
        columns = {"camera": draw(st.integers(1, 3)), "subject": draw(st.integers(-(2**63), 2**63 - 1))}
        made.append(SkeletonSequence(joints, present, name, draw(st.integers(-1, 5)), columns))
    return made


def some(count: int = 5, seed: int = 0) -> list[SkeletonSequence]:
    chance = np.random.default_rng(seed)
    return [
        SkeletonSequence(
            chance.normal(0, 1, (3 + n, 1 + n % 2, 4, 3)).astype(np.float32),
            np.ones((3 + n, 1 + n % 2), np.bool_),
            f"S{n:03}",
            n % 3,
            {"camera": n % 3 + 1, "subject": n},
        )
        for n in range(count)
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_store(tmp_path / "a.h5", some(), HEADER)
    return tmp_path / "a.h5"


def same(a: SkeletonSequence, b: SkeletonSequence) -> bool:
    return (
        a.joints.tobytes() == b.joints.tobytes()
        and a.joints.shape == b.joints.shape
        and a.present.tolist() == b.present.tolist()
        and (a.name, a.label, dict(a.columns)) == (b.name, b.label, dict(b.columns))
    )


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequences())
def test_round_trip(tmp_path: Path, given_: list[SkeletonSequence]) -> None:
    out = tmp_path / "round.h5"
    content = write_store(out, iter(given_), HEADER)
    with Store(out) as store:
        assert len(store) == len(given_)
        assert all(map(same, store, given_))
        assert (store.layout, store.classes, store.dataset) == (LAYOUT, HEADER.classes, "own")
        assert (store.recipe, store.content_hash) == (HEADER.recipe, content)
        assert store.protocols["xview"].tolist() == [int(s.columns["camera"] in (2, 3)) for s in given_]
        rows = store.rows()
        for n, sequence in enumerate(given_):
            mine = rows[store.offset[n] : store.offset[n] + sequence.frames * sequence.bodies]
            assert mine.tobytes() == sequence.joints.tobytes()
    assert verify(out) == []


def test_a_shard_says_so_and_its_content_does_not_know(tmp_path: Path) -> None:
    shard = Shard(2, 5, "ab" * 32)
    whole = write_store(tmp_path / "a.h5", some(), HEADER)
    assert write_store(tmp_path / "b.h5", some(), replace(HEADER, shard=shard)) == whole
    with Store(tmp_path / "a.h5") as a, Store(tmp_path / "b.h5") as b:
        assert (a.shard, b.shard) == (None, shard)


def test_a_listed_split_goes_by_name(tmp_path: Path) -> None:
    split = ListedSplit(frozenset(["S001", "S004"]), frozenset(["S000"]), "xsub.txt")
    write_store(tmp_path / "a.h5", some(), replace(HEADER, protocols={**PROTOCOLS, "xsub": split}))
    with Store(tmp_path / "a.h5") as store:
        assert store.protocols["xsub"].tolist() == [0, 1, -1, -1, 1]
        assert store.protocol_rules == {"xview": "camera:2-3", "xsub": str(split)}


def test_more_rows_than_a_block(tmp_path: Path) -> None:
    frames = _BLOCK_ROWS // 2 + 1
    made = [
        SkeletonSequence(
            np.full((frames, 1, 4, 3), n + 1, np.float32),
            np.ones((frames, 1), np.bool_),
            f"S{n}",
            0,
            {"camera": 1},
        )
        for n in range(5)
    ]
    write_store(tmp_path / "a.h5", made, HEADER)
    with Store(tmp_path / "a.h5") as store:
        assert all(map(same, store, made))


def test_a_column_that_one_sequence_lacks_is_minus_one(tmp_path: Path) -> None:
    first, second = some(2)
    lacking = SkeletonSequence(second.joints, second.present, second.name, second.label, {"subject": 4})
    write_store(tmp_path / "a.h5", [first, lacking], HEADER)
    with Store(tmp_path / "a.h5") as store:
        assert store.columns["camera"].tolist() == [1, -1]
        assert store.protocols["xview"].tolist() == [0, -1]
        assert store.part("camera:1", train=True).tolist() == [0]
        with pytest.raises(StoreError, match=r"test part of camera:1 is empty; .* train, as subject:4 "):
            store.part("camera:1", train=False)


def test_the_content_hash_knows_every_part(tmp_path: Path) -> None:
    def content(made: list[SkeletonSequence], header: Header = HEADER) -> str:
        return write_store(tmp_path / "a.h5", made, header)

    def changed(**fields: object) -> list[SkeletonSequence]:
        first, *others = some()
        old = {"joints": first.joints, "present": first.present, "name": first.name, "label": first.label}
        return [SkeletonSequence(**{**old, "columns": first.columns, **fields}), *others]  # type: ignore[arg-type]

    joints = some()[0].joints.copy()
    joints[0, 0, 0, 0] += 1e-6
    hashes = [
        content(some()),
        content(some(4)),
        content(changed(joints=joints)),
        content(changed(joints=joints.reshape(1, 3, 4, 3), present=np.ones((1, 3), np.bool_))),
        content(changed(name="S000a")),
        content(changed(label=2)),
        content(changed(columns={"camera": 2, "subject": 0})),
        content(some(), Header("own", LAYOUT, {"name": "isc", "steps": []}, HEADER.classes, PROTOCOLS)),
        content(some(), Header("own", LAYOUT, HEADER.recipe, HEADER.classes, {})),
        content(some(), Header("own", LAYOUT, HEADER.recipe, ("wave",), PROTOCOLS)),
    ]
    assert len(set(hashes)) == len(hashes)
    assert content(some()) == hashes[0]


@pytest.mark.parametrize("dataset", ["joints", "present"])
def test_a_row_changed_by_another_program_is_found(path: Path, dataset: str) -> None:
    """HDF5's own checksum is right then; that of the sequence is not."""
    with h5py.File(path, "r+") as file:
        row = int(file["index/offset"][2])
        file[dataset][row] = 1 - file[dataset][row]
    (problem,) = verify(path)
    assert "sequence S002 is damaged" in problem


@pytest.mark.parametrize(
    ("beginning", "version"), [(b"skelkit store\nversion 4\n", 4), (b"skelkit store\nsha", 1)]
)
def test_another_version_says_so(path: Path, beginning: bytes, version: int) -> None:
    path.write_bytes(beginning + path.read_bytes()[len(beginning) :])
    with pytest.raises(StoreError, match=f"its version is {version}, this skelkit reads 3"):
        Store(path)
    assert f"version is {version}" in verify(path)[0]


def test_hdf5_that_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(3)
    with pytest.raises(StoreError, match=r"other\.h5: not a store"):
        Store(path)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89HDF\r\n\x1a\n" + b"\0" * 600])
def test_what_is_not_hdf5(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "text.h5"
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"text\.h5: not a") as caught:
        Store(path)
    assert "\n" not in str(caught.value)
    assert len(verify(path)) == 1


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file"):
        Store(tmp_path / "absent.h5")


@pytest.mark.parametrize("names", [["b", "a"], ["a", "a"]])
def test_names_out_of_order_or_twice_are_refused(tmp_path: Path, names: list[str]) -> None:
    made = [SkeletonSequence(s.joints, s.present, name, 0) for s, name in zip(some(), names, strict=False)]
    with pytest.raises(SkelkitError, match="names must be unique and in order"):
        write_store(tmp_path / "a.h5", made, HEADER)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("joints", "said"),
    [((2, 1, 5, 3), "5 joints, expected 4"), ((0, 1, 4, 3), "no frame"), ((2, 0, 4, 3), "no body")],
)
def test_sequences_that_do_not_fit(tmp_path: Path, joints: tuple[int, ...], said: str) -> None:
    made = SkeletonSequence(np.ones(joints, np.float32), np.ones(joints[:2], np.bool_), "a", 0)
    with pytest.raises(SkelkitError, match=said):
        write_store(tmp_path / "a.h5", [made], HEADER)


def test_nothing_to_store(tmp_path: Path) -> None:
    with pytest.raises(SkelkitError, match="no sequence is left"):
        write_store(tmp_path / "a.h5", [], HEADER)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), RuntimeError("defect"), KeyboardInterrupt()]
)
def test_a_failure_while_writing_keeps_the_old_store(path: Path, failure: BaseException) -> None:
    def interrupted() -> Iterator[SkeletonSequence]:
        yield from some(3)
        raise failure

    before = path.read_bytes()
    with pytest.raises(SkelkitError if isinstance(failure, OSError) else type(failure)):
        write_store(path, interrupted(), HEADER)
    assert path.read_bytes() == before
    assert [other.name for other in path.parent.iterdir()] == ["a.h5"]


def test_a_failure_at_the_very_end_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("skelkit.files.os.fsync", fail)
    before = path.read_bytes()
    with pytest.raises(SkelkitError, match="cannot write the store: No space left on device"):
        write_store(path, some(2), HEADER)
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for out in (tmp_path / "absent" / "a.h5", tmp_path / "file" / "a.h5"):
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(SkelkitError, match="cannot write the store"):
            write_store(out, some(), HEADER)


def test_others_may_read_a_store(path: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_parts_and_places(path: Path) -> None:
    with Store(path) as store:
        assert store.part("xview", train=True).tolist() == [1, 2, 4]
        assert store.part("xview", train=False).tolist() == [0, 3]
        assert store.place("S003") == 3
        with pytest.raises(StoreError, match=r"no sequence 'S00X'.*did you mean S00"):
            store.place("S00X")
        with pytest.raises(StoreError, match="the first is S000"):
            store.place("")
        with pytest.raises(StoreError, match="no protocol 'xsub'; it has xview; a protocol can also be"):
            store.part("xsub", train=True)
        with pytest.raises(StoreError, match="no protocol 'xviev'; it has xview; did you mean xview"):
            store.part("xviev", train=True)


def test_a_conversion_that_is_not_finished_is_told(path: Path) -> None:
    (path.parent / "b.h5.part").mkdir()
    with pytest.raises(StoreError, match=r"b\.h5: no such file yet: b\.h5\.part is a conversion"):
        Store(path.parent / "b.h5")


def test_a_part_by_a_rule(path: Path) -> None:
    with Store(path) as store:
        assert store.part("subject:0,2-3", train=True).tolist() == [0, 2, 3]
        assert store.part("subject:0,2-3", train=False).tolist() == [1, 4]
        with pytest.raises(StoreError, match=r"a\.h5: no column 'setup'; .* \(columns: camera, subject\)"):
            store.part("setup:1", train=True)
        with pytest.raises(StoreError, match=r"no column 'subjects'; did you mean subject\?"):
            store.part("subjects:1", train=True)
        with pytest.raises(StoreError, match=r"a\.h5: 'subject:x', expected COLUMN:VALUES"):
            store.part("subject:x", train=True)
        with pytest.raises(StoreError, match=r"training part of subject:9 is empty; a protocol can also be"):
            store.part("subject:9", train=True)


def test_an_empty_part(tmp_path: Path) -> None:
    write_store(tmp_path / "a.h5", some(1), HEADER)
    with (
        Store(tmp_path / "a.h5") as store,
        pytest.raises(StoreError, match="xview is empty; no column can split it either, as each has one"),
    ):
        store.part("xview", train=True)


def test_class_names(path: Path) -> None:
    with Store(path) as store:
        assert [store.class_name(label) for label in (0, 1, 2, -1)] == [
            "wave",
            "n\xfcll",
            "class 3",
            "unknown class",
        ]


CTRL_C_AT_EVERY_WRITE = """
import os, signal, sys
from pathlib import Path
import numpy as np
from skelkit.files import RememberingFile
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import load_layout
from skelkit.store import Header, Store, verify, write_store

here = Path(sys.argv[1])
joints = np.random.default_rng(0).normal(size=(100, 2, 25, 3)).astype(np.float32)
present = np.ones((100, 2), np.bool_)

def sequences(): return (SkeletonSequence(joints, present, f"s{n:03}", 0) for n in range(50))

header = Header("x", load_layout("ntu25"), {"name": "raw"})
def store(name): return write_store(here / name, sequences(), header)

writes = 0
write = RememberingFile.write
def count(file, data):
    global writes
    writes += 1
    if writes == at:
        os.kill(os.getpid(), signal.SIGINT)
    return write(file, data)
RememberingFile.write = count
at = 0
store("whole.h5")
most = writes
for at in range(1, most + 1):
    writes = 0
    try:
        store("a.h5")
    except KeyboardInterrupt:
        assert not (here / "a.h5").exists()
    else:
        raise SystemExit(f"write {at}: Ctrl-C was lost")
assert most > 20
writes = most + 1
store("a.h5")
assert (here / "a.h5").read_bytes() == (here / "whole.h5").read_bytes()
"""


def test_ctrl_c_at_every_write(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CTRL_C_AT_EVERY_WRITE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")


def test_far_joints_are_found_beyond_the_first_piece(tmp_path: Path) -> None:
    made = [
        SkeletonSequence(np.full((9000, 1, 4, 3), metres, np.float32), np.ones((9000, 1), np.bool_), name, 0)
        for name, metres in (("a", 1), ("b", 2), ("c", 25))
    ]
    write_store(tmp_path / "a.h5", made, HEADER)
    with Store(tmp_path / "a.h5") as store:
        for rows in (None, store.rows()):
            assert str(store.note_of_far(rows)).endswith("the first is c")
            assert "in 1 of 3 sequences" in str(store.note_of_far(rows))
