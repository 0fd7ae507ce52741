"""The preview in its three formats; the page also as a browser runs it."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skelkit.augment import AUGMENTATIONS, Compose, Crop, Noise, Resample, Shear, Transform, augment
from skelkit.errors import SkelkitError
from skelkit.preview import suitable, write_preview
from skelkit.preview.stage import Panel, set_stage
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout, load_layout

HOSTILE = "S001</script><script>document.body.dataset.hacked = 1</script><!-- & \"'\u2028"


def walker(
    layout: str = "ntu25", frames: int = 40, bodies: int = 1, up: int = 1, name: str = "S001C001P001R001A001"
) -> tuple[SkeletonSequence, JointLayout]:
    """A body with its trunk along axis ``up``, one arm of which moves; further bodies stand beside it."""
    skeleton = load_layout(layout)
    rng = np.random.default_rng(3)
    still = rng.uniform(-0.3, 0.3, (skeleton.size, 3))
    still[list(skeleton.spine), up] = -0.4, 0.4
    joints = np.repeat(still[None, None], frames, axis=0).repeat(bodies, axis=1)
    joints[:, :, skeleton.shoulders[1], up] += np.sin(np.arange(frames) / 4)[:, None] / 3
    joints[..., 0] += np.arange(bodies)[:, None] + 0.5
    return SkeletonSequence(joints.astype(np.float32), np.ones((frames, bodies), np.bool_), name, 0), skeleton


def named(*names: str) -> dict[str, Transform]:
    return {name: AUGMENTATIONS[name] for name in names}


def without(sequence: SkeletonSequence, frames: slice, body: int) -> SkeletonSequence:
    joints, present = sequence.joints.copy(), sequence.present.copy()
    joints[frames, body], present[frames, body] = 0, False
    return SkeletonSequence(joints, present, sequence.name, sequence.label)


def embedded(page: Path) -> dict[str, Any]:
    """What the page carries, found as an HTML parser would: up to the first end of the script."""
    match = re.search(
        r'<script type="application/json" id="data">(.*?)</script', page.read_text("utf-8"), re.S | re.I
    )
    assert match is not None
    result: dict[str, Any] = json.loads(match[1])
    return result


def unpacked(panel: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    whole = np.frombuffer(base64.b64decode(panel["data"]), "<i2")
    return (whole * panel["step"]).reshape(panel["frames"], panel["bodies"], -1, 3)


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
        view, parameters = augment(sequence, AUGMENTATIONS[title], skeleton, seed=5, sample=7, epoch=2)
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


CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]


def _found(names: tuple[str, ...]) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    pytest.skip(f"none of {', '.join(names)} is installed to open the page with")


def _opened(page: Path, moment: str, profile: Path) -> tuple[dict[str, str], str]:
    """The data attributes of the page's body once it stands, and what the browser printed."""
    command = [_found(CHROMIUM), *SWITCHES, "--enable-logging=stderr", "--v=0", f"--user-data-dir={profile}"]
    command += ["--virtual-time-budget=1000", "--dump-dom", page.as_uri() + moment]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    body = re.search(r"<body([^>]*)>", done.stdout)
    assert body is not None, done.stderr
    return dict(re.findall(r'data-([\w-]+)="([^"]*)"', body[1])), done.stderr + done.stdout


def test_page_opens_at_a_moment(tmp_path: Path) -> None:
    sequence, layout = walker(frames=90, bodies=2, name=HOSTILE)
    drawn = write_preview(sequence, layout, tmp_path / "a.html", class_name=HOSTILE)
    start, length = drawn["crop"]["parameters"].values()
    for frame, shown in ((start + length - 1, length - 1), (start + length, -1)):
        moment = f"#augmentation=crop&frame={frame}"
        state, log = _opened(tmp_path / "a.html", moment, tmp_path / f"profile{frame}")
        assert "CONSOLE" not in log
        assert "hacked" not in state
        assert state["errors"] == "0"
        assert (state["augmentation"], state["playing"]) == ("crop", "false")
        assert (state["frame"], state["view-frame"]) == (str(frame), str(shown))


