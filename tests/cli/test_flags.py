"""Flags made of dataclasses: none without help, only what was given comes back."""

import argparse
from dataclasses import asdict, dataclass, fields

import pytest

from brainsift.auditing.audit import AuditConfig
from brainsift.cli.flags import add_flags, given, make
from brainsift.datasets.split import SplitConfig
from brainsift.studies.study import StudyConfig
from brainsift.training.recipes import TrainConfig, make_config
from brainsift.training.tune import TuneConfig

STAGES = (TrainConfig, SplitConfig, StudyConfig, TuneConfig, AuditConfig)


def parser_of(stage, **options):
    parser = argparse.ArgumentParser()
    add_flags(parser, stage, **options)
    return parser


def flags_of(parser):
    return {action.dest: action for action in parser._actions if action.dest != "help"}


@pytest.mark.parametrize("stage", STAGES)
def test_every_field_gets_a_flag_with_help_from_the_docstring(stage):
    flags = flags_of(parser_of(stage))
    assert list(flags) == [field.name for field in fields(stage)]
    documented = " ".join((stage.__doc__ or "").split())
    for name, action in flags.items():
        assert "--" + name.replace("_", "-") in action.option_strings
        words = action.help.split(" (default: ")[0].replace("%%", "%")
        assert words
        assert f"{name}: {words}" in documented


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_given_nothing_returned(stage):
    arguments = parser_of(stage).parse_args([])
    assert given(arguments, stage) == {}
    assert make(arguments, stage) == stage()


@pytest.mark.parametrize("stage", STAGES)
def test_every_default_can_be_given_as_a_flag(stage):
    """What the dataclass holds goes to words and comes back the same."""
    words = []
    for name, value in asdict(stage()).items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        elif isinstance(value, tuple):
            words += [flag, *value]
        elif value is not None:
            words += [flag, str(value)]
    arguments = parser_of(stage).parse_args(words)
    assert make(arguments, stage) == stage()
    assert len(given(arguments, stage)) >= len(fields(stage)) - 1


def test_types_are_those_of_the_fields():
    words = [
        "--best-before",
        "0.5",
        "--no-balance",
        "--progressive",
        "--epochs",
        "3",
        "--learning-rate",
        "1e-3",
        "--model",
        "mobilenet",
    ]
    assert given(parser_of(TrainConfig).parse_args(words), TrainConfig) == {
        "best_before": 0.5,
        "balance": False,
        "progressive": True,
        "epochs": 3,
        "learning_rate": 1e-3,
        "model": "mobilenet",
    }
    words = ["--protocol", "source-out", "--hold-out", "br35h", "preet", "--sources"]
    config = make(parser_of(SplitConfig).parse_args(words), SplitConfig)
    assert (config.hold_out, config.sources) == (("br35h", "preet"), ())


def test_values_that_fit_no_type_are_refused(capsys):
    for words in (["--epochs", "2.5"], ["--learning-rate", "fast"], ["--balance", "yes"]):
        with pytest.raises(SystemExit):
            parser_of(TrainConfig).parse_args(words)
    with pytest.raises(SystemExit):
        parser_of(SplitConfig).parse_args(["--protocol", "lucky"])
    assert "lucky" in capsys.readouterr().err


def test_fields_can_be_left_out_and_defaults_be_those_of_a_recipe():
    parser = parser_of(TrainConfig, leave_out=("seed",), defaults=make_config("compact"), note="of compact")
    assert "seed" not in flags_of(parser)
    assert flags_of(parser)["epochs"].help.endswith("(default: 12)")
    assert "of compact" in parser.format_help()
    assert given(parser.parse_args([]), TrainConfig) == {}


def test_an_empty_list_is_shown_as_none():
    assert flags_of(parser_of(SplitConfig))["hold_out"].help.endswith("(default: none)")


def test_a_field_without_words_in_the_docstring_is_an_error():
    @dataclass(frozen=True)
    class HalfConfig:
        """Half told.

        Attributes:
            told: in words, 50 % of all
                and over two lines.
        """

        told: int = 1

    assert "in words, 50 % of all and over two lines (default: 1)" in parser_of(HalfConfig).format_help()

    @dataclass(frozen=True)
    class SilentConfig(HalfConfig):
        """Told nothing."""

        silent: int = 2

    with pytest.raises(KeyError, match="told"):
        parser_of(SilentConfig)
