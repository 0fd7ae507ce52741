"""The commands of evaluation: what they print is what they write, and they fail in one line."""

from __future__ import annotations

import json

import pytest
from runs import fails, invoke

COMMANDS = {
    "linear": ["--epochs", 2, "--seeds", 2],
    "retrieval": ["-k", 3],
    "semi": ["--epochs", 1, "--share", 20, "--subsets", 2],
    "finetune": ["--epochs", 1],
    "supervised": ["--epochs", 1],
}
NAMES = {
    "linear": "epochs2-seed5-seeds2",
    "retrieval": "k3-seed5",
    "semi": "epochs1-seed5-shares20-subsets2",
    "finetune": "epochs1-seed5",
    "supervised": "epochs1-seed5",
}


@pytest.mark.parametrize("task", COMMANDS)
def test_printed_json_is_the_file_named_by_its_settings(task, own_run, ntu):
    options = ["--protocol", "xsub", "--representation", "seq", "--seed", 5, "--device", "cpu", "--json"]
    result = invoke("eval", task, own_run, ntu, *COMMANDS[task], *options)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    path = own_run / f"eval-{task}-{ntu.stem}-xsub-seq-{NAMES[task]}.json"
    assert found == json.loads(path.read_text())
    assert found["task"] == task
    assert found["settings"]["seed"] == 5
    assert found["rows"][0]["encoder"] == ("from random weights" if task == "supervised" else "pretrained")


def test_subsets_of_one_run_serve_another(own_run, ntu, tmp_path):
    options = ["--protocol", "xsub", "--representation", "seq", "--epochs", 1, "--device", "cpu", "--json"]
    first = json.loads(invoke("eval", "semi", own_run, ntu, "--share", 20, "--subsets", 2, *options).stdout)
    (own_run / first["subset_files"][0]).rename(tmp_path / "subsets.json")
    given = ["--subset-file", tmp_path / "subsets.json"]
    again = json.loads(invoke("eval", "semi", own_run, ntu, *given, *options).stdout)
    assert [trial.pop("recalled") for trial in first["rows"][0]["trials"]] == [False, False]
    assert [trial.pop("recalled") for trial in again["rows"][0]["trials"]] == [True, True]
    assert again["rows"] == first["rows"]
    told = invoke("eval", "semi", own_run, ntu, *given, *options[:-1]).stdout
    assert "  2 of 2 trainings were finished before; --fresh does them again\n" in told
    assert "give it or --share" in fails(
        "eval", "semi", own_run, ntu, *given, "--share", 5, "--protocol", "xsub", code=2
    )
    (tmp_path / "subsets.json").write_text("{}")
    assert "subsets.json: no file of label subsets" in fails(
        "eval", "semi", own_run, ntu, *given, "--protocol", "xsub"
    )


def test_table_shows_deviations_validation_and_the_best_on_test(own_run, ntu, monkeypatch):
    monkeypatch.setattr("skelkit.progress._PATIENCE", 0)
    options = ["--protocol", "xsub", "--epochs", 2, "--seeds", 2, "--validation", 1, "--no-baselines"]
    result = invoke("eval", "linear", own_run, ntu, *options, "--device", "cpu")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("linear, xsub: 16 train, 8 test, 8 validation")
    # Of the store's four classes the first five have the right one always.
    assert lines[1].split() == ["top-1", "mean", "class", "validation", "best", "on", "test"]
    nearest = invoke("eval", "retrieval", own_run, ntu, "--protocol", "xsub", "--device", "cpu")
    assert nearest.stdout.splitlines()[1].split() == ["top-1", "top-5", "mean", "class", "mAP"]
    assert lines[2].count("±") == 4
    assert "linear, pretrained seq, seed 0" in result.stderr  # the progress


@pytest.mark.parametrize("task", COMMANDS)
def test_wrong_usage_and_what_a_user_can_mend(task, own_run, ntu):
    where = ["eval", task, own_run, ntu, "--protocol", "xsub"]
    assert "'--representation'" in fails(*where, "--representation", "seq+sound", code=2)
    assert "'--representation'" in fails(*where, "--representation", "", code=2)
    assert "'--fusion'" in fails(*where, "--fusion", "votes", code=2)
    assert "has seq, graph, not image" in fails(*where, "--representation", "image")
    assert "9 subjects cannot be held out" in fails(*where, "--validation", 9)


@pytest.mark.parametrize("share", [0, 101, "nan", "inf"])
def test_a_share_of_nothing_is_wrong_usage(share, own_run, ntu):
    assert "'--share'" in fails("eval", "semi", own_run, ntu, "--protocol", "xsub", "--share", share, code=2)


def test_a_share_given_twice_is_wrong_usage(own_run, ntu):
    shares = ["--share", 5, "--share", "5.0"]
    assert "--share: the same" in fails("eval", "semi", own_run, ntu, "--protocol", "xsub", *shares, code=2)


@pytest.mark.parametrize("rate", ["nan", "inf", 0, -1])
@pytest.mark.parametrize("task", ["semi", "finetune", "supervised"])
def test_a_learning_rate_that_is_none_is_wrong_usage(task, rate, own_run, ntu):
    given = ["--protocol", "xsub", "--learning-rate", rate]
    assert "'--learning-rate'" in fails("eval", task, own_run, ntu, *given, code=2)


def test_seeds_of_what_is_not_random_are_wrong_usage(own_run, ntu):
    where = [own_run, ntu, "--protocol", "xsub", "--seeds", 3]
    assert "--quick" in fails("eval", "linear", *where, "--quick", code=2)
    assert "--compressed" in fails("eval", "retrieval", *where, code=2)


def test_quick_has_no_epochs_and_is_told_apart(own_run, ntu):
    where = [own_run, ntu, "--protocol", "xsub", "--representation", "seq", "--device", "cpu"]
    assert "no --epochs" in fails("eval", "linear", *where, "--quick", "--epochs", 80, code=2)
    for options, title in (["--quick"], "linear (quick), xsub: "), (["--epochs", 1], "linear, xsub: "):
        told = invoke("eval", "linear", *where, *options).stdout
        assert title in told, told


def test_a_fine_tuning_that_diverges_is_one_line(own_run, ntu):
    before = sorted(path.name for path in own_run.iterdir())
    line = fails(
        *("eval", "finetune", own_run, ntu, "--protocol", "xsub", "--representation", "graph"),
        *("--learning-rate", 1e30, "--epochs", 2, "--device", "cpu"),
    )
    assert "stopped being a finite number in epoch" in line
    assert sorted(path.name for path in own_run.iterdir()) == before
