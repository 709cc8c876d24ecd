"""The loop: the same numbers however it is cut into pieces, whoever runs beside, and wherever it was stopped."""

import jax
import numpy as np
import pytest

import toy_learning as toy
from maxentrl.core.check import InputError
from maxentrl.learn import checkpoint, loop, seeds, worlds

SCHEDULE = loop.Schedule(300, log_every=50, evaluate_every=100, checkpoint_every=80)


def world(kind, steps=1, environments=1, seeds=(0, 1), **settings):
    agent = toy.agent(steps, environments, **settings)
    if kind == "compiled":
        return worlds.compiled_world(agent, toy.environment(), seeds, range(4))
    return worlds.outer_world(agent, toy.Outer, seeds, range(4))


def run(made, folder, seeds=(0, 1), **settings):
    rows = []
    trained = loop.train(
        made,
        SCHEDULE,
        seeds,
        rows.append,
        folder=folder,
        facts=lambda spare: {"rows": len(rows) - spare},
        **settings,
    )
    return rows, trained


@pytest.mark.parametrize(
    ("kind", "steps", "environments"),
    [("compiled", 1, 1), ("compiled", 3, 2), ("outer", 1, 1), ("outer", 3, 2)],
)
def test_a_run_that_is_stopped_and_resumed_leaves_the_bytes_of_one_that_is_not(
    tmp_path, kind, steps, environments, monkeypatch
):
    whole, trained = run(world(kind, steps, environments), tmp_path / "whole")
    assert trained.finished and trained.step >= 300
    rows, made = [], world(kind, steps, environments)
    form = made.begin()
    monkeypatch.setattr(loop, "PIECE", 1e-9)  # one iteration at a time: cut elsewhere than before
    rng, resume, stops = np.random.default_rng(0), None, 0
    for _ in range(60):
        left = int(rng.integers(1, 1 + 25 // (steps * environments)))

        def stop():
            nonlocal left
            left -= 1
            return left <= 0

        done = loop.train(
            made, SCHEDULE, (0, 1), rows.append, folder=tmp_path / "parts",
            facts=lambda spare: {"rows": len(rows) - spare}, resume=resume, stop=stop,
        )  # fmt: skip
        if done.finished:
            break
        path, arrays, facts, _ = checkpoint.newest(tmp_path / "parts")
        resume = made.restore(checkpoint.rebuilt(form, arrays, str(path))), facts["step"]
        del rows[facts["rows"] :]
        stops += 1
    assert stops >= 5
    assert rows == whole
    names = [path.name for path in checkpoint.files(tmp_path / "whole")]
    assert names == [path.name for path in checkpoint.files(tmp_path / "parts")]
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


@pytest.mark.parametrize(("kind", "double"), [("compiled", False), ("compiled", True), ("outer", False)])
def test_each_seed_gives_what_it_gives_alone(kind, double):
    with jax.enable_x64(double):
        together, _ = run(world(kind, seeds=(0, 1, 2)), None, seeds=(0, 1, 2))
        alone, _ = run(world(kind, seeds=(2,)), None, seeds=(2,))
    assert [row for row in together if row["seed"] == 2] == alone


def test_seeds_of_one_call_as_on_an_accelerator_give_the_same_up_to_rounding(monkeypatch):
    apart, _ = run(world("compiled"), None)
    monkeypatch.setattr(
        worlds, "over_seeds", lambda function, donate=(): jax.jit(seeds.side_by_side(function))
    )
    together, _ = run(world("compiled"), None)
    assert len(together) == len(apart)
    for one, other in zip(together, apart, strict=True):
        (found, wanted) = (
            [x for x in jax.tree.leaves(row) if not isinstance(x, str)] for row in (one, other)
        )
        np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_evaluations_start_from_the_same_states_for_every_seed_and_run():
    made = worlds.compiled_world(toy.agent(), toy.environment(), (0, 1), range(4))
    tree = made.begin()
    returns = made.evaluate((tree[0], tree[0]))
    assert returns.shape == (2, 4)
    np.testing.assert_array_equal(returns[0], returns[1])
    assert len(set(returns[0].tolist())) == 4


def test_episodes_that_ended_are_counted_with_their_returns_and_lengths():
    rows, _ = run(world("compiled", warmup=10_000), None)
    training = [row for row in rows if row["kind"] == "training" and row["seed"] == 0]
    assert sum(row["episodes"] for row in training) == 300 // toy.LIMIT
    assert all(row["length"] == toy.LIMIT for row in training)
    assert all(row["updates"] == 0 and row["loss"] is None for row in training)


@pytest.mark.parametrize(("broken", "blamed"), [("reward", "paid"), ("observation", "showed")])
def test_what_the_environment_gives_that_is_not_finite_stops_the_run_by_name_and_step(
    tmp_path, broken, blamed
):
    made = worlds.compiled_world(toy.agent(), toy.environment(1.6, broken), (5,), range(2))
    schedule = loop.Schedule(5000, log_every=50, evaluate_every=5000, checkpoint_every=20)
    with pytest.raises(
        loop.DivergedError,
        match=rf"{broken} was no finite number at step \d+ of seed 5. The environment {blamed} it",
    ) as met:
        loop.train(made, schedule, (5,), lambda row: None, folder=tmp_path)
    kept = checkpoint.files(tmp_path)
    left = f"The last good checkpoint is {kept[0]}." if kept else "There is no checkpoint from before."
    assert str(met.value).endswith(left)
    for path in checkpoint.files(tmp_path):
        assert all(np.isfinite(x).all() for x in checkpoint.read(path)[0].values() if x.dtype.kind == "f")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (4, "seed 4, step 13 of the run, the ground gave way."),
        (2**31, "evaluation of seed 3, the ground gave way."),
    ],
)
def test_what_an_environment_refuses_on_the_way_is_told_with_its_seed_and_what_is_left(
    tmp_path, broken, said
):
    class Hole(toy.Outer):
        def reset(self, seed):
            self.seed, self.steps = seed, 0
            return super().reset(seed)

        def step(self, action):
            self.steps += 1
            if self.seed == broken and self.steps == 13:
                raise InputError("the ground gave way.")
            return super().step(action)

    made = worlds.outer_world(toy.agent(), Hole, (3, 4), range(2))
    schedule = loop.Schedule(40, evaluate_every=20, checkpoint_every=5)
    with pytest.raises(loop.DivergedError) as met:
        loop.train(made, schedule, (3, 4), lambda row: None, folder=tmp_path)
    newest = tmp_path / f"step-{10 if broken == 4 else 15:012d}.safetensors"
    assert str(met.value) == f"{said} The last good checkpoint is {newest}."


def test_an_observation_that_a_reset_shows_is_the_environments_own():
    sound = toy.environment()

    def reset(key):
        state, seen = sound.reset(key)
        return state, seen + jax.numpy.where(state[0][0] > 0.9, jax.numpy.nan, 0.0)

    made = worlds.compiled_world(toy.agent(warmup=0), sound._replace(reset=reset), (5,), range(1))
    with pytest.raises(
        loop.DivergedError, match=r"^observation was no finite number.*The environment showed it"
    ):
        loop.train(made, loop.Schedule(5000, evaluate_every=5000), (5,), lambda row: None)


def test_a_schedule_needs_at_least_one_step():
    with pytest.raises(InputError, match="steps must be at least 1 step; got -3"):
        loop.Schedule(-3)
    with pytest.raises(InputError, match="log_every must be at least 1 step; got 0"):
        loop.Schedule(10, log_every=0)
