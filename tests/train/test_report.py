"""The report: its numbers are those of the run, the paper's and the features'."""

from __future__ import annotations

import json
import re

import naive
import numpy as np
import pytest
import torch
from previews import embedded, unpacked
from runs import invoke, report, setting
from sklearn.decomposition import PCA

from skelkit.errors import SkelkitError
from skelkit.store import Store
from skelkit_train.evaluate.tasks import evaluate_retrieval
from skelkit_train.report.paper import PUBLISHED, published
from skelkit_train.report.space import pick_queries, principal_plane

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
    result = invoke("report", evaluated, ntu, "-o", tmp_path / "a.html", "--device", "cpu", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told.pop("out") == str(tmp_path / "a.html")
    assert told == embedded(tmp_path / "a.html")["report"]


def test_page_goes_into_the_run_if_not_said_otherwise(own_run):
    result = invoke("report", own_run)
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


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"rows": [{"top1": 1}]}'])
def test_damaged_results_are_passed_over(evaluated, tmp_path, content):
    (evaluated / "eval-linear-other.json").write_text(content)
    with pytest.warns(UserWarning, match=r"eval-linear-other\.json.*passed over"):
        told = report(evaluated, tmp_path / "a.html")
    assert [one["task"] for one in told["evaluations"]] == ["linear", "retrieval"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{here}/none"], 1, "no such run"),
        (["{run}", "-o", "{here}/none/a.html"], 1, "the folder .*none does not exist"),
        (["{run}", "{here}/none.h5"], 1, "no such file"),
        (["{run}", "{ntu}", "--protocol", "xview"], 1, "no protocol 'xview'"),
        (["{run}", "--protocol", "xview"], 2, "DATA, which is not given"),
    ],
)
def test_errors_are_one_line(run, ntu, tmp_path, arguments, code, message):
    places = {"here": tmp_path, "run": run, "ntu": ntu}
    result = invoke("report", *(text.format(**places) for text in arguments))
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
    assert [figures("linear", dataset, "xsub", quick=False)[0][0] for dataset in ("pku1", "pku2")] == [
        0.809,
        0.36,
    ]
    assert all(0.3 < row.top1 < 0.95 for row in PUBLISHED)


def test_dataset_is_asked_of_the_store_and_the_store_is_checked(own_run, ntu, rewritten, tmp_path):
    store = rewritten(ntu, dataset="ntu60")
    evaluate_retrieval(setting(own_run, store))

    def told(data=None):
        (one,) = report(own_run, tmp_path / "a.html", data)["evaluations"]
        return one["dataset"], [row["top1"] for row in one["published"]]

    assert told() == ("ntu60", [0.625])
    moved = store.rename(tmp_path / "moved.h5")
    assert told() == ("", [])
    assert told(moved) == ("ntu60", [0.625])
    assert rewritten(ntu, mark="x", dataset="ntu60") == store
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
    where = setting(evaluated, ntu)
    test = where.held_out["test"]
    assert [sample["name"] for sample in space["samples"]] == [where.names[place] for place in test]
    assert [seen["representation"] for seen in space["representations"]] == ["seq", "graph"]
    for seen in space["representations"]:
        features = where.features(where.trained.encoder(seen["representation"]))
        everything = torch.nn.functional.normalize(features.everything(), dim=1).numpy()
        plane = PCA(2).fit_transform(everything[test])
        np.testing.assert_allclose(np.abs(seen["points"]), np.abs(plane), atol=1e-3)
        for query in seen["queries"]:
            cosine = everything[where.train] @ everything[where.names.index(query["name"])]
            assert [one["similarity"] for one in query["neighbours"]] == pytest.approx(
                np.sort(cosine)[:-6:-1], abs=1e-4
            )
            for one in query["neighbours"]:
                place = where.names.index(one["name"])
                assert place in where.train
                assert one["label"] == where.sequences.label[place]


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
