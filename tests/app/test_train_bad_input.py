"""Whatever cannot be trained is said in one sentence, before anything is computed and with nothing left behind."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pytest
import tyro

from app.small_training import COMMAND, ToySettings, toys  # noqa: F401 - a fixture
from maxentrl import InputError
from maxentrl.app import cli, train_folder
from maxentrl.app.train_options import (
    field_sentences,
    options_of,
    read_duration,
    read_seeds,
    settings_of,
    words_of,
)

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys, *words):
    assert cli.main(list(words)) == cli.BAD_INPUT
    said = capsys.readouterr().err.strip().splitlines()
    return said[-1]


@pytest.mark.parametrize(
    ("words", "seeds"),
    [
        ("0-3", (0, 1, 2, 3)),
        ("0,3,5", (0, 3, 5)),
        (" 7 ", (7,)),
        ("0-1, 9", (0, 1, 9)),
        (3, (0, 1, 2)),
        ((4, 2), (4, 2)),
        (np.arange(2), (0, 1)),
        (np.int64(2), (0, 1)),
    ],
)
def test_seeds_are_ranges_lists_or_a_number_of_them(words, seeds, as_shipped):
    found = read_seeds(words)
    assert found == seeds and {type(seed) for seed in found} == {int}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("0,1,0", "seeds must differ; 0 occurs more than once"),
        ("0-3,2", "seeds must differ; 2 occurs more than once"),
        ("3-0", "seeds from 3 to 0 are none"),
        ("-1", 'seeds must look like "0-31" or "0,3,5"; got \'-1\''),
        ("a", "seeds must look like"),
        ("", "seeds must look like"),
        ("0-99999999", "at most 100000"),
        (0, "there must be at least 1 seed; got 0"),
        ((), "there must be at least 1 seed; got none"),
        ((1, -2), r"a seed must be a whole number in \[0, 2\^32\); got -2"),
        ((2**32,), r"a seed must be a whole number in \[0, 2\^32\)"),
        ((1.5,), "a seed must be a whole number"),
        (1.5, "seeds must be a number of them, a list, or such as"),
    ],
)
def test_seeds_that_repeat_or_are_none_are_refused(words, sentence, as_shipped):
    with pytest.raises(InputError, match=sentence):
        read_seeds(words)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("0.5h", 1800), (7, 7), (None, None)],
)
def test_a_duration_is_seconds_or_hours_minutes_and_seconds(words, seconds):
    assert read_duration(words) == seconds


@pytest.mark.parametrize("words", ["0", "-5", "ten minutes", "10 m", "", 0, float("nan")])
def test_a_duration_that_is_none_is_refused(words):
    with pytest.raises(InputError, match="a time must be seconds above 0"):
        read_duration(words)


def test_every_setting_of_an_agent_is_an_option_with_the_sentence_of_its_docstring():
    from maxentrl import agents

    assert field_sentences(ToySettings)["hidden"] == "widths that nothing uses; as many as you like."
    for name, kind in agents.AGENTS.items():
        form = options_of(name, kind.settings)
        assert settings_of(kind.settings, form()) == kind.settings().__dict__
        assert set(field_sentences(kind.settings)) == set(kind.settings.__dataclass_fields__), name
        assert words_of(kind.settings, kind.settings().__dict__) == {}
    assert words_of(ToySettings, {"hidden": [4], "steps": 3, "rate": 0.5}) == {
        "hidden": "4", "rate": 0.5, "steps_per_update": 3,
    }  # fmt: skip


def test_a_setting_of_none_or_of_no_numbers_is_said_and_understood():
    from maxentrl import agents

    kind = agents.AGENTS["soft_pg"]
    asked = {**kind.settings().__dict__, "clip": None, "max_norm": None, "hidden": ()}
    said = words_of(kind.settings, asked)
    words = [f"--{name.replace('_', '-')}={value}" for name, value in said.items()]
    assert settings_of(kind.settings, tyro.cli(options_of("soft_pg", kind.settings), args=words)) == asked
    for hidden, numbers in (("()", ()), ("(8,)", (8,)), ("[8, 4]", (8, 4))):
        found = tyro.cli(options_of("soft_pg", kind.settings), args=["--hidden", hidden])
        assert settings_of(kind.settings, found)["hidden"] == numbers


SAC = ("train", "sac", "--env", "pendulum", "--steps", "9", "--out", "run")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("train", "sax", "--env", "small", "--steps", "9", "--out", "run"),
            r"no agent 'sax' \(did you mean sac\?\)",
        ),
        (
            ("--env", "smal", "--steps", "9"),
            r"no environment 'smal' \(did you mean small\?\); there are pendulum,",
        ),
        (("--env", "pendulm", "--steps", "9"), r"no environment 'pendulm' \(did you mean pendulum\?\)"),
        (("--steps", "0"), "steps must be at least 1 step; got 0"),
        (("--steps", "-5"), "steps must be at least 1 step; got -5"),
        (("--steps", "9", "--log-every", "0"), "log_every must be at least 1 step; got 0"),
        (("--steps", "9", "--evaluations", "0"), "evaluations must be at least 1 episode; got 0"),
        (("--steps", "9", "--seeds", "1,1"), "seeds must differ; 1 occurs more than once"),
        (("--steps", "9", "--max-time", "soon"), "a time must be seconds above 0"),
        (("--steps", "9", "--env-args", "{"), "env-args must be JSON"),
        (("--steps", "9", "--env-args", "[1]"), "env-args must be a JSON object"),
        (("--steps", "9", "--env-args", '{"gravity": 1}'), "small has no setting 'gravity'"),
        (
            ("--steps", "9", "--hidden", "4,b"),
            'hidden must be numbers with commas between them, such as "64,64"',
        ),
        (("--steps", "9", "--environments", "0"), "environments must be at least 1; got 0"),
        (
            (*SAC, "--capacity", "1000000000000"),
            "1 memory of 1000000000000 steps needs .* a smaller --capacity",
        ),
    ],
)
def test_what_cannot_be_trained_is_one_sentence_and_leaves_nothing(here, capsys, words, sentence):
    full = words if words[0] == "train" else (*COMMAND, *words, "--out", "run")
    assert re.search(sentence, refused(capsys, *full))
    assert not list(here.iterdir())


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize("bounds", ["1", "0.1,1,3", "2,1"])
def test_bounds_of_the_temperature_are_two(here, capsys, bounds):
    assert "temperature_bounds must be two numbers, finite, above 0 and in order; got (" in refused(
        capsys, *SAC, "--temperature-bounds", bounds
    )
    assert not list(here.iterdir())


def test_a_board_that_is_missing_leaves_no_run_behind(here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    words = (*COMMAND, "--steps", "9", "--out", "run")
    assert "pip install wandb" in refused(capsys, *words, "--track", "wandb")
    assert not list(here.iterdir())
    assert cli.main(list(words)) == cli.DONE


@pytest.mark.parametrize("agent", ["soft_q", "soft_dqn"])
def test_a_problem_that_forbids_an_action_is_refused_by_the_first_state_and_action(here, capsys, agent):
    (here / "way.csv").write_text(
        "state,action,next_state,probability,reward\n"
        "home,walk,work,1,-2\nhome,ride,stop,1,-1\nstop,ride,work,1,-1\n"
    )
    for env, action, state in (("way.csv", "walk", "stop"), ("lottery", "collect", "start")):
        said = refused(capsys, "train", agent, "--env", env, "--steps", "9", "--out", "run")
        assert f"{env} forbids the action '{action}' in the state '{state}'" in said
    assert [path.name for path in here.iterdir()] == ["way.csv"]


def test_an_agent_that_cannot_act_there_says_who_can(here, capsys):
    said = refused(capsys, "train", "sac", "--env", "cartpole", "--steps", "9", "--out", "run")
    assert "sac needs actions in a box" in said and "discrete_sac" in said and not list(here.iterdir())


@pytest.mark.parametrize("env", ["cartpole", "pendulum", "chain"])
def test_whoever_is_named_instead_of_an_agent_that_cannot_act_there_can(env):
    from maxentrl import agents, envs

    world = envs.make(env)
    assert world.observation is not None and world.action is not None

    def refusal(name):
        try:
            agents.make(name).check(world.observation, world.action)
        except InputError as error:
            return str(error)
        return None

    said = {name: refusal(name) for name in agents.AGENTS if name != "toy"}
    for name, words in said.items():
        if words is not None:
            named = set(re.findall(r"[a-z_0-9]+", words)) & set(said) - {name}
            assert named and all(said[other] is None for other in named), (name, words)
    assert sum(words is None for words in said.values()) == {"cartpole": 4, "pendulum": 4, "chain": 5}[env]


def test_the_command_without_an_agent_lists_them(capsys):
    assert cli.main(["train"]) == cli.BAD_INPUT and "  sac " in capsys.readouterr().err
    assert cli.main(["train", "--help"]) == cli.DONE and "  soft_dqn " in capsys.readouterr().out


ASKED = {
    "agent": "toy",
    "env": "small",
    "env_args": {},
    "seeds": [0],
    "steps": 10,
    "settings": {"rate": None, "warmup": 3},
}


def test_a_folder_that_holds_something_is_refused_unless_that_run_shall_go_on(here):
    (here / "full").mkdir()
    (here / "full" / "letter.txt").write_text("keep me")
    with pytest.raises(InputError, match="full is not empty; training needs a new or an empty folder"):
        train_folder.begin(here / "full", ASKED)
    with pytest.raises(InputError, match=r"full holds no training run: there is no question.json"):
        train_folder.find(here / "full", ASKED)
    with pytest.raises(InputError, match=r"letter.txt is a file; give a folder"):
        train_folder.begin(here / "full" / "letter.txt", ASKED)
    train_folder.begin(here / "run", ASKED)
    with pytest.raises(InputError, match="holds a training run already; go on with it by --resume"):
        train_folder.begin(here / "run", ASKED)
    assert (here / "full" / "letter.txt").read_text() == "keep me"


def test_a_run_goes_on_only_with_the_settings_it_was_begun_with_or_more_steps(here):
    train_folder.begin(here / "run", ASKED)
    for changed, sentence in (
        (
            {"settings": {"rate": 0.1, "warmup": 3}},
            "begun with other settings: toy's rate was None and is 0.1",
        ),
        (
            {"seeds": [1], "env": "large"},
            r"env was 'small' and is 'large'; seeds was \[0\] and is \[1\]. Only steps",
        ),
        (
            {"agent": "sac", "settings": {"hidden": [8]}},
            "with other settings: agent was 'toy' and is 'sac'. Only steps",
        ),
        ({"steps": 9}, "steps was 10 and is 9; it may only be raised"),
    ):
        with pytest.raises(InputError, match=sentence):
            train_folder.find(here / "run", {**ASKED, **changed})
    more = {**ASKED, "steps": 20}
    assert train_folder.find(here / "run", more) is None
    assert train_folder.go_on(here / "run", more, None).rows == []
    assert json.loads((here / "run/question.json").read_text())["settings"]["steps"] == 20


def test_a_question_that_is_damaged_or_rows_that_are_missing_are_one_sentence(here):
    from maxentrl.learn import checkpoint

    train_folder.begin(here / "run", ASKED)
    checkpoint.write(here / "run/checkpoints", 5, {"x": np.zeros(2)}, {"step": 5, "rows": 2})
    (here / "run/metrics.jsonl").write_text('{"kind": "training"}\n')
    with pytest.raises(
        InputError, match=r"metrics.jsonl has 1 row, and the checkpoint knows of 2: it was cut"
    ):
        train_folder.find(here / "run", ASKED)
    (here / "run/metrics.jsonl").write_text('{"kind": "training"}\n{"ki')
    with pytest.raises(InputError, match="cannot be read up to row 2"):
        train_folder.find(here / "run", ASKED)
    (here / "run/question.json").write_text("{")
    with pytest.raises(InputError, match=r"question.json cannot be read as JSON"):
        train_folder.find(here / "run", ASKED)
    (here / "run/question.json").write_text("{}")
    with pytest.raises(InputError, match="has the format None; this version reads 'maxentrl run 1'"):
        train_folder.find(here / "run", ASKED)
    (here / "run/question.json").write_text('{"format": "maxentrl run 1", "kind": "irl mce"}')
    with pytest.raises(InputError, match="not the question of a training run"):
        train_folder.find(here / "run", ASKED)