class Driver:
    """The few WebDriver calls needed to use a page as a person does."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}/session"
        options = {"binary": _found(CHROMIUM), "args": [*SWITCHES, "--window-size=1280,900"]}
        logs = {"browser": "ALL", "performance": "ALL"}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": logs}}
        self.address += "/" + self.call("POST", "", {"capabilities": wanted})["sessionId"]

    def call(self, method: str, path: str, body: object = None) -> Any:
        content = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(self.address + path, content, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return json.loads(answer.read())["value"]

    def run(self, script: str) -> Any:
        return self.call("POST", "/execute/sync", {"script": script, "args": []})

    def state(self) -> dict[str, str]:
        """The body's data attributes, two pictures later."""
        wait = "const done = arguments[0], s = () => done({...document.body.dataset});"
        wait += "requestAnimationFrame(() => requestAnimationFrame(s))"
        result: dict[str, str] = self.call("POST", "/execute/async", {"script": wait, "args": []})
        return result

    def keys(self, keys: str) -> None:
        press = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": press}]})

    def drag(self, x: int, y: int, by: int, pointer: str = "mouse") -> None:
        moves = [
            {"type": "pointerMove", "x": x, "y": y},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerMove", "x": x + by, "y": y, "duration": 100},
            {"type": "pointerUp", "button": 0},
        ]
        kind = {"type": "pointer", "id": pointer, "parameters": {"pointerType": pointer}, "actions": moves}
        self.call("POST", "/actions", {"actions": [kind]})

    def pinch(self, x: int, y: int, apart: int, by: int) -> None:
        """Two fingers, each ``apart`` from the middle, moved outwards."""

        def finger(name: str, sign: int) -> dict[str, Any]:
            moves = [
                {"type": "pointerMove", "x": x + sign * apart, "y": y},
                {"type": "pointerDown", "button": 0},
                {"type": "pointerMove", "x": x + sign * (apart + by), "y": y, "duration": 100},
                {"type": "pointerUp", "button": 0},
            ]
            return {"type": "pointer", "id": name, "parameters": {"pointerType": "touch"}, "actions": moves}

        self.call("POST", "/actions", {"actions": [finger("left", -1), finger("right", 1)]})

    def click(self, text: str) -> None:
        self.run(f"[...document.querySelectorAll('button')].find((b) => b.textContent === '{text}').click()")

    def text(self, element: str) -> str:
        return str(self.run(f"return document.getElementById('{element}').innerText"))

    def open(self, page: Path) -> None:
        self.call("POST", "/url", {"url": page.as_uri()})

    def finish(self, page: Path) -> None:
        """Nothing went wrong, and the page asked nobody for anything."""
        assert self.state()["errors"] == "0"
        assert self.call("POST", "/se/log", {"type": "browser"}) == []
        events = [
            json.loads(line["message"])["message"]
            for line in self.call("POST", "/se/log", {"type": "performance"})
        ]
        asked = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        assert page.as_uri() in asked
        assert {url for url in asked if not url.startswith("data:,")} == {page.as_uri()}


