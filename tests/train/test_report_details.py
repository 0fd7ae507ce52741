"""The report: damaged metrics, the names of the classes beside the confusion matrix, runs that were fused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from browser import browser
from runs import CPU, train

from skelkit_train.checkpoint import load_latest
from skelkit_train.evaluate.setting import open_setting
from skelkit_train.evaluate.tasks import evaluate_retrieval
from skelkit_train.report import write_report
from skelkit_train.report.page import no_scene, page

DAMAGED = ["not JSON", "[1]", '{"loss": 1}', '{"epoch": 4, "loss": NaN}', '{"epoch": 4, "loss": "low"}']
NAMES = ["drop trash", "pick up with one hand", "pick up with two hands", "walk around"]


def report(run, out, data=None):
    return write_report(run, out, data, device=CPU)


# Damaged metrics


@pytest.mark.parametrize("line", DAMAGED)
def test_report_and_resume_leave_out_the_same_lines(line, own_run, ntu, tmp_path):
    log = own_run / "metrics.jsonl"
    whole = log.read_text()
    log.write_text(line + "\n" + whole)
    told = report(own_run, tmp_path / "a.html")
    assert told["course"] == [json.loads(row) for row in whole.splitlines()]
    assert told["damaged"] == 1
    train(ntu, own_run, load_latest(own_run).config, resume=True)
    assert log.read_text() == whole


def test_bytes_that_are_no_text_are_one_damaged_line(own_run, tmp_path):
    log = own_run / "metrics.jsonl"
    log.write_bytes(b"\xff\x00\xfe\n" + log.read_bytes())
    told = report(own_run, tmp_path / "a.html")
    assert (len(told["course"]), told["damaged"]) == (3, 1)


def test_a_line_being_written_is_not_damaged(own_run, tmp_path):
    with (own_run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 4, "lo')
    told = report(own_run, tmp_path / "a.html")
    assert (len(told["course"]), told["damaged"]) == (3, 0)


def test_page_tells_how_many_lines_were_left_out(own_run, tmp_path):
    log, out = own_run / "metrics.jsonl", tmp_path / "a.html"
    log.write_text("garbage\n" + log.read_text() + "garbage\n")
    report(own_run, out)
    with browser() as driver:
        driver.open(out)
        driver.state()
        assert "2 damaged lines of metrics.jsonl left out" in driver.text("#training")
        assert "3 epochs" in driver.text("#training")
        log.write_text("garbage\n")
        report(own_run, out)
        driver.open(out)
        driver.state()
        shown = driver.text("#training")
        assert "1 damaged line of metrics.jsonl left out" in shown
        assert "not trained here" not in shown
        driver.finish(out)


# Runs that were fused


def test_page_names_the_run_that_was_fused(own_run, ntu, tiny, tmp_path):
    train(ntu, tmp_path / "other", tiny(epochs=1))
    evaluate_retrieval(open_setting(own_run, ntu, "xsub", device=CPU, others=[tmp_path / "other"]))
    out = tmp_path / "a.html"
    (told,) = report(own_run, out)["evaluations"]
    assert [(other["run"], other["epoch"]) for other in told["fused_with"]] == [(str(tmp_path / "other"), 1)]
    with browser() as driver:
        driver.open(out)
        driver.state()
        assert f"fused with {tmp_path / 'other'} after 1 epoch;" in driver.text("#results")
        driver.finish(out)


def test_results_from_before_runs_could_be_fused_are_read(own_run, ntu, tmp_path):
    path = evaluate_retrieval(open_setting(own_run, ntu, "xsub", device=CPU)).path
    content = json.loads(path.read_text())
    del content["fused_with"]
    path.write_text(json.dumps(content))
    (told,) = report(own_run, tmp_path / "a.html")["evaluations"]
    assert list(told["fused_with"]) == []


# The confusion matrix


def page_of(own_run, ntu, out, classes):
    """A page whose one result has these classes; each is taken for the next one in a fifth of the cases."""
    evaluate_retrieval(open_setting(own_run, ntu, "xsub", device=CPU), representation="seq", baselines=False)
    told = report(own_run, out)
    (one,) = told["evaluations"]
    k = len(classes)
    (row,) = one["rows"]
    confusion = (4 * np.eye(k) + np.roll(np.eye(k), 1, axis=1)).astype(int).tolist()
    one["rows"] = [{**row, "confusion": confusion, "per_class": [0.8] * k, "confused": []}]
    one["classes"] = classes
    out.write_text(page(told, no_scene()), encoding="utf-8")
    return out


WRITE_AGAIN = """
const shown = [], real = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
  if (this.canvas.classList.contains("square")) shown.push(text);
  real.call(this, text, x, y);
};
document.getElementById("result").dispatchEvent(new Event("change"));
const drawn = (then) => requestAnimationFrame(() => requestAnimationFrame(then));
return new Promise((done) => drawn(() => done(shown)));
"""


@pytest.mark.parametrize("width", [390, 1280])
def test_few_classes_stand_by_name_on_both_axes(width, own_run, ntu, tmp_path):
    out = page_of(own_run, ntu, tmp_path / "a.html", NAMES)
    with browser() as driver:
        driver.screen(width, 900)
        driver.open(out)
        driver.state()
        texts = driver.run(WRITE_AGAIN)
        assert {"true class", "predicted class"} < set(texts)
        for name in NAMES:
            starts = [text for text in texts if text == name or name.startswith(text.rstrip("\u2026"))]
            assert len(starts) == 2
        driver.finish(out)


@pytest.mark.parametrize(("width", "classes", "step"), [(1280, 60, 5), (390, 120, 20)])
def test_many_classes_are_numbered_and_named_by_hover_and_list(width, classes, step, own_run, ntu, tmp_path):
    names = [f"action {chr(97 + k // 26)}{chr(97 + k % 26)}" for k in range(classes)]
    out = page_of(own_run, ntu, tmp_path / "a.html", names)
    with browser() as driver:
        driver.screen(width, 900)
        driver.open(out)
        driver.state()
        texts = driver.run(WRITE_AGAIN)
        numbers = [str(k) for k in range(step, classes + 1, step)]
        assert sorted(filter(None, texts)) == sorted([*numbers, *numbers, "true class", "predicted class"])
        listed = driver.text("#detail .classes").split("\n")
        assert f"{classes} {names[-1]}" in listed
        left, top, size, _ = driver.box("canvas.square")
        driver.state()  # scrolling, which hides the note, is over then
        driver.hover(left + size - 12, top + size - 12)
        found = driver.text("#note").split("\n")[0]
        assert found in names[-4:]
        driver.finish(out)
