"""Settings come from where they should, say what is wrong with them, and are the paper's by default."""

from __future__ import annotations

from dataclasses import fields

import pytest
from click.testing import CliRunner

from skelkit.augment import ISC, Compose, Crop, JointJitter, OneOf, Resample, Rotation, Shear
from skelkit.errors import InputError, SkelkitError
from skelkit_train.cli import main
from skelkit_train.config import PRESETS, PretrainConfig, parse_setting, read_toml, resolve


def test_later_settings_win_over_earlier_over_defaults():
    preset = {"queue": 10, "momentum": 0.5, "epochs": 3}
    file = {"queue": 20, "momentum": 0.6}
    flag = {"queue": 30}
    config = resolve(preset, file, flag)
    assert (config.queue, config.momentum, config.epochs) == (30, 0.6, 3)
    assert config.temperature == PretrainConfig().temperature


@pytest.mark.parametrize("preset", PRESETS)
def test_toml_gives_the_same_configuration_back(preset, tmp_path):
    file = tmp_path / "config.toml"
    odd = {"protocol": 'the "x"\\\n😀', "weight_decay": 1e-16, "learning_rate": 1e22, "milestones": []}
    for config in (resolve(PRESETS[preset]), resolve(PRESETS[preset], odd)):
        file.write_text(config.to_toml(), encoding="utf-8")
        assert resolve(read_toml(file)) == config


@pytest.mark.parametrize("preset", PRESETS)
def test_every_field_has_its_text_beside_it_in_toml(preset):
    lines = resolve(PRESETS[preset]).to_toml().splitlines()
    assert [line.split(" = ")[0] for line in lines] == [field.name for field in fields(PretrainConfig)]
    texts = [line.partition("  # ")[2] for line in lines]
    assert all(len(text) > 10 for text in texts)
    assert len(set(texts)) == len(texts)


def test_isc_presets_are_the_papers():
    ntu60, ntu120, pku1, pku2 = (
        resolve(PRESETS[name]) for name in ("isc-ntu60", "isc-ntu120", "isc-pku1", "isc-pku2")
    )
    for config in (ntu60, ntu120, pku1, pku2):
        assert (config.optimizer, config.learning_rate, config.weight_decay) == ("sgd", 0.01, 1e-4)
        assert (config.batch_size, config.temperature, config.momentum) == (64, 0.07, 0.999)
        assert (config.embedding, config.frames) == (128, 64)
        assert (config.gru_hidden, config.gru_layers, config.gru_direction) == (1024, 3, "forward")
        assert (config.agcn_widths[-1], config.hcn_channels) == (256, 64)
        assert config.augmentation() == ISC
    assert [c.queue for c in (ntu60, ntu120, pku1, pku2)] == [16384, 16384, 8192, 2048]
    assert [c.epochs for c in (ntu60, ntu120, pku1, pku2)] == [451, 351, 600, 600]
    assert [c.milestones for c in (ntu60, ntu120, pku1, pku2)] == [(351,), (251,), (), ()]


@pytest.mark.parametrize("preset", PRESETS)
def test_print_config_needs_no_store_and_prints_the_preset_to_be_read_back(preset, tmp_path):
    printed = CliRunner().invoke(main, ["pretrain", "--print-config", "--preset", preset])
    assert printed.exit_code == 0
    assert printed.stdout == resolve(PRESETS[preset]).to_toml()
    (tmp_path / "printed.toml").write_text(printed.stdout, encoding="utf-8")
    again = ["pretrain", "--print-config", "--config", str(tmp_path / "printed.toml")]
    assert CliRunner().invoke(main, again).stdout == printed.stdout


