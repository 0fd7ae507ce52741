"""The preview's page as a browser runs it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, SWITCHES, Driver, browser, installed
from previews import HOSTILE, embedded, named, walker

from skelkit.augment import AUGMENTATIONS
from skelkit.preview import write_preview


@pytest.fixture
def driver() -> Iterator[Driver]:
    with browser() as driver:
        yield driver


def _opened(page: Path, moment: str, profile: Path) -> tuple[dict[str, str], str]:
    """The data attributes of the page's body once it stands, and what the browser printed."""
    command = [
        installed(CHROMIUM),
        *SWITCHES,
        "--enable-logging=stderr",
        "--v=0",
        f"--user-data-dir={profile}",
    ]
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

    driver.click("button", "isc")
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
        driver.click("button", title)
        assert driver.state()["augmentation"] == title
        effect = one["effect"]
        bones, moved = driver.text("#bones"), driver.text("#moved")
        assert (f"{100 * effect['bone_change']:.1f} %" in bones) == (effect["bone_change"] >= 0.0005)
        assert moved == (f"{effect['moved']:.3f} m" if effect["farthest"] >= 0.0005 else "none")
        assert "seed 4, epoch 2, sample 0, view 0" in driver.text("#parameters")
        assert driver.run("return document.documentElement.scrollWidth <= innerWidth")
        parts = {name.split(".")[0] for name in one["parameters"]}
        assert {part for part in parts if part in driver.text("#parameters")} == parts
    driver.click("button", "bones")
    assert driver.run("return document.querySelectorAll('#bones .bar').length") == 8

    driver.click("button", "jitter")
    box = driver.run(
        "const b = document.getElementById('curve').getBoundingClientRect();"
        "scrollTo(0, b.top); const c = document.getElementById('curve').getBoundingClientRect();"
        "return [c.left, c.top, c.width, c.height]"
    )
    driver.drag(int(box[0] + 0.505 * box[2]), int(box[1] + box[3] / 2), 0)
    frame = int(driver.state()["viewFrame"])
    assert frame == 45
    data = {view["title"]: view for view in embedded(tmp_path / "a.html")["views"]}
    assert driver.text("#now-largest") == f"largest {data['jitter']['effect']['farthestFrames'][frame]:.3f} m"
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
    assert driver.text("#left-frame") == "over"

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
    driver.screen(width, 844)
    driver.open(tmp_path / "a.html")
    for title in AUGMENTATIONS:
        driver.click("button", title)
        driver.state()
        assert driver.run("return Math.max(innerWidth, document.documentElement.scrollWidth)") == width
        small = (
            "return [...document.querySelectorAll('button, select')].map((b) => b.getBoundingClientRect())"
        )
        small += ".filter((b) => b.width && (b.width < 34 || b.height < 34)).length"
        assert driver.run(small) == 0
    driver.finish(tmp_path / "a.html")
