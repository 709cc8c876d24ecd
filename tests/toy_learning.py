"""A small world and a small learner, for the loop: what they do does not matter, only that it depends on everything."""

import jax
import jax.numpy as jnp
import numpy as np

from maxentrl.core.contracts import Agent, Arrived, Env, Step
from maxentrl.core.spaces import box
from maxentrl.learn import nets, replay

LIMIT = 20


def environment(broken_after: float = np.inf, broken: str = "reward") -> Env:
    """A point in the plane that is pushed; its reward, or its observation, is NaN beyond the line x + y = `broken_after`."""

    def reset(key):
        x = jax.random.uniform(key, (2,), minval=-1, maxval=1)
        return (x, jnp.zeros((), jnp.int32)), x

    def step(key, state, action):
        x, t = state
        x = jnp.clip(x + action + 0.01 * jax.random.normal(key, (2,)), -2, 2)
        wrong = {broken: jnp.where(jnp.sum(x) > broken_after, jnp.nan, 0.0)}
        reward, seen = wrong.get("reward", 0.0) - jnp.sum(x * x), wrong.get("observation", 0.0) + x
        return (x, t + 1), Step(seen, reward, jnp.all(jnp.abs(x) > 1.9), t + 1 >= LIMIT)

    return Env(reset, step, box(-2, 2, (2,)), box(-0.1, 0.1, (2,)), LIMIT, "toy")


class Outer:
    """The same outside of JAX."""

    observation, action, limit, name = box(-2, 2, (2,)), box(-0.1, 0.1, (2,)), LIMIT, "outer toy"

    def __init__(self, count: int):
        self.count = count

    def reset(self, seed: int) -> np.ndarray:
        self.rng = np.random.default_rng(seed)
        self.x, self.t = self.rng.uniform(-1, 1, (self.count, 2)), np.zeros(self.count, int)
        return self.x.astype(np.float32)

    def step(self, action: np.ndarray) -> Arrived:
        self.x = np.clip(self.x + action + 0.01 * self.rng.normal(size=(self.count, 2)), -2, 2)
        self.t += 1
        reached, reward = self.x.astype(np.float32), -np.sum(self.x**2, 1).astype(np.float32)
        terminated, truncated = np.all(np.abs(self.x) > 1.9, 1), self.t >= LIMIT
        over = terminated | truncated
        self.x[over] = self.rng.uniform(-1, 1, (over.sum(), 2))
        self.t[over] = 0
        valid = np.ones(self.count, bool)
        return Arrived(self.x.astype(np.float32), reached, reward, terminated, truncated, valid)

    def save(self) -> dict[str, np.ndarray]:
        state = self.rng.bit_generator.state["state"]
        numbers = [int(state[k]) >> shift & 0xFFFFFFFF for k in ("state", "inc") for shift in (0, 32, 64, 96)]
        return {"x": self.x.copy(), "t": self.t.copy(), "rng": np.array(numbers)}

    def restore(self, saved: dict[str, np.ndarray]) -> np.ndarray:
        numbers = [int(n) for n in saved["rng"]]
        whole = [sum(n << shift for n, shift in zip(part, (0, 32, 64, 96), strict=True)) for part in
                 (numbers[:4], numbers[4:])]  # fmt: skip
        self.rng = np.random.default_rng()
        state = self.rng.bit_generator.state
        state["state"] = {"state": whole[0], "inc": whole[1]}
        self.rng.bit_generator.state = state
        self.x, self.t = np.array(saved["x"]), np.array(saved["t"])
        return self.x.astype(np.float32)

    def close(self) -> None:
        pass


def agent(steps: int = 1, environments: int = 1, warmup: int = 30) -> Agent:
    """Shrinks its weights by what it remembers."""
    net = nets.mlp((2, 8, 2))

    def learn(state, key, batch):
        change = 1 - 1e-3 * jax.random.uniform(key) / (1 + jnp.mean(batch.observation**2))
        return jax.tree.map(lambda x: x * change, state), {"loss": jnp.mean(batch.reward)}

    def mode(state, observation):
        return jnp.tanh(net.apply(state, observation))

    learner = replay.Learner(
        lambda key, observation, action: net.init(key),
        lambda state, key, observation: mode(state, observation + jax.random.normal(key, observation.shape)),
        mode,
        lambda state, observation, action: jnp.zeros(len(observation)),
        lambda state, key, observation: jax.random.uniform(key, observation.shape, minval=-1, maxval=1),
        learn,
    )
    return replay.off_policy(
        "toy", None, lambda observation, action: None, learner,
        capacity=200, batch=8, warmup=warmup, steps=steps, environments=environments,
    )  # fmt: skip