@pytest.mark.parametrize(
    ("spatial", "parts"),
    [
        ("", ()),
        ("rotation", (OneOf((Rotation(45.0),)),)),
        ("jitter+shear", (OneOf((JointJitter(0.4, 0.3), Shear(0.2))),)),
    ],
)
def test_augmentation_is_made_of_the_settings(spatial, parts):
    config = resolve(
        {"spatial": spatial, "crop_low": 0.2, "crop_high": 0.9, "crop_shortest": 7, "frames": 32},
        {"shear_strength": 0.2, "jitter_share": 0.4, "jitter_strength": 0.3, "rotation_degrees": 45},
    )
    assert config.augmentation() == Compose((Crop(0.2, 0.9, 7), Resample(32), *parts))


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("momentum=0.99", ("momentum", 0.99)),
        ("milestones=[3, 5]", ("milestones", (3, 5))),
        ("representations=seq+graph", ("representations", "seq+graph")),
        ("spatial=", ("spatial", "")),
        (" momentum = 0.5 ", ("momentum", 0.5)),
        ("protocol=a=b", ("protocol", "a=b")),
        ("protocol=subject:3,1,2", ("protocol", "subject:1-3")),
        ("protocol=subject:x", ("protocol", "subject:x")),
    ],
)
def test_settings_on_the_command_line(text, setting):
    assert parse_setting(text) == setting


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"momentun": 0.9}, "no setting 'momentun'; did you mean momentum?"),
        ({"xyzzy": 1}, "no setting 'xyzzy'"),
        ({"epochs": "9"}, "epochs is '9', expected int"),
        ({"epochs": 1.5}, "epochs is 1.5, expected int"),
        ({"epochs": True}, "epochs is True, expected int"),
        ({"momentum": "much"}, "momentum is 'much', expected float"),
        ({"protocol": 1}, "protocol is 1, expected str"),
        ({"milestones": [1.5]}, r"milestones is \[1.5\], expected a list of whole numbers"),
        ({"milestones": 3}, "milestones is 3, expected a list of whole numbers"),
        ({"epochs": 0}, "epochs is 0, expected 1 or more"),
        ({"bodies": -1}, "bodies is -1, expected 0 or more"),
        ({"learning_rate": -0.1}, "learning_rate is -0.1, expected 0 or more"),
        ({"learning_rate": float("inf")}, "learning_rate is inf, expected a finite number"),
        ({"shear_strength": float("nan")}, "shear_strength is nan, expected a finite number"),
        ({"momentum": 1.5}, "momentum is 1.5, expected 0 to 1"),
        ({"temperature": 0}, "temperature is 0.0, expected more than 0"),
        ({"seed": 2**32}, "seed is 4294967296, expected 0 to 4294967295"),
        ({"optimizer": "adam"}, "optimizer 'adam': expected sgd or adamw"),
        ({"representations": "seq+pixels"}, "representations 'seq.pixels': expected seq, graph, image"),
        ({"representations": "seq+seq"}, "representations 'seq.seq'"),
        ({"spatial": "shear+mirror"}, "spatial augmentation 'mirror': expected shear, jitter, rotation"),
        ({"spatial": "shear" + 15 * "+shear"}, "16 parts, expected 1 to 15"),
        ({"crop_low": 0.0}, "crop: shares 0.0 to 1.0, expected 0 < low <= high <= 1"),
        ({"crop_low": 0.8, "crop_high": 0.5}, "crop: shares 0.8 to 0.5"),
        ({"crop_shortest": 0}, "crop: at least 0 frames"),
        ({"jitter_share": 1.2}, "jitter: share 1.2"),
        ({"shear_strength": -1}, "shear: strength -1.0"),
        ({"frames": 0}, "frames is 0, expected 1 or more"),
    ],
)
def test_wrong_setting_is_one_clear_line(settings, message):
    with pytest.raises(SkelkitError, match=message) as caught:
        resolve(settings)
    assert "\n" not in str(caught.value)


def test_a_whole_number_does_for_a_fraction():
    momentum = resolve({"momentum": 1}).momentum
    assert isinstance(momentum, float)
    assert momentum == 1


def test_setting_without_equals_sign_is_refused():
    with pytest.raises(SkelkitError, match=r"'momentum': expected FIELD=VALUE as in momentum=0\.99"):
        parse_setting("momentum")


def test_file_that_cannot_be_read_or_is_no_toml_is_named(tmp_path):
    file = tmp_path / "settings.toml"
    with pytest.raises(InputError, match=r"settings\.toml: no such file"):
        read_toml(file)
    file.write_text("momentum: 0.9\n")
    with pytest.raises(InputError, match=r"settings\.toml: not TOML: .*line 1"):
        read_toml(file)
    file.write_bytes(b"protocol = '\xff'")
    with pytest.raises(InputError, match=r"settings\.toml: not TOML"):
        read_toml(file)
