"""The report: its numbers are those of the run, and its page works in a browser."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import naive
import numpy as np
import pytest
import torch
from browser import browser
from click.testing import CliRunner
from sklearn.decomposition import PCA

from skelkit.datasets import Protocol
from skelkit.errors import InputError, SkelkitError
from skelkit.store import Header, Store, write_store
from skelkit_train.cli import main
from skelkit_train.evaluate.linear import LinearConfig
from skelkit_train.evaluate.setting import open_setting
from skelkit_train.evaluate.tasks import evaluate_linear, evaluate_retrieval
from skelkit_train.report import write_report
from skelkit_train.report.paper import PUBLISHED, published
from skelkit_train.report.space import pick_queries, principal_plane

CPU = torch.device("cpu")
HOSTILE = "</script><script>document.body.dataset.hacked = 1</script><!-- & \"'\u2028 @data@ @scene.js@"


def report(run, out, data=None, **options):
    return write_report(run, out, data, device=CPU, **options)


def embedded(page):
    """What the page carries, found as an HTML parser would: up to the first end of the script."""
    match = re.search(
        r'<script type="application/json" id="data">(.*?)</script', page.read_text("utf-8"), re.S
    )
    return json.loads(match[1])


def renamed(path, out, dataset="made up", mark="", classes=()):
    """The store again, with ``mark`` at the end of every name."""
    with Store(path) as store:
        protocols = {"xsub": Protocol("subject", frozenset([1, 2, 3]))}
        header = Header(dataset, store.layout, store.recipe, classes, protocols)
        write_store(out, [replace(s, name=s.name + mark) for s in store], header)
    return out


@pytest.fixture
def evaluated(own_run, ntu):
    """A run with a linear evaluation of two seeds, and one of retrieval."""
    setting = open_setting(own_run, ntu, "xsub", device=CPU)
    evaluate_linear(setting, LinearConfig(epochs=3), representation="seq", seeds=2)
    evaluate_retrieval(setting)
    return own_run


# The numbers


def test_numbers_are_those_of_the_run(evaluated, tmp_path):
    told = report(evaluated, tmp_path / "a.html")
    lines = (evaluated / "metrics.jsonl").read_text().splitlines()
    assert told["course"] == [json.loads(line) for line in lines]
    assert told["epoch"] == 3
    assert {field["name"]: field["value"] for field in told["settings"]}["representations"] == "seq+graph"
    assert all(field["about"] for field in told["settings"])
    assert (told["layout"], told["recipe"], told["bodies"]) == ("ntu25", "raw", 2)
    assert [one["task"] for one in told["evaluations"]] == ["linear", "retrieval"]
    for one in told["evaluations"]:
        written = json.loads((evaluated / one["file"]).read_text())
        assert one["dataset"] == "made up"
        assert one["classes"] == [f"class {k}" for k in range(1, 5)]
        for row, other in zip(one["rows"], written["rows"], strict=True):
            for name in (
                "encoder",
                "representation",
                "top1",
                "top5",
                "best_on_test",
                "per_class",
                "confusion",
            ):
                assert row[name] == other[name]
            assert [trial["curve"] for trial in row["trials"]] == [t["curve"] for t in other["trials"]]
            assert not {"predicted", "nearest", "similarity"} & set(row["trials"][0])
    assert told["space"] is None


def test_most_confused_are_the_largest_beside_the_diagonal(evaluated, tmp_path):
    row = report(evaluated, tmp_path / "a.html")["evaluations"][0]["rows"][0]
    counts = {
        (a, b): n for a, line in enumerate(row["confusion"]) for b, n in enumerate(line) if n and a != b
    }
    found = {(pair["true"], pair["predicted"]): pair["count"] for pair in row["confused"]}
    assert found == counts
    assert list(found.values()) == sorted(found.values(), reverse=True)
    for pair in row["confused"]:
        assert pair["share"] == pytest.approx(pair["count"] / sum(row["confusion"][pair["true"]]))


def test_json_is_what_the_page_has(evaluated, ntu, tmp_path):
    given = ["report", evaluated, ntu, "-o", tmp_path / "a.html", "--device", "cpu", "--json"]
    result = CliRunner().invoke(main, [str(argument) for argument in given])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told.pop("out") == str(tmp_path / "a.html")
    assert told == embedded(tmp_path / "a.html")["report"]


def test_page_goes_into_the_run_if_not_said_otherwise(own_run):
    result = CliRunner().invoke(main, ["report", str(own_run)])
    assert result.exit_code == 0
    assert "3 epochs, 0 results" in result.stdout
    assert "with the store" in result.stdout
    assert (own_run / "report.html").exists()


def test_line_that_is_being_written_is_left_out(own_run, tmp_path):
    with (own_run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 4, "lo')
    assert len(report(own_run, tmp_path / "a.html")["course"]) == 3


def test_run_without_metrics(own_run, tmp_path):
    (own_run / "metrics.jsonl").unlink()
    assert report(own_run, tmp_path / "a.html")["course"] == []


@pytest.mark.parametrize("line", ["not JSON", "[1]", '{"epoch": 4, "loss": NaN}'])
def test_damaged_metrics_are_named_by_their_line(own_run, tmp_path, line):
    with (own_run / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=r"metrics\.jsonl.*4") as caught:
        report(own_run, tmp_path / "a.html")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "a.html").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"rows": [{"top1": 1}]}'])
def test_damaged_results_are_passed_over(evaluated, tmp_path, content):
    (evaluated / "eval-linear-other.json").write_text(content)
    with pytest.warns(UserWarning, match=r"eval-linear-other\.json.*passed over"):
        told = report(evaluated, tmp_path / "a.html")
    assert [one["task"] for one in told["evaluations"]] == ["linear", "retrieval"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{here}/none"], 1, "no intact checkpoint"),
        (["{run}", "-o", "{here}/none/a.html"], 1, "the folder .*none does not exist"),
        (["{run}", "{here}/none.h5"], 1, "no such file"),
        (["{run}", "{ntu}", "--protocol", "xview"], 1, "no protocol 'xview'"),
        (["{run}", "--protocol", "xview"], 2, "DATA, which is not given"),
    ],
)
def test_errors_are_one_line(run, ntu, tmp_path, arguments, code, message):
    places = {"here": tmp_path, "run": run, "ntu": ntu}
    result = CliRunner().invoke(main, ["report", *(text.format(**places) for text in arguments)])
    assert result.exit_code == code
    assert result.stdout == ""
    assert re.search(message, result.stderr.strip().splitlines()[-1])
    assert not list(tmp_path.rglob("*.html"))


def test_store_of_another_layout_is_refused(run, kinect, tmp_path):
    with pytest.raises(SkelkitError, match="its joint layout is kinect20"):
        report(run, tmp_path / "a.html", kinect)


# Beside the paper's


def figures(*arguments, transfer=False, **settings):
    return [(row.top1, row.encoder, row.share) for row in published(*arguments, settings, transfer=transfer)]


def test_figures_of_the_paper_are_found_where_they_compare():
    assert (0.852, "seq+graph", None) in figures("linear", "ntu60", "xview", quick=False)
    assert figures("linear", "ntu60", "xsub", quick=False) == [(0.763, "seq+graph", None)]
    assert figures("linear", "ntu60", "xsub", quick=True) == []
    assert figures("retrieval", "ntu120", "xset", k=1, compressed=False) == [(0.523, "seq+graph", None)]
    assert figures("retrieval", "ntu120", "xset", k=5, compressed=False) == []
    assert figures("retrieval", "ntu120", "xset", k=1, compressed=True) == []
    assert [share for _, _, share in figures("semi", "ntu60", "xview")] == [1, 5, 10, 20]
    assert figures("finetune", "pku2", "xsub") == []
    assert [top1 for top1, _, _ in figures("finetune", "pku2", "xsub", transfer=True)] == [0.451, 0.459]
    assert figures("finetune", "ntu60", "xsub", transfer=True) == []
    assert all(0.3 < row.top1 < 0.95 for row in PUBLISHED)


def test_dataset_is_asked_of_the_store_and_the_store_is_checked(own_run, ntu, tmp_path):
    store = renamed(ntu, tmp_path / "ntu60.h5", "ntu60")
    evaluate_retrieval(open_setting(own_run, store, "xsub", device=CPU))

    def told(data=None):
        (one,) = report(own_run, tmp_path / "a.html", data)["evaluations"]
        return one["dataset"], [row["top1"] for row in one["published"]]

    assert told() == ("ntu60", [0.625])
    moved = store.rename(tmp_path / "moved.h5")
    assert told() == ("", [])
    assert told(moved) == ("ntu60", [0.625])
    renamed(ntu, store, "ntu60", mark="x")
    assert told() == ("", [])


# The features


@pytest.mark.parametrize("shape", [(40, 7), (6, 30)])
def test_plane_is_that_of_scikit_learn(shape):
    features = np.random.default_rng(1).normal(size=shape) * np.geomspace(3, 1, shape[1])
    points, explained = principal_plane(features)
    oracle = PCA(2).fit(features)
    np.testing.assert_allclose(np.abs(points), np.abs(oracle.transform(features)), atol=1e-9)
    np.testing.assert_allclose(explained, oracle.explained_variance_ratio_)
    assert (points.max(axis=0) == np.abs(points).max(axis=0)).all()


@pytest.mark.parametrize("features", [np.ones((1, 5)), np.ones((4, 5)), np.ones((4, 1))])
def test_plane_of_features_that_do_not_span_one(features):
    points, explained = principal_plane(features)
    assert points.shape == (len(features), 2)
    assert not points.any()
    assert not explained.any()


def test_queries_are_half_confusions_the_most_frequent_first():
    label = np.repeat(np.arange(10), 10)
    found = label.copy()
    found[:3], found[10:15], found[20] = 1, 2, 3
    rows = pick_queries(label, found, 8)
    assert rows[:3] == [10, 0, 20]
    assert len(rows) == len(set(rows)) == 8
    assert (found[rows[3:]] == label[rows[3:]]).all()
    assert pick_queries(label, label, 4) == [0, 30, 60, 90]
    assert len(pick_queries(label, (label + 1) % 10, 4)) == 4


def test_map_and_gallery_are_those_of_the_features(evaluated, ntu, tmp_path):
    space = report(evaluated, tmp_path / "a.html", ntu)["space"]
    setting = open_setting(evaluated, ntu, "xsub", device=CPU)
    test = setting.held_out["test"]
    assert [sample["name"] for sample in space["samples"]] == [setting.names[place] for place in test]
    assert [seen["representation"] for seen in space["representations"]] == ["seq", "graph"]
    for seen in space["representations"]:
        features = setting.features(setting.trained.encoder(seen["representation"]))
        everything = torch.nn.functional.normalize(features.everything(), dim=1).numpy()
        plane = PCA(2).fit_transform(everything[test])
        np.testing.assert_allclose(np.abs(seen["points"]), np.abs(plane), atol=1e-3)
        for query in seen["queries"]:
            cosine = everything[setting.train] @ everything[setting.names.index(query["name"])]
            assert [one["similarity"] for one in query["neighbours"]] == pytest.approx(
                np.sort(cosine)[:-6:-1], abs=1e-4
            )
            for one in query["neighbours"]:
                place = setting.names.index(one["name"])
                assert place in setting.train
                assert one["label"] == setting.sequences.label[place]


def test_skeletons_are_the_views_the_encoder_saw(evaluated, ntu, tmp_path):
    report(evaluated, tmp_path / "a.html", ntu)
    data = embedded(tmp_path / "a.html")
    queries = [query for seen in data["report"]["space"]["representations"] for query in seen["queries"]]
    shown = {query["name"] for query in queries} | {
        n["name"] for query in queries for n in query["neighbours"]
    }
    assert {view["title"] for view in data["views"]} == shown
    with Store(ntu) as store:
        sequence = store.sequence(store.place(data["views"][0]["title"]))
    start = int((1 - 0.95) * sequence.frames / 2)
    wanted = naive.resample(sequence.joints[start : sequence.frames - start], 16)
    np.testing.assert_allclose(unpacked(data["views"][0]), wanted, atol=2e-3)


def unpacked(view):
    whole = np.frombuffer(base64.b64decode(view["data"]), "<i2")
    return (whole * view["step"]).reshape(view["frames"], view["bodies"], -1, 3)


# The page


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


@pytest.fixture
def hostile(own_run, ntu, tmp_path):
    """A page on which every name is hostile."""
    store = renamed(ntu, tmp_path / "ntu.h5", HOSTILE, HOSTILE, tuple(HOSTILE + str(k) for k in range(4)))
    folder = own_run.rename(own_run.with_name("<img src=x onerror=alert(1)>"))
    evaluate_retrieval(open_setting(folder, store, "xsub", device=CPU))
    report(folder, tmp_path / "a.html", store)
    return tmp_path / "a.html"


def test_hostile_names_stay_data(hostile):
    text = hostile.read_text("utf-8")
    assert text.count("<script") == text.count("</script") == 3
    assert "<img" not in text
    assert embedded(hostile)["report"]["space"]["classes"][0] == HOSTILE + "0"
    with browser() as driver:
        driver.open(hostile)
        assert "hacked" not in driver.state()
        assert HOSTILE.split("\u2028")[0] in driver.text("#results")
        driver.finish(hostile)


def test_page_without_the_store_tells_how_to_get_the_rest(evaluated, tmp_path):
    page = tmp_path / "a.html"
    report(evaluated, page)
    with browser() as driver:
        driver.open(page)
        driver.state()
        assert f"skelkit-train report {evaluated} DATA.h5" in driver.text("#space")
        assert "needs the store" in driver.text("#gallery")
        driver.finish(page)


def test_page_of_a_run_that_was_not_evaluated(run, tmp_path):
    page = tmp_path / "a.html"
    report(run, page)
    with browser() as driver:
        driver.open(page)
        driver.state()
        assert f"skelkit-train eval linear {run} DATA.h5 --protocol xsub" in driver.text("#results")
        assert "representations" in driver.text("#settings")
        driver.finish(page)


def test_results_on_the_page(own_run, ntu, tmp_path):
    page, store = tmp_path / "a.html", renamed(ntu, tmp_path / "ntu60.h5", "ntu60")
    setting = open_setting(own_run, store, "xsub", device=CPU)
    evaluate_linear(setting, LinearConfig(epochs=3), representation="seq", seeds=2)
    told = report(own_run, page)["evaluations"][0]
    with browser() as driver:
        driver.open(page)
        driver.state()
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
        driver.finish(page)


def test_hover_names_what_is_under_the_pointer(evaluated, ntu, tmp_path):
    page = tmp_path / "a.html"
    told = report(evaluated, page, ntu)
    row = told["evaluations"][0]["rows"][0]
    with browser() as driver:
        driver.open(page)
        driver.state()

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
        driver.finish(page)


def test_gallery_moves_and_marks_right_and_wrong(evaluated, ntu, tmp_path):
    page = tmp_path / "a.html"
    seen = report(evaluated, page, ntu)["space"]["representations"]
    with browser() as driver:
        driver.open(page)
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
        driver.finish(page)


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