@pytest.fixture
def driver() -> Iterator[Driver]:
    binary = _found(("chromedriver",))
    with subprocess.Popen([binary, "--port=0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = next(
            (int(found[1]) for line in process.stdout if (found := re.search(r"on port (\d+)\.", line))), 0
        )
        try:
            driver = Driver(port)
            yield driver
            driver.call("DELETE", "")
        except urllib.error.HTTPError as error:
            pytest.skip(f"the browser does not start here: {error.read().decode()[:200]}")
        finally:
            process.terminate()


def test_page_in_use(tmp_path: Path, driver: Driver) -> None:
    sequence, layout = walker(frames=300)
    write_preview(sequence, layout, tmp_path / "a.html")
    driver.open(tmp_path / "a.html")
    state = driver.state()
    assert (state["augmentation"], state["playing"], state["errors"]) == ("shear", "true", "0")

    assert any(driver.state()["frame"] != state["frame"] for _ in range(100))

    driver.keys(" ")
    still = driver.state()
    assert still["playing"] == "false"
    assert driver.state() == still
    driver.keys("\ue014\ue014\ue012")  # right, right, left
    assert int(driver.state()["frame"]) == int(still["frame"]) + 1

    driver.click("isc")
    assert driver.state()["augmentation"] == "isc"
    assert "resample" in driver.run("return document.getElementById('parameters').textContent")
    driver.keys("2")
    assert driver.state()["augmentation"] == "jitter"

    pictures = "return ['left', 'right'].map((name) => document.getElementById(name).toDataURL())"
    before = driver.run(pictures)
    driver.drag(300, 300, 120)
    assert driver.state()["look"] != still["look"]
    after = driver.run(pictures)
    assert after[0] != before[0]
    assert after[1] != before[1]
    driver.keys("r")
    assert driver.state()["look"] == still["look"]
    front = driver.run(pictures)
    assert front[0] != after[0]
    driver.keys("n")
    driver.state()
    assert driver.run(pictures)[0] != front[0]

    driver.drag(300, 300, 120, "touch")
    assert driver.state()["look"] != still["look"]
    driver.keys("r")
    driver.pinch(300, 300, 40, 40)
    look = driver.state()["look"].split()
    assert look[:2] == still["look"].split()[:2]
    assert float(look[2]) == pytest.approx(2, abs=0.1)
    driver.finish(tmp_path / "a.html")


def test_page_tells_what_is_done(tmp_path: Path, driver: Driver) -> None:
    sequence, layout = walker(frames=90, bodies=2)
    drawn = write_preview(sequence, layout, tmp_path / "a.html", seed=4, epoch=2)
    driver.open(tmp_path / "a.html")
    driver.keys(" ")
    for title, one in drawn.items():
        driver.click(title)
        assert driver.state()["augmentation"] == title
        effect = one["effect"]
        bones, moved = driver.text("bones"), driver.text("moved")
        assert (f"{100 * effect['bone_change']:.1f} %" in bones) == (effect["bone_change"] >= 0.0005)
        assert moved == (f"{effect['moved']:.3f} m" if effect["farthest"] >= 0.0005 else "none")
        assert "seed 4, epoch 2, sample 0, view 0" in driver.text("parameters")
        assert driver.run("return document.documentElement.scrollWidth <= innerWidth")
        parts = {name.split(".")[0] for name in one["parameters"]}
        assert {part for part in parts if part in driver.text("parameters")} == parts
    driver.click("bones")
    assert driver.run("return document.querySelectorAll('#bones .bar').length") == 8

    driver.click("jitter")
    box = driver.run(
        "const b = document.getElementById('curve').getBoundingClientRect();"
        "scrollTo(0, b.top); const c = document.getElementById('curve').getBoundingClientRect();"
        "return [c.left, c.top, c.width, c.height]"
    )
    driver.drag(int(box[0] + 0.505 * box[2]), int(box[1] + box[3] / 2), 0)
    frame = int(driver.state()["viewFrame"])
    assert frame == 45
    data = {view["title"]: view for view in embedded(tmp_path / "a.html")["views"]}
    assert driver.text("now-largest") == f"largest {data['jitter']['effect']['farthestFrames'][frame]:.3f} m"
    driver.finish(tmp_path / "a.html")


def test_page_at_own_clocks(tmp_path: Path, driver: Driver) -> None:
    sequence, layout = walker(frames=40)
    write_preview(sequence, layout, tmp_path / "a.html", augmentations=named("crop", "reverse", "resample"))
    driver.open(tmp_path / "a.html")
    driver.keys(" ")
    shown = "return document.getElementById('right').toDataURL()"

    driver.keys("2\ue011")  # reverse, home
    state = driver.state()
    assert (state["own"], state["frame"], state["viewFrame"]) == ("true", "0", "0")
    driver.keys("c")
    state = driver.state()
    assert (state["own"], state["frame"], state["viewFrame"]) == ("false", "0", "39")

    driver.keys(".\ue010")  # resample, end
    state = driver.state()
    assert (state["augmentation"], state["frame"], state["viewFrame"]) == ("resample", "39", "63")
    plain = driver.run(shown)
    driver.keys("c\ue010")
    state = driver.state()
    assert (state["frame"], state["viewFrame"]) == ("-1", "63")
    assert driver.text("left-frame") == "over"

    driver.keys("c\ue010o")
    driver.state()
    assert driver.run(shown) == plain  # a body that is where it was covers the original behind it
    driver.keys("r,")
    assert driver.state()["augmentation"] == "reverse"
    driver.finish(tmp_path / "a.html")


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_overflows(tmp_path: Path, driver: Driver, width: int) -> None:
    sequence, layout = walker(bodies=2, name="a_long_name_without_any_blank_in_it_" * 4)
    write_preview(sequence, layout, tmp_path / "a.html", class_name="W" * 200)
    screen = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 700}
    driver.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": screen})
    driver.open(tmp_path / "a.html")
    for title in AUGMENTATIONS:
        driver.click(title)
        driver.state()
        assert driver.run("return Math.max(innerWidth, document.documentElement.scrollWidth)") == width
        small = (
            "return [...document.querySelectorAll('button, select')].map((b) => b.getBoundingClientRect())"
        )
        small += ".filter((b) => b.width && (b.width < 34 || b.height < 34)).length"
        assert driver.run(small) == 0
    driver.finish(tmp_path / "a.html")
