"""The page of the report needs nothing from outside, and works in a browser."""

from __future__ import annotations

import re
from contextlib import contextmanager

import pytest
from browser import browser
from previews import embedded
from runs import report, setting

from skelkit_train.evaluate.linear import LinearConfig
from skelkit_train.evaluate.tasks import evaluate_linear, evaluate_retrieval

HOSTILE = "</script><script>document.body.dataset.hacked = 1</script><!-- & \"'\u2028 @data@ @scene.js@"


def test_page_needs_nothing_from_outside(evaluated, ntu, tmp_path):
    for data in (None, ntu):
        report(evaluated, tmp_path / "a.html", data)
        text = re.sub(r'id="data">.*?</script', "", (tmp_path / "a.html").read_text("utf-8"))
        assert not re.search(r"(https?|wss?|ftp):|[\"'(]//", text)
        assert {link for link in re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', text) if link[0] != "#"} == {
            "data:,"
        }
        assert "@import" not in text
        assert "url(" not in text
        assert not re.search(r"@[a-z]+\.(js|css)@", text)


@contextmanager
def opened(page):
    """The page in a browser; in the end nothing has gone wrong."""
    with browser() as driver:
        driver.open(page)
        driver.state()
        yield driver
        driver.finish(page)


@pytest.fixture
def hostile(own_run, ntu, rewritten, tmp_path):
    """A page on which every name is hostile."""
    classes = tuple(HOSTILE + str(k) for k in range(4))
    store = rewritten(ntu, mark=HOSTILE, dataset=HOSTILE, classes=classes)
    folder = own_run.rename(own_run.with_name("<img src=x onerror=alert(1)>"))
    evaluate_retrieval(setting(folder, store))
    report(folder, tmp_path / "a.html", store)
    return tmp_path / "a.html"


def test_hostile_names_stay_data(hostile):
    text = hostile.read_text("utf-8")
    assert text.count("<script") == text.count("</script") == 3
    assert "<img" not in text
    assert embedded(hostile)["report"]["space"]["classes"][0] == HOSTILE + "0"
    with opened(hostile) as driver:
        assert "hacked" not in driver.state()
        assert HOSTILE.split("\u2028")[0] in driver.text("#results")


def test_page_without_the_store_tells_how_to_get_the_rest(evaluated, tmp_path):
    page = tmp_path / "a.html"
    report(evaluated, page)
    with opened(page) as driver:
        assert f"skelkit-train report {evaluated} DATA.h5" in driver.text("#space")
        assert "needs the store" in driver.text("#gallery")


def test_page_of_a_run_that_was_not_evaluated(run, tmp_path):
    page = tmp_path / "a.html"
    report(run, page)
    with opened(page) as driver:
        assert f"skelkit-train eval linear {run} DATA.h5 --protocol xsub" in driver.text("#results")
        assert "representations" in driver.text("#settings")


def test_the_quick_way_is_told_apart_on_the_page(own_run, ntu, tmp_path):
    page, where = tmp_path / "a.html", setting(own_run, ntu)
    for quick in (True, False):
        evaluate_linear(where, LinearConfig(epochs=3), representation="seq", baselines=False, quick=quick)
    report(own_run, page)
    with opened(page) as driver:
        probe, quick = sorted(driver.text("#results").split("Linear evaluation")[1:])
    assert "quick (logistic regression)" in quick
    assert "learning rate" not in quick
    assert "learning rate 0.1" in probe


def test_results_on_the_page(own_run, ntu, rewritten, tmp_path):
    page, where = tmp_path / "a.html", setting(own_run, rewritten(ntu, dataset="ntu60"))
    evaluate_linear(where, LinearConfig(epochs=3), representation="seq", seeds=2)
    told = report(own_run, page)["evaluations"][0]
    with opened(page) as driver:
        table = driver.text("#results table")
        heads, *rows = (line.split("\t") for line in table.splitlines())
        assert heads[1] == "top-1"
        assert heads[-1] == "best epoch on test (no result)"
        cells = {row[0]: row[1:] for row in rows}
        for row in told["rows"]:
            shown = cells[f"{row['encoder']} {row['representation']}".strip()]
            mean, deviation = (float(text.strip(" %")) for text in shown[0].split("±"))
            assert mean == pytest.approx(100 * row["top1"], abs=0.051)
            assert deviation == pytest.approx(100 * row["deviation"]["top1"], abs=0.051)
            best = float(shown[-1].split(" %")[0])
            assert best == pytest.approx(100 * row["best_on_test"], abs=0.051)
        assert cells["published, seq+graph"][0] == "76.3 %"
        assert cells["chance"][0] == "25.0 %"

        first = told["rows"][0]
        bars = [float(text.split()[0]) for text in driver.text("#detail .classes").split("\n")[1::2]]
        assert bars == pytest.approx(sorted((100 * x for x in first["per_class"]), reverse=True), abs=0.051)
        assert driver.run("return document.querySelectorAll('#detail ol li').length") == len(
            first["confused"]
        )
        driver.run(
            "const s = document.getElementById('result'); s.value = 2; s.dispatchEvent(new Event('change'))"
        )
        assert driver.run("return document.querySelectorAll('#detail ol li').length") == len(
            told["rows"][2]["confused"]
        )


