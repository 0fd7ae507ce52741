"""The command says what it can do, prints what was asked for and nothing else, and fails in one line."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from interrupts import interrupted
from runs import fails, invoke
from torch._inductor.exc import InductorError, InvalidCxxCompiler

from skelkit_train.checkpoint import load_latest
from skelkit_train.cli import PRESET_NAMES, REPRESENTATION_NAMES, main
from skelkit_train.config import PRESETS, PretrainConfig, read_toml, resolve
from skelkit_train.encoders import ENCODERS


def commands(command, words=()):
    """Every command by its words."""
    if isinstance(command, click.Group):
        for name, part in command.commands.items():
            yield from commands(part, (*words, name))
    else:
        yield words, command


COMMANDS = dict(commands(main))


@pytest.fixture
def settings(tmp_path, tiny):
    """A --config file with small settings."""
    file = tmp_path / "settings.toml"
    file.write_text(tiny().to_toml())
    return file


# Help


def test_commands_are_those_of_the_contract():
    tasks = ("linear", "retrieval", "semi", "finetune", "supervised")
    others = ("pretrain", "import-checkpoint", "embed", "export", "report")
    assert set(COMMANDS) == {("eval", task) for task in tasks} | {(name,) for name in others}


@pytest.mark.parametrize("words", COMMANDS)
def test_help_has_an_example_that_is_a_valid_command(words):
    result = invoke(*words, "--help")
    assert result.exit_code == 0
    before, _, example = result.output.partition("Example:\n")
    assert COMMANDS[words].help.splitlines()[0] in before
    example = example.strip().splitlines()[0].strip()
    assert example.startswith(" ".join(["skelkit-train", *words]))
    given = shlex.split(example)[1 + len(words) :]
    context = COMMANDS[words].make_context(words[-1], given)
    assert str(context.params["run"]) == "runs/isc"
    for option in COMMANDS[words].params:
        if isinstance(option, click.Option):
            assert max(option.opts, key=len) in result.output


def test_groups_list_their_commands():
    assert "Evaluate a run" in invoke("--help").output
    assert "linear" in invoke("eval", "-h").output
    assert invoke("--version").output.startswith("skelkit-train, version ")


def test_choices_are_those_of_the_modules():
    assert set(PRESET_NAMES) == set(PRESETS)
    assert set(REPRESENTATION_NAMES) == set(ENCODERS)


def test_help_does_not_wait_for_torch():
    code = (
        "import sys; from skelkit_train.cli import main; main(['pretrain', '--help'], standalone_mode=False);"
        "print(sorted({'torch', 'numba', 'h5py', 'scipy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "[]"


# Settings


def test_flag_wins_over_file_over_preset_over_default(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('epochs = 5\nbatch_size = 6\nmomentum = 0.5\nprotocol = "xview"\n')
    flags = ["--preset", "small", "--config", file, "--epochs", 7, "--set", "momentum=0.25"]
    result = invoke("pretrain", "none.h5", *flags, "--representations", "seq+image", "--print-config")
    assert result.exit_code == 0
    (tmp_path / "printed.toml").write_text(result.stdout)
    config = resolve(read_toml(tmp_path / "printed.toml"))
    assert (config.epochs, config.momentum, config.representations) == (7, 0.25, "seq+image")
    assert (config.batch_size, config.protocol) == (6, "xview")
    assert (config.queue, config.optimizer) == (PRESETS["small"]["queue"], "adamw")
    assert (config.weight_decay, config.seed) == (1e-4, 0)


def test_flag_wins_over_set():
    printed = invoke("pretrain", "none.h5", "--set", "seed=3", "--seed", 4, "--print-config", "--json")
    assert json.loads(printed.stdout)["seed"] == 4


def test_print_config_without_anything_is_the_papers(tmp_path):
    assert invoke("pretrain", "none.h5", "--print-config").stdout == PretrainConfig().to_toml()
    invoke("pretrain", "none.h5", "--print-config", "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()


# The chain


def test_pretrain_resume_and_both_evaluations(ntu, settings, tmp_path):
    run = tmp_path / "run"
    given = ["pretrain", ntu, "--config", settings, "-o", run, "--device", "cpu"]
    result = invoke(*given)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{run}: 2 epochs, loss ")
    assert "epoch 2/2" in result.stderr
    assert load_latest(run).epoch == 2

    # Its own settings hold without being given again.
    result = invoke("pretrain", ntu, "-o", run, "--device", "cpu", "--resume", "--epochs", 3, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert found == {"run": str(run), **last}
    assert found["epoch"] == 3

    for words, settings_of_it in (
        (["linear", "--epochs", 2, "--seed", 5], {"epochs": 2, "seed": 5}),
        (["retrieval", "-k", 3], {"k": 3}),
    ):
        result = invoke("eval", *words, run, ntu, "--protocol", "xsub", "--device", "cpu", "--json")
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert found == json.loads((run / found["file"]).read_text())
        assert settings_of_it.items() <= found["settings"].items()
        assert len(found["rows"]) == 3


def test_table_is_for_people(own_run, ntu):
    options = ["--protocol", "xsub", "--representation", "graph", "--no-baselines", "--device", "cpu"]
    result = invoke("eval", "retrieval", own_run, ntu, *options)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "retrieval, xsub: 24 train, 8 test, checkpoint after 3 epochs"
    assert [line.split()[0] for line in lines[1:]] == ["top-1", "pretrained", "chance", "one", "written"]
    assert Path(lines[-1].split()[-1]).is_file()
    assert "Warning" not in result.stderr


# Failing


def test_wrong_usage_is_exit_code_2(ntu, tmp_path):
    assert "Missing option '-o'" in fails("pretrain", ntu, code=2)
    assert "Missing argument 'DATA'" in fails("pretrain", code=2)
    assert "'--preset'" in fails("pretrain", ntu, "--preset", "big", code=2)
    assert "'--epochs'" in fails("pretrain", ntu, "--epochs", "0", code=2)
    assert "no setting 'momentun'; did you mean momentum?" in fails(
        "pretrain", ntu, "-o", tmp_path / "run", "--set", "momentun=1", code=2
    )
    assert "expected FIELD=VALUE" in fails("pretrain", ntu, "--set", "momentum", code=2)
    assert "momentum is 'much', expected float" in fails("pretrain", ntu, "--set", "momentum=much", code=2)
    assert "'--representation'" in fails(
        "eval", "linear", tmp_path, ntu, "--protocol", "xsub", "--representation", "seq+sound", code=2
    )
    assert "'-k'" in fails("eval", "retrieval", tmp_path, ntu, "--protocol", "xsub", "-k", "0", code=2)


def test_what_a_user_can_mend_is_one_line_and_exit_code_1(ntu, own_run, settings, tmp_path):
    run = tmp_path / "run"
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    assert "no run in this folder" in fails("pretrain", ntu, "-o", tmp_path / "empty", "--resume")
    (tmp_path / "wrong.toml").write_text("optimizer = 'adam'\n")
    assert (
        f"Error: {tmp_path / 'wrong.toml'}: optimizer 'adam': expected sgd or adamw; did you mean adamw?"
        in fails("pretrain", ntu, "-o", run, "--config", tmp_path / "wrong.toml", "--seed", "1")
    )
    assert "none.toml: no such file; did you mean wrong.toml?" in fails(
        "pretrain", ntu, "-o", run, "--config", tmp_path / "none.toml"
    )
    assert "no such file" in fails("pretrain", tmp_path / "none.h5", "--config", settings, "-o", run)
    assert "no protocol 'xset'; it has xsub" in fails(
        "pretrain", ntu, "--config", settings, "-o", run, "--protocol", "xset"
    )
    assert "exists already; --resume" in fails("pretrain", ntu, "--config", settings, "-o", own_run)
    assert "is it a run of skelkit-train pretrain?" in fails(
        "eval", "linear", tmp_path, ntu, "--protocol", "xsub"
    )
    assert not run.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--set crop_low=0.9 --set crop_high=0.5", "crop: shares 0.9 to 0.5"),
        ("--representations pixels", "'pixels': expected seq, graph, image or several joined by +"),
        ("--representations seq+grpah", "'seq+grpah': .*; did you mean graph?"),
        ("--representations seq+seq", "'seq+seq': .*, each once"),
        ("--protocol subject:a-b", "--protocol: 'subject:a-b', expected COLUMN:VALUES"),
        ("--preset smal", "did you mean small?"),
        ("--set spatial=sheer", "'sheer': expected shear, jitter, .*; did you mean shear?"),
        ("--seed 99999999999", "seed is 99999999999"),
        ("--set optimizer=adamx", "optimizer 'adamx': expected sgd or adamw; did you mean adamw?"),
        ("--config WRONG --set optimizer=sgd --representations pixels", "'pixels': expected seq"),
    ],
)
def test_settings_that_make_no_sense_are_wrong_usage(ntu, tmp_path, words, said):
    (tmp_path / "wrong.toml").write_text("optimizer = 'adam'\n")
    words = words.replace("WRONG", str(tmp_path / "wrong.toml"))
    result = invoke("pretrain", ntu, "-o", tmp_path / "run", *words.split(), "--json")
    assert result.exit_code == 2
    assert re.search(said.replace("?", r"\?").replace("+", r"\+"), result.stderr)
    assert json.loads(result.stdout)["exit_code"] == 2
    assert not (tmp_path / "run").exists()


def test_of_several_processes_the_first_alone_prints_the_object(tmp_path, monkeypatch):
    given = ("pretrain", tmp_path / "none.h5", "-o", tmp_path / "run", "--json")
    monkeypatch.setenv("RANK", "0")
    assert json.loads(invoke(*given).stdout)["exit_code"] == 1
    monkeypatch.setenv("RANK", "1")
    other = invoke(*given)
    assert (other.exit_code, other.stdout) == (1, "")
    assert "none.h5: no such file" in other.stderr


@pytest.mark.parametrize("task", ["linear", "retrieval"])
def test_a_store_of_other_parameters_is_one_line_naming_both(task, own_run, ntu, rewritten):
    recipe = {"name": "raw", "source": "", "steps": [{"step": "first_slots", "bodies": 1}]}
    line = fails("eval", task, own_run, rewritten(ntu, recipe=recipe), "--protocol", "xsub")
    assert "rewritten.h5: its recipe raw has step 1, first_slots(bodies=1); in that of the run it has" in line


def test_want_of_memory_is_one_line(ntu, settings, tmp_path):
    given = ["--config", settings, "--set", f"queue={10**14}", "--device", "cpu"]  # petabytes
    assert "out of memory: try --device cpu" in fails("pretrain", ntu, *given, "-o", tmp_path / "run")


@pytest.mark.parametrize(
    "error",
    [
        InductorError(InvalidCxxCompiler(), "here"),
        RuntimeError("Failed to find C compiler. Please specify via CC environment variable."),
    ],
)
def test_want_of_a_compiler_is_one_line(error, ntu, settings, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("skelkit_train.pretrain._Training.take_step", fail)
    line = fails("pretrain", ntu, "--config", settings, "-o", tmp_path / "run", "-q")
    assert line.startswith("Error: the encoders cannot be compiled (")
    assert "ompiler" in line
    assert line.endswith("); --set compile=off does without")


def test_interruption_is_one_line(ntu, settings, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("skelkit_train.pretrain.build_model", interrupted)
    result = invoke("pretrain", ntu, "--config", settings, "-o", tmp_path / "run")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "interrupted\n")


def test_loss_that_diverges_is_one_line_after_the_progress(ntu, settings, tmp_path):
    options = ["--config", settings, "--set", "optimizer=sgd", "--set", "learning_rate=1e30"]
    result = invoke("pretrain", ntu, *options, "-o", tmp_path / "run")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "lower learning_rate may help" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


@pytest.mark.filterwarnings("default:.*damaged")
def test_damaged_checkpoint_is_warned_of_in_one_line_on_standard_error(own_run, ntu):
    newest = own_run / "checkpoint-000003.pt"
    newest.write_bytes(b"")
    result = invoke("eval", "retrieval", own_run, ntu, "--protocol", "xsub", "--device", "cpu", "--json")
    assert json.loads(result.stdout)["epoch"] == 2
    assert result.stderr == f"Warning: {newest}: damaged, and passed over: its SHA-256 is another\n"


def test_printed_configuration_is_that_of_the_run(ntu, settings, tmp_path):
    given = ["pretrain", ntu, "--config", settings, "--seed", 3, "-o", tmp_path / "run", "--device", "cpu"]
    printed = json.loads(invoke(*given, "--print-config", "--json").stdout)
    assert invoke(*given).exit_code == 0
    assert resolve(printed) == load_latest(tmp_path / "run").config
    assert asdict(resolve(read_toml(tmp_path / "run" / "config.toml")))["seed"] == 3


def test_without_torch_it_says_what_to_install(ntu, tmp_path):
    code = "import sys; sys.modules['torch'] = None; from skelkit_train.cli import main; main()"
    command = [sys.executable, "-c", code, "pretrain", str(ntu), "-o", str(tmp_path / "run")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr == 'Error: torch is not installed; pip install "skelkit[train]"\n'


# How much is said


def test_quiet_and_verbose_are_the_same_everywhere():
    for words in COMMANDS:
        text = invoke(*words, "--help").stdout
        assert "-q, --quiet" in text, words
        assert "-v, --verbose" in text, words


def test_quiet_is_the_result_only_and_verbose_more(ntu, settings, tmp_path):
    run = tmp_path / "run"
    given = ["pretrain", ntu, "--config", settings, "--device", "cpu", "-o"]
    quiet = invoke(*given, run, "--quiet")
    assert quiet.stderr == ""
    assert quiet.stdout.startswith(f"{run}: 2 epochs, loss ")
    (tmp_path / "run" / "checkpoint-000002.pt").write_bytes(b"")
    embed = ["embed", run, ntu, "--device", "cpu", "-o", tmp_path / "f.npz"]
    assert invoke(*embed, "-q").stderr == ""

    verbose = invoke(*given, tmp_path / "other", "--verbose")
    for said in ("loading torch: ", "on cpu, ", "  queue = 32\n", "training ", "in all: "):
        assert said in verbose.stderr
    task = ["eval", "retrieval", tmp_path / "other", ntu, "--protocol", "xsub", "--device", "cpu", "-v"]
    evaluated = invoke(*task, "--json")
    assert "xsub: 24 train, 8 test\n" in evaluated.stderr
    assert json.loads(evaluated.stdout)["task"] == "retrieval"


def test_completion_offers_the_protocols_of_the_store(ntu):
    for words in (f"pretrain {ntu} --protocol x", f"eval linear runs/isc {ntu} --protocol x"):
        asked = {"COMP_WORDS": f"skelkit-train {words}", "COMP_CWORD": str(words.count(" ") + 1)}
        result = CliRunner().invoke(
            main, [], prog_name="skelkit-train", env={"_SKELKIT_TRAIN_COMPLETE": "bash_complete", **asked}
        )
        assert result.stdout == "plain,xsub\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("where", "words", "said"),
    [
        ("skelkit_train.pretrain:named_values", "pretrain STORE --config TOML -o new", "--resume goes on"),
        ("skelkit_train.evaluate.features:centre_views", "embed RUN STORE -o f.npz", "interrupted"),
        (
            "skelkit_train.evaluate.tasks:linear",
            "eval linear RUN STORE --protocol xsub",
            "the same command goes on",
        ),
        ("skelkit_train.report:explore", "report RUN STORE -o r.html", "interrupted"),
    ],
)
def test_ctrl_c_and_sigterm_are_one_line(where, words, said, number, own_run, ntu, settings, tmp_path):
    names = {"STORE": ntu, "RUN": own_run, "TOML": settings}
    given = [str(names.get(word, word)) for word in words.split()]
    result = interrupted("skelkit_train", [*given, "--device", "cpu", "-q"], where, tmp_path, number)
    assert (result.returncode, result.stdout) == (1, "")
    assert "Error" not in result.stderr, "it was asked for"
    assert result.stderr.endswith(f"{said}\n")
    assert result.stderr.count("\n") == 1
