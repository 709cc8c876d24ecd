"""Tiny Gymnasium environments, each odd in one way only."""

from typing import ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces


class Walk(gymnasium.Env):
    """A random walk with noise: +-0.1 per step, and over where it leaves [-1, 1] (terminated), or after `limit` steps
    (truncated); both at once can happen.
    """

    metadata: ClassVar = {"render_modes": ["rgb_array"]}
    action_space: spaces.Space = spaces.Discrete(2, start=3)
    observation_space: spaces.Space = spaces.Box(-5, 5, (2,))

    def __init__(self, limit=8, start=0.0, noise=0.1, render_mode=None):
        self.limit, self.start, self.noise, self.render_mode = limit, start, noise, render_mode
        self.place, self.time = 0.0, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.time = self.start + self.noise * self.np_random.normal(), 0
        return self.seen(), {}

    def step(self, action):
        assert action in self.action_space
        self.place += 0.1 * (2 * (int(action) - 3) - 1) + self.noise * self.np_random.normal()
        self.time += 1
        over = bool(abs(self.place) > 1)
        return self.seen(), self.reward(), over, self.time >= self.limit, {}

    def seen(self):
        return np.asarray([self.place, self.time / 8], np.float32)

    def reward(self):
        return -abs(self.place)

    def render(self):
        return np.full((4, 6, 3), self.time, np.uint8)


class Nested(Walk):
    """Observations of every kind at once."""

    observation_space = spaces.Dict(
        {
            "camera": spaces.Box(0, 255, (2, 2, 3), np.uint8),
            "joints": spaces.Tuple(
                (spaces.Box(-1e308, 1e308, (2, 1), np.float64), spaces.Discrete(3, start=-1))
            ),
            "lights": spaces.MultiBinary(2),
            "phase": spaces.MultiDiscrete([2, 3], start=[1, 0]),
            "small": spaces.Box(0, 9, (1,), np.uint8),
        }
    )

    def seen(self):
        t = self.time
        return {
            "camera": np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * np.uint8(10) + np.uint8(t),
            "joints": (np.asarray([[self.place], [-2.0 * self.place]]), np.int64(t % 3 - 1)),
            "lights": np.asarray([t % 2, 1 - t % 2], np.int8),
            "phase": np.asarray([1 + t % 2, t % 3]),
            "small": np.asarray([t % 10], np.uint8),
        }


class Steered(Walk):
    """Actions are a box of another shape, in units of their own."""

    action_space = spaces.Box(np.asarray([[0.0], [-2.0]]), np.asarray([[0.3], [7.0]]), dtype=np.float64)

    def step(self, action):
        assert action.shape == (2, 1) and action.dtype == np.float64 and action in self.action_space
        self.place += float(action[0, 0]) + self.noise * self.np_random.normal()
        self.time += 1
        return self.seen(), float(action[1, 0]), bool(abs(self.place) > 1), self.time >= self.limit, {}


class Broken(Walk):
    """Something goes wrong at step `when` of episode `which`."""

    def __init__(self, kind, when=3, which=2):
        super().__init__(limit=5, noise=0.01)
        self.kind, self.when, self.which, self.episode = kind, when, which, -1

    def reset(self, *, seed=None, options=None):
        self.episode += 1
        return super().reset(seed=seed, options=options)

    @property
    def now(self):
        return self.time == self.when and self.episode == self.which

    def seen(self):
        seen = super().seen()
        if self.now and self.kind == "nan":
            seen[1] = np.nan
        if self.now and self.kind == "huge":
            return seen.astype(np.float64) + 1e300
        return seen[:1] if self.now and self.kind == "shape" else seen

    def reward(self):
        if self.now and self.kind == "reward":
            return np.float64("-inf")
        return "one" if self.now and self.kind == "word" else super().reward()


class Forgetful(Walk):
    """The same seed and actions give something else each time, from step `after` on."""

    made = 0

    def __init__(self, after=0):
        super().__init__(limit=50, noise=0.0)
        self.after = after

    def seen(self):
        Forgetful.made += 1
        return super().seen() + np.float32(1e-3 * Forgetful.made * (self.time >= self.after))


class Dice(Walk):
    """A Discrete observation that does not begin at 0, and one-step episodes that are truncated."""

    observation_space = spaces.Discrete(6, start=1)

    def __init__(self):
        super().__init__(limit=1)

    def seen(self):
        return self.np_random.integers(1, 7)
