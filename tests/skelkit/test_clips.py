"""PKU-MMD the whole way: recordings, labels and splits to clips in a store."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import skelkit

from skelkit import blocks
from skelkit.clips import ClipRules, cut, parse_rules
from skelkit.conversion import Report, convert
from skelkit.errors import InputError, SkelkitError
from skelkit.readers import READERS, pku
from skelkit.sequence import SkeletonSequence
from skelkit.store import Store, verify

SKELETONS, LABELS, SPLITS = "PKU_Skeleton_v2", "Label_PKU_v2", "Split_v2"


def run(sources: Path | list[Path], out: Path, dataset: str = "pku2", **options: Any) -> Report:
    sources = sources if isinstance(sources, list) else [sources]
    return convert(sources, out, dataset=dataset, progress=False, **{"recipe": "raw", **options})


def recording(frames: int = 60) -> SkeletonSequence:
    joints = np.arange(frames * 75, dtype=np.float32).reshape(frames, 1, 25, 3) + 1
    columns = {"recording": 2, "camera": 1}
    return SkeletonSequence(joints, np.ones((frames, 1), np.bool_), "0002-L", -1, columns)


def clip(start: int, end: int, number: int = 3) -> pku.Clip:
    return pku.Clip(number, 41, start, end, 2)


# Rules


@pytest.mark.parametrize(
    ("rules", "start", "end", "frames"),
    [
        ({}, 5, 10, (5, 9)),
        ({"end": "included"}, 5, 10, (5, 10)),
        ({"end": "included"}, 5, 5, (5, 5)),
        ({}, 0, 60, (0, 59)),
        ({"end": "included"}, 0, 59, (0, 59)),
        ({"beyond": "cut"}, 50, 99, (50, 59)),
        ({"beyond": "cut", "end": "included"}, 59, 60, (59, 59)),
    ],
)
def test_which_frames_a_clip_has(
    rules: dict[str, Any], start: int, end: int, frames: tuple[int, int]
) -> None:
    whole = recording()
    part = cut(whole, clip(start, end), ClipRules(**rules), "labels")
    np.testing.assert_array_equal(part.joints, whole.joints[frames[0] : frames[1] + 1])
    assert (part.name, part.label) == ("0002-L#003", 41)
    assert dict(part.columns) == {"recording": 2, "camera": 1, "start": start, "confidence": 2}


@pytest.mark.parametrize(("long", "frames"), [("keep", 400), ("cut", 300)])
def test_long_clips(long: Any, frames: int) -> None:
    assert cut(recording(500), clip(50, 450), ClipRules(long=long), "labels").frames == frames


@pytest.mark.parametrize(
    ("rules", "start", "end", "reason"),
    [
        ({}, 10, 5, "frames 10 to 5, the end excluded: the end is before the start"),
        ({"end": "included"}, 10, 9, "the end is before the start"),
        ({"beyond": "cut"}, 10, 9, "the end is before the start"),
        ({}, 10, 10, "frames 10 to 10, the end excluded: no frame at all"),
        ({}, 10, 61, "frames 10 to 61, the end excluded, but 0002-L has frames 0 to 59"),
        ({"end": "included"}, 10, 60, "the end included, but 0002-L has frames 0 to 59"),
        ({"beyond": "cut"}, 60, 70, "but 0002-L has frames 0 to 59"),
        ({}, -1, 5, "frames -1 to 5"),
    ],
)
def test_labels_that_name_no_frames(rules: dict[str, Any], start: int, end: int, reason: str) -> None:
    with pytest.raises(InputError, match=f"^labels.txt, line 3: .*{reason}"):
        cut(recording(), clip(start, end), ClipRules(**rules), "labels.txt")


def test_rules_as_texts() -> None:
    assert parse_rules([]) == ClipRules()
    assert parse_rules(["end=included", "long=cut"]) == ClipRules(end="included", long="cut")


@pytest.mark.parametrize("text", ["", "end", "end=", "end=maybe", "start=included", "long=Keep"])
def test_rules_that_are_none(text: str) -> None:
    with pytest.raises(SkelkitError, match=rf"^'{text}', expected one of end=excluded\|included, long="):
        parse_rules([text])


# The whole way


def test_a_store_has_every_clip(pku_raw: Path, tmp_path: Path) -> None:
    report = run(pku_raw, tmp_path / "a.h5")
    assert (report.found, report.kept) == (12, 36)
    assert (report.excluded, report.quarantined, report.ignored) == ([], [], [])
    assert verify(tmp_path / "a.h5") == []
    with Store(tmp_path / "a.h5") as store:
        assert store.names[:4] == ["A01N01-L#001", "A01N01-L#002", "A01N01-L#003", "A01N01-M#001"]
        whole = pku.read((pku_raw / SKELETONS / "A01N02-M.txt").read_bytes(), "A01N02-M.txt")
        sequence = store.sequence(store.place("A01N02-M#002"))
        np.testing.assert_array_equal(sequence.joints, whole.joints[10:40, : sequence.bodies])
        assert sequence.label == 26
        assert store.class_name(26) == "pushing other person"
        expected = {"recording": 1, "subject": 2, "camera": 2, "start": 10, "confidence": 1}
        assert dict(sequence.columns) == expected
        np.testing.assert_array_equal(store.protocols["xsub"], store.columns["subject"] == 1)
        np.testing.assert_array_equal(store.protocols["xview"], store.columns["camera"] != 1)
        assert store.recipe["clips"]["end"] == "excluded"


def test_a_file_is_parsed_once(pku_raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def note(data: bytes, file: str) -> SkeletonSequence:
        parsed.append(file)
        return pku.read(data, file)

    monkeypatch.setattr(blocks, "READERS", {**READERS, "pku2": note})
    assert run(pku_raw, tmp_path / "a.h5").kept == 36
    assert len(parsed) == len(set(parsed)) == 12


def test_the_same_from_everywhere(pku_raw: Path, tmp_path: Path) -> None:
    hashes = {run(pku_raw, tmp_path / "a.h5").content_hash}
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as members:
        for file in sorted(pku_raw.rglob("*.txt")):
            members.write(file, file.relative_to(pku_raw))
    hashes.add(run(archive, tmp_path / "b.h5").content_hash)
    parts = [pku_raw / SKELETONS, pku_raw / LABELS, pku_raw / SPLITS]
    hashes.add(run(parts[0], tmp_path / "c.h5", labels=[parts[1]], splits=[parts[2]], workers=2).content_hash)
    hashes.add(run(parts[::-1], tmp_path / "d.h5").content_hash)
    for file in (pku_raw / SKELETONS).iterdir():
        file.rename(file.with_suffix(".skeleton"))
    hashes.add(run(pku_raw, tmp_path / "e.h5").content_hash)
    assert len(hashes) == 1


def test_without_split_files_the_published_lists_hold(pku_raw: Path, tmp_path: Path) -> None:
    shutil.rmtree(pku_raw / SPLITS)
    run(pku_raw, tmp_path / "a.h5")
    with Store(tmp_path / "a.h5") as store:
        np.testing.assert_array_equal(store.protocols["xsub"], store.columns["subject"] == 1)
        np.testing.assert_array_equal(store.protocols["xview"], store.columns["camera"] != 1)


@pytest.mark.parametrize("unlisted", ["keep", "exclude"])
def test_recordings_in_neither_list(pku_raw: Path, tmp_path: Path, unlisted: Any) -> None:
    for file in (pku_raw / SPLITS).iterdir():
        file.write_text(file.read_text().replace("A02N02-R, ", ""))
    report = run(pku_raw, tmp_path / "a.h5", clips=ClipRules(unlisted=unlisted))
    with Store(tmp_path / "a.h5") as store:
        clips = [n for n, name in enumerate(store.names) if name.startswith("A02N02-R")]
        assert len(clips) == (3 if unlisted == "keep" else 0)
        assert (store.protocols["xsub"][clips] == -1).all()
    reason = "in neither list of cross_subject_v2.txt and cross_view_v2.txt"
    assert report.excluded == ([] if unlisted == "keep" else [{"name": "A02N02-R", "reason": reason}])


def test_what_is_wrong_with_labels_is_named_and_the_other_clips_kept(pku_raw: Path, tmp_path: Path) -> None:
    labels = pku_raw / LABELS / "A01N01-L.txt"
    labels.write_text("5,0,10,2\n27,40,10,1\n5,50,99,2\nfive,0,3,1\n52,0,9,1\n\n5,50,60,1\n")
    (pku_raw / LABELS / "A01N01-M.txt").unlink()
    report = run(pku_raw, tmp_path / "a.h5")
    assert [(row["line"], row["file"]) for row in report.quarantined] == [
        (n, str(labels)) for n in (2, 3, 4, 5)
    ]
    assert report.excluded == [{"name": "A01N01-M", "reason": "no label file"}]
    with Store(tmp_path / "a.h5") as store:
        assert store.names[:2] == ["A01N01-L#001", "A01N01-L#007"]
        assert len(store) == 32


def test_nobody_in_a_clip(pku_raw: Path, tmp_path: Path) -> None:
    file = pku_raw / SKELETONS / "A01N01-L.txt"
    lines = file.read_text().splitlines()
    lines[:10] = [" ".join(["0.000000"] * 150)] * 10
    file.write_text("\n".join(lines))
    report = run(pku_raw, tmp_path / "a.h5")
    assert report.excluded == [{"name": "A01N01-L#001", "reason": "nobody in any frame"}]
    report = run(pku_raw, tmp_path / "b.h5", clips=ClipRules(empty="keep"))
    assert (report.kept, report.excluded) == (36, [])
    with Store(tmp_path / "b.h5") as store:
        sequence = store.sequence(store.place("A01N01-L#001"))
        assert sequence.joints.shape == (10, 1, 25, 3)
        assert not sequence.present.any()


def test_long_clips_left_out(pku_raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "LONG", 25)
    report = run(pku_raw, tmp_path / "a.h5", clips=ClipRules(long="exclude"))
    assert report.kept == 24
    assert report.excluded[0] == {"name": "A01N01-L#002", "reason": "more than 25 frames"}


def test_rules_are_part_of_the_content(pku_raw: Path, tmp_path: Path) -> None:
    hashes = {
        run(pku_raw, tmp_path / f"{n}.h5", clips=rules).content_hash
        for n, rules in enumerate([ClipRules(), ClipRules(long="cut"), ClipRules(beyond="cut")])
    }
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: shutil.rmtree(raw / LABELS), "PKU-MMD II needs its label files"),
        (lambda raw: shutil.rmtree(raw / SKELETONS), "no skeleton file in it, only label or split files"),
        (
            lambda raw: (raw / SPLITS / "cross_view_v2.txt").rename(raw / SPLITS / "list.txt"),
            "list.txt: the name of a split file must say subject or view",
        ),
    ],
)
def test_what_cannot_be_converted(pku_raw: Path, tmp_path: Path, change: Any, message: str) -> None:
    change(pku_raw)
    with pytest.raises(SkelkitError, match=message):
        run(pku_raw, tmp_path / "a.h5")


def test_ntu_has_no_labels_apart(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(SkelkitError, match=r"NTU RGB\+D 60 has no label or split files"):
        run(raw, tmp_path / "a.h5", "ntu60", labels=[raw])


def test_the_genuine_recording(shared_pku: Path, tmp_path: Path) -> None:
    report = run(shared_pku / "pku2_sample.zip", tmp_path / "a.h5", recipe="isc")
    assert (report.found, report.kept, report.quarantined, report.excluded) == (1, 5, [], [])
    with Store(tmp_path / "a.h5") as store:
        assert store.names == [f"A10N08-L#{n:03}" for n in range(1, 6)]
        assert store.frames.tolist() == [80, 130, 220, 60, 390]
        assert store.protocols["xsub"].tolist() == [1] * 5
        assert store.protocols["xview"].tolist() == [0] * 5


def test_nobody_in_a_clip_and_a_recipe_that_drops_empty_frames(pku_raw: Path, tmp_path: Path) -> None:
    nobody = b"\n".join([b" ".join([b"0.000000"] * 150)] * 60)
    (pku_raw / SKELETONS / "A01N01-L.txt").write_bytes(nobody)
    report = run(pku_raw, tmp_path / "a.h5", recipe="ctrgcn", clips=ClipRules(empty="keep"))
    assert report.kept == 36
    with Store(tmp_path / "a.h5") as store:
        assert store.frames[:3].tolist() == [10, 30, 20]


@pytest.mark.parametrize("labels", [b"", b"\xef\xbb\xbf5,0,10,2\n", b"garbage"])
def test_a_label_file_that_is_none_costs_its_recording_alone(
    pku_raw: Path, tmp_path: Path, labels: bytes
) -> None:
    file = pku_raw / LABELS / "A01N01-L.txt"
    file.write_bytes(labels)
    report = run(pku_raw, tmp_path / "a.h5")
    assert (report.found, report.kept) == (12, 34 if b"5,0" in labels else 33)
    if labels == b"":
        assert report.excluded == [{"name": "A01N01-L", "reason": "no action in its label file"}]
    if labels == b"garbage":
        assert [(row["file"], row["line"]) for row in report.quarantined] == [(str(file), 1)]


def test_labels_and_splits_may_lie_among_other_files(pku_raw: Path, tmp_path: Path) -> None:
    expected = run(pku_raw, tmp_path / "a.h5").content_hash
    report = run(pku_raw / SKELETONS, tmp_path / "b.h5", labels=[pku_raw], splits=[pku_raw])
    assert report.content_hash == expected


@pytest.mark.parametrize("labels", [b"", b"1;0;10\n", b"action,start,end,confidence\n5,0,10,2\n"])
def test_labels_apart_are_the_same_as_labels_among_the_sources(
    pku_raw: Path, tmp_path: Path, labels: bytes
) -> None:
    (pku_raw / LABELS / "A01N01-L.txt").write_bytes(labels)
    (pku_raw / LABELS / "A03N01-L.txt").write_text("5,0,10,2\n")
    among = run(pku_raw, tmp_path / "a.h5")
    (pku_raw / LABELS / "notes.txt").write_text("mine")
    apart = run(pku_raw / SKELETONS, tmp_path / "b.h5", labels=pku_raw / LABELS, splits=pku_raw / SPLITS)
    assert apart.content_hash == among.content_hash
    assert apart.excluded == among.excluded
    names = [file.rpartition("/")[2] for file in apart.ignored]
    assert names == ["A03N01-L.txt", "notes.txt"]
    assert apart.quarantined == among.quarantined


def test_splits_that_are_none(pku_raw: Path, tmp_path: Path) -> None:
    for name in (LABELS, SKELETONS):
        with pytest.raises(SkelkitError, match=f"{name}: no split file in it"):
            run(pku_raw / SKELETONS, tmp_path / "a.h5", labels=pku_raw / LABELS, splits=pku_raw / name)
    with pytest.raises(SkelkitError, match=f"{SPLITS}: no label file in it"):
        run(pku_raw / SKELETONS, tmp_path / "a.h5", labels=pku_raw / SPLITS)
    file = pku_raw / SPLITS / "cross_subject_v2.txt"
    file.write_text(file.read_text().replace("videos:", "videos"))
    with pytest.raises(InputError, match=r"cross_subject_v2.txt, line 1: found 'Training videos'"):
        run(pku_raw / SKELETONS, tmp_path / "a.h5", labels=pku_raw / LABELS, splits=pku_raw / SPLITS)


def test_raw_stores_the_bodies_that_are_there(pku_raw: Path, tmp_path: Path) -> None:
    run(pku_raw, tmp_path / "a.h5")
    with Store(tmp_path / "a.h5") as store:
        assert set(store.bodies.tolist()) == {1, 2}


def test_two_split_files_of_one_protocol(pku_raw: Path, tmp_path: Path) -> None:
    shutil.copy(pku_raw / SPLITS / "cross_view_v2.txt", pku_raw / SPLITS / "cross-view.txt")
    with pytest.raises(SkelkitError, match="another split file of xview, beside cross"):
        run(pku_raw, tmp_path / "a.h5")


def test_files_of_another_dataset(pku_raw: Path, tmp_path: Path) -> None:
    said = r"no file is named as those of PKU-MMD I; the first is .*A01N01-L.*, as those of PKU-MMD II are"
    with pytest.raises(SkelkitError, match=said):
        run(pku_raw, tmp_path / "a.h5", "pku1")


@pytest.mark.parametrize("option", [["--clips", "end=never"], ["--labels", "x"]])
def test_wrong_usage_is_one_line_and_code_2(pku_raw: Path, tmp_path: Path, option: list[str]) -> None:
    dataset = "pku2" if option[0] == "--clips" else "ntu60"
    result = skelkit("convert", pku_raw, "--dataset", dataset, "-o", tmp_path / "a.h5", *option)
    assert result.exit_code == 2
    assert result.output.count("\n") == 1
    assert result.output.startswith("Error: --c")