def test_hover_names_what_is_under_the_pointer(evaluated, ntu, tmp_path):
    page = tmp_path / "a.html"
    told = report(evaluated, page, ntu)
    row = told["evaluations"][0]["rows"][0]
    with opened(page) as driver:
        left, top, width, _ = driver.box("canvas.square")
        cell = (width - 22) / 4
        driver.hover(left + 22 + 1.5 * cell, top + 22 + 2.5 * cell)
        found = driver.text("#note").split("\n")
        assert found[:1] == ["class 3"]
        assert found[1].startswith(
            f"taken for class 2: {row['confusion'][2][1]} of {sum(row['confusion'][2])}"
        )

        left, top, width, height = driver.box("#training canvas")
        driver.hover(left + width - 20, top + height / 2)
        shown = driver.text("#note").split("\n")
        assert shown[0] == "epoch 3"
        assert shown[1].split(": ")[0] == "loss"
        assert float(shown[1].split(": ")[1]) == pytest.approx(told["course"][-1]["loss"], rel=1e-3)

        left, top, width, height = driver.box("canvas.map")
        names = set()
        for x in range(int(left) + 8, int(left + width), 12):
            driver.hover(x, top + height / 2)
            names.add(driver.text("#note").split("\n")[-1])
        assert names - {""}
        assert names - {""} <= {sample["name"] for sample in told["space"]["samples"]}


def test_gallery_moves_and_marks_right_and_wrong(evaluated, ntu, tmp_path):
    page = tmp_path / "a.html"
    seen = report(evaluated, page, ntu)["space"]["representations"]
    with opened(page) as driver:
        driver.box("#gallery .query")
        state = driver.state()
        assert state["playing"] == "true"
        assert any(driver.state()["frame"] != state["frame"] for _ in range(100))
        assert int(driver.state()["drawn"]) > 5

        driver.click("#gallery button", "pause")
        drawn = "return document.querySelector('#gallery canvas').toDataURL()"
        before, state = driver.run(drawn), driver.state()
        assert driver.state() == state
        moved = f"const m = document.getElementById('moment'); m.value = {(int(state['frame']) + 8) % 16};"
        driver.run(moved + "m.dispatchEvent(new Event('input'))")
        driver.state()
        assert driver.run(drawn) != before

        for one in seen:
            driver.click("#gallery [role=tab]", one["representation"])
            kinds = driver.run(
                "return [...document.querySelectorAll('#gallery figure')].map((f) => f.className)"
            )
            wanted = []
            for query in one["queries"]:
                same = [near["label"] == query["label"] for near in query["neighbours"]]
                wanted += ["asked", *("right" if right else "wrong" for right in same)]
            assert kinds == wanted
            wrong = sum(query["neighbours"][0]["label"] != query["label"] for query in one["queries"])
            driver.click("#gallery button", "wrong")
            assert driver.run("return document.querySelectorAll('.query').length") == wrong
            driver.click("#gallery button", "all")
            assert one["representation"] in driver.text("#space .note")


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900)])
def test_nothing_overflows(hostile, width, height):
    with browser() as driver:
        driver.screen(width, height)
        driver.open(hostile)
        driver.state()
        assert driver.run("return Math.max(innerWidth, document.documentElement.scrollWidth)") == width
        small = (
            "return [...document.querySelectorAll('button, select')].map((b) => b.getBoundingClientRect())"
        )
        assert driver.run(small + ".filter((b) => b.width < 34 || b.height < 34).length") == 0
        driver.finish(hostile)
