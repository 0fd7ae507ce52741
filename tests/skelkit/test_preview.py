"""The preview in its three formats; the page also as a browser runs it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from previews import HOSTILE, embedded, named, unpacked, walker, without

from skelkit.augment import AUGMENTATIONS, Compose, Crop, Noise, Resample, Shear, augment_sequence
from skelkit.errors import SkelkitError
from skelkit.preview import suitable, write_preview
from skelkit.preview.stage import Panel, set_stage
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import load_layout


def test_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    sequence, layout = walker()
    write_preview(sequence, layout, tmp_path / "a.html", class_name="drink water")
    text = (tmp_path / "a.html").read_text("utf-8")
    assert not re.search(r"(https?|wss?|ftp):|[\"'(]//", text)
    assert re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', text) == ["data:,"]
    assert "@import" not in text
    assert "url(" not in text
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.html"]


@pytest.mark.parametrize("layout", ["ntu25", "kinect20", "coco17"])
def test_page_carries_the_views_to_the_millimetre(tmp_path: Path, layout: str) -> None:
    sequence, skeleton = walker(layout, bodies=2)
    write_preview(sequence, skeleton, tmp_path / "a.html", seed=5, sample=7, epoch=2, class_name="wave")
    data = embedded(tmp_path / "a.html")
    assert data["joints"] == list(skeleton.joints)
    assert data["bones"] == [list(bone) for bone in skeleton.bones]
    assert [view["title"] for view in data["views"]] == list(AUGMENTATIONS)
    assert "wave" in data["facts"]
    assert data["draws"] == "seed 5, epoch 2, sample 7, view 0"
    np.testing.assert_allclose(unpacked(data["original"]), sequence.joints, atol=0.00051)
    for panel in data["views"]:
        title = panel["title"]
        view, parameters = augment_sequence(
            sequence, AUGMENTATIONS[title], skeleton, seed=5, sample=7, epoch=2
        )
        np.testing.assert_allclose(unpacked(panel), view.joints, atol=0.00051)
        assert panel["present"] == "".join("01"[int(here)] for here in view.present.ravel())
        assert panel["backwards"] == (title == "reverse")
        if title != "speed":
            assert (panel["start"], panel["length"]) == (parameters.start[0], parameters.length[0])


def test_coordinates_beyond_the_range_of_millimetres(tmp_path: Path) -> None:
    sequence, layout = walker("coco17")
    pixels = SkeletonSequence(sequence.joints * 1000, sequence.present, "pixels", -1)
    write_preview(pixels, layout, tmp_path / "a.html", augmentations=named("crop"))
    panel = embedded(tmp_path / "a.html")["original"]
    np.testing.assert_allclose(unpacked(panel), pixels.joints, atol=panel["step"] * 0.51)


def test_drawn_parameters_are_returned_as_plain_data(tmp_path: Path) -> None:
    sequence, layout = walker(frames=90)
    drawn = write_preview(sequence, layout, tmp_path / "a.html", seed=1)
    assert json.loads(json.dumps(drawn)) == drawn
    assert list(drawn) == list(AUGMENTATIONS)
    assert np.diag(drawn["shear"]["parameters"]["shear.matrix"]).tolist() == [1, 1, 1]
    assert len(drawn["jitter"]["parameters"]["jitter.joints"]) == 15
    assert set(drawn["jitter"]["parameters"]["jitter.joints"]) <= set(layout.joints)
    assert drawn["resample"]["parameters"] == {"resample.frames": 64}
    views = {view["title"]: view for view in embedded(tmp_path / "a.html")["views"]}
    groups = {title: view["groups"] for title, view in views.items()}
    start, length = drawn["crop"]["parameters"].values()
    window = groups["crop"][0]["rows"][0]["text"]
    assert window == f"frames {start} to {start + length - 1}, {length} in all"
    jittered = next(row["joints"] for row in groups["jitter"][0]["rows"] if "joints" in row)
    assert [layout.joints[v] for v in jittered] == drawn["jitter"]["parameters"]["jitter.joints"]
    assert views["jitter"]["marked"] == jittered
    assert "\u00b0" in groups["rotation"][0]["rows"][0]["text"]
    factors = next(row["numbers"] for row in groups["bones"][0]["rows"] if "numbers" in row)
    np.testing.assert_allclose(factors, drawn["bones"]["parameters"]["bones.factor"], atol=1e-4)
    assert views["bones"]["marked"] == []
    assert len(groups["isc"]) == 3


def test_every_augmentation_is_explained(tmp_path: Path) -> None:
    sequence, layout = walker()
    write_preview(sequence, layout, tmp_path / "a.html")
    views = {view["title"]: view for view in embedded(tmp_path / "a.html")["views"]}
    isc = views.pop("isc")
    assert isc["ranges"].startswith(
        "Crop(low=0.1, high=1.0, shortest=64), then Resample(frames=64), then one of"
    )
    for view in views.values():
        assert re.fullmatch(r"[A-Z][^`]+\.", view["about"])
        assert view["ranges"] == repr(AUGMENTATIONS[view["title"]])


def test_own_transforms_under_own_titles(tmp_path: Path) -> None:
    sequence, layout = walker()
    gentle = {"a little": Shear(0.1), "both": Compose((Shear(0.1), Noise(0.01)))}
    drawn = write_preview(sequence, layout, tmp_path / "a.html", augmentations=gentle)
    assert np.abs(np.array(drawn["a little"]["parameters"]["shear.matrix"]) - np.eye(3)).max() <= 0.1
    assert list(drawn["both"]["parameters"]) == ["shear.matrix", "noise.sigma"]
    assert embedded(tmp_path / "a.html")["views"][0]["ranges"] == "Shear(strength=0.1)"


def test_layout_without_parts_or_pairs(tmp_path: Path) -> None:
    sequence, layout = walker()
    bare = replace(layout, parts={})
    assert list(suitable(layout)) == list(AUGMENTATIONS)
    assert set(suitable(bare)) == set(AUGMENTATIONS) - {"parts"}
    assert "parts" not in write_preview(sequence, bare, tmp_path / "a.html")
    with pytest.raises(SkelkitError, match=r"^parts: .*ntu25") as caught:
        write_preview(sequence, bare, tmp_path / "b.html", augmentations=named("parts"))
    assert "\n" not in str(caught.value)


def test_augmentations_that_do_not_go_together(tmp_path: Path) -> None:
    sequence, layout = walker()
    wrong = {"late crop": Compose((Resample(8), Crop()))}
    with pytest.raises(SkelkitError, match=r"^late crop: crop must come before resample$"):
        write_preview(sequence, layout, tmp_path / "a.html", augmentations=wrong)
    assert not list(tmp_path.iterdir())


def test_hostile_names_stay_data(tmp_path: Path) -> None:
    sequence, layout = walker(name=HOSTILE)
    write_preview(sequence, layout, tmp_path / "a.html", class_name=HOSTILE, recipe=HOSTILE)
    text = (tmp_path / "a.html").read_text("utf-8")
    assert text.count("<script") == text.count("</script") == 2
    assert embedded(tmp_path / "a.html")["name"] == HOSTILE
    for form in ("gif", "png"):
        write_preview(
            sequence, layout, tmp_path / f"a.{form}", class_name="\u6325\u624b", augmentations=named("crop")
        )


def test_absent_bodies(tmp_path: Path) -> None:
    sequence, layout = walker(bodies=3)
    sequence = without(without(without(sequence, slice(0, 5), 0), slice(0, 20), 1), slice(None), 2)
    write_preview(sequence, layout, tmp_path / "a.html", augmentations=named("crop"))
    original = embedded(tmp_path / "a.html")["original"]
    assert original["bodies"] == 2
    assert original["present"] == "00" * 5 + "10" * 15 + "11" * 20
    for form in ("gif", "png"):
        write_preview(sequence, layout, tmp_path / f"a.{form}", augmentations=named("crop", "isc"))


def test_nobody_at_all(tmp_path: Path) -> None:
    sequence, layout = walker()
    sequence = without(sequence, slice(None), 0)
    for form in ("html", "gif", "png"):
        write_preview(sequence, layout, tmp_path / f"a.{form}", augmentations=named("shear", "resample"))
    assert set(embedded(tmp_path / "a.html")["original"]["present"]) == {"0"}


def test_one_frame(tmp_path: Path) -> None:
    sequence, layout = walker(frames=1)
    for form in ("html", "gif", "png"):
        write_preview(sequence, layout, tmp_path / f"a.{form}")
    views = {view["title"]: view for view in embedded(tmp_path / "a.html")["views"]}
    made = {title: view["frames"] for title, view in views.items() if title != "speed"}
    assert made == {title: 64 if title in ("resample", "isc") else 1 for title in made}
    assert all(len(view["moments"]) == view["frames"] for view in views.values())


@pytest.mark.parametrize(("up", "sign"), [(0, 1), (1, 1), (1, -1), (2, 1)])
def test_camera_stands_upright(up: int, sign: int) -> None:
    sequence, layout = walker(up=up)
    turned = SkeletonSequence(sequence.joints * np.float32(sign), sequence.present, "a", 0)
    axes = set_stage(turned, _panels(turned), layout).axes
    np.testing.assert_allclose(axes[1], sign * np.eye(3)[up])
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)


def test_two_bodies_stand_side_by_side() -> None:
    sequence, layout = walker(bodies=2, up=2)
    stage = set_stage(sequence, _panels(sequence), layout)
    first, second = stage.pixels(sequence.joints[0].mean(axis=1).astype(float), 0, (200, 200))
    assert abs(second[0] - first[0]) > 40


def _panel(sequence: SkeletonSequence, title: str = "original", **other: Any) -> Panel:
    frames, joints = sequence.frames, sequence.joints.shape[2]
    values = {"start": 0, "length": frames, "backwards": False, "own_clock": False, **other}
    unmarked = np.zeros(joints, np.bool_)
    return Panel(title, sequence.joints, sequence.present, marked=unmarked, notes=(), **values)


def _panels(sequence: SkeletonSequence) -> list[Panel]:
    return [_panel(sequence)]


@pytest.mark.parametrize("factor", [0.5, 1, 2, 5])
def test_bodies_stay_within_their_panel(factor: float) -> None:
    sequence, layout = walker(bodies=2)
    larger = replace(sequence, joints=sequence.joints * np.float32(factor))
    stage = set_stage(sequence, [_panel(sequence), _panel(larger)], layout)
    for number, size in ((0, (300, 100)), (1, (300, 100)), (1, (100, 300))):
        one = (sequence, larger)[number]
        at = stage.pixels(one.joints.astype(float), number, size)[..., :2]
        assert (at >= 0).all()
        assert (at <= size).all()
    assert stage.scale(1, (100, 100)) <= stage.scale(0, (100, 100))


def test_frame_shown_at_a_time() -> None:
    sequence, _ = walker(frames=10)
    window = _panel(sequence, start=20, length=5)
    assert [window.frame_at(time) for time in (19.9, 20, 20.6, 24.9, 25)] == [None, 0, 1, 9, None]
    backwards = _panel(sequence, start=20, length=5, backwards=True)
    assert [backwards.frame_at(time) for time in (20, 24.9)] == [9, 0]
    own = _panel(sequence, start=20, length=5, own_clock=True)
    assert [own.frame_at(time) for time in (0, 9.5, 10)] == [0, 9, None]
    for panel in (window, backwards):
        assert [panel.frame_at(panel.moment(frame)) for frame in range(10)] == list(range(10))


def test_gif_moves(tmp_path: Path) -> None:
    sequence, layout = walker(frames=60)
    write_preview(sequence, layout, tmp_path / "a.gif", augmentations=named("shear", "crop"), fps=30)
    with Image.open(tmp_path / "a.gif") as image:
        assert getattr(image, "n_frames", 1) == 30
        assert image.info["duration"] == 70
        assert image.width == 3 * 236
        first = np.asarray(image.convert("RGB"))
        image.seek(7)
        assert (first != np.asarray(image.convert("RGB"))).any()
    assert (tmp_path / "a.gif").stat().st_size < 1_000_000


def test_long_gif_stays_small(tmp_path: Path) -> None:
    sequence, layout = walker(frames=1000)
    write_preview(sequence, layout, tmp_path / "a.gif", augmentations=named("resample"))
    with Image.open(tmp_path / "a.gif") as image:
        assert 60 < getattr(image, "n_frames", 1) <= 120
    assert (tmp_path / "a.gif").stat().st_size < 3_000_000


def test_png_shows_every_row(tmp_path: Path) -> None:
    sequence, layout = walker(bodies=2)
    write_preview(sequence, layout, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    lines = np.flatnonzero((pixels[:, 18:-18] == (0xDF, 0xE4, 0xEA)).all(axis=(1, 2)))
    rows = np.split(pixels, lines)[1:]
    assert len(rows) == 1 + len(AUGMENTATIONS)
    for row in rows:
        figures = row[:, 250:]
        assert (np.ptp(figures, axis=2) > 60).sum() > 200
    assert (pixels[0] == 255).all()


def test_long_captions_wrap(tmp_path: Path) -> None:
    sequence, layout = walker(name="S001" + "C001" * 60)
    long = replace(layout, joints=tuple("a joint of a long name " * 3 + str(v) for v in range(layout.size)))
    for form in ("png", "gif"):
        for name, shown in (("short", layout), ("long", long)):
            write_preview(sequence, shown, tmp_path / f"{name}.{form}", augmentations=named("jitter"))
        with Image.open(tmp_path / f"short.{form}") as a, Image.open(tmp_path / f"long.{form}") as b:
            assert b.height > a.height + 200
            assert b.width == a.width
            edge = np.asarray(b.convert("RGB"))[:, -8:]
            assert (edge[:60] == 255).all()


def test_same_arguments_same_bytes(tmp_path: Path) -> None:
    sequence, layout = walker()
    for form in ("html", "gif", "png"):
        for name in ("a", "b"):
            write_preview(sequence, layout, tmp_path / f"{name}.{form}", augmentations=named("isc"), seed=2)
        assert (tmp_path / f"a.{form}").read_bytes() == (tmp_path / f"b.{form}").read_bytes()


@pytest.mark.parametrize(
    ("file", "options", "message"),
    [
        ("a.mp4", {}, r"a\.mp4: a preview is written as \.html, \.gif, \.png, not '\.mp4'"),
        ("a", {}, "without suffix"),
        ("missing/a.html", {}, "the folder .*missing does not exist"),
        ("a.html", {"augmentations": {}}, "no augmentation named"),
        ("folder.html", {}, "cannot write the preview: Is a directory"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    tmp_path: Path, file: str, options: dict[str, Any], message: str
) -> None:
    (tmp_path / "folder.html").mkdir()
    sequence, layout = walker()
    with pytest.raises(SkelkitError, match=message) as caught:
        write_preview(sequence, layout, tmp_path / file, **options)
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.html"]


def test_sequence_that_cannot_be_shown(tmp_path: Path) -> None:
    sequence, layout = walker()
    empty = SkeletonSequence(sequence.joints[:0], sequence.present[:0], "empty", 0)
    with pytest.raises(SkelkitError, match="empty: 0 frames"):
        write_preview(empty, layout, tmp_path / "a.html")
    with pytest.raises(
        SkelkitError, match="25 joints, expected at least one frame of the 17 joints of coco17"
    ):
        write_preview(sequence, load_layout("coco17"), tmp_path / "a.html")


@pytest.mark.parametrize("form", ["html", "gif", "png"])
def test_failure_half_way_keeps_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    sequence, layout = walker()
    path = tmp_path / f"a.{form}"
    path.write_text("earlier")

    def full(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(SkelkitError, match="No space left on device"):
        write_preview(sequence, layout, path, augmentations=named("crop"))
    assert path.read_text() == "earlier"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
