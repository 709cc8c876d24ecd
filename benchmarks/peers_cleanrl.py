"""Soft actor-critic in the manner of CleanRL: one file of torch, no framework. Run by the interpreter of sb3.

After CleanRL's sac_continuous_action.py, whose order and amount of work it keeps: the policy is trained every second
step, twice. The memory is the array of rows that CleanRL takes from elsewhere.

    python -m benchmarks.peers_cleanrl {update,training} CASE COUNT
"""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks.agent_cases import BATCH, CAPACITY, SIZES, TRAININGS, WARMUP, Size
from benchmarks.measure import cores
from benchmarks.turns import serve, versions_of


class Memory:
    """Arrays of steps, and batches of them as tensors."""

    def __init__(self, capacity: int, size: Size):
        import numpy as np

        widths = (size.seen, size.done, 1, size.seen, 1)
        self.fields = [np.zeros((capacity, wide), np.float32) for wide in widths]
        self.at, self.held, self.rng = 0, 0, np.random.default_rng(0)

    def add(self, *step) -> None:
        for field, value in zip(self.fields, step, strict=True):
            field[self.at] = value
        self.at = (self.at + 1) % len(self.fields[0])
        self.held = min(self.held + 1, len(self.fields[0]))

    def draw(self):
        import torch

        rows = self.rng.integers(0, self.held, BATCH)
        return [torch.as_tensor(field[rows]) for field in self.fields]


class Learner:
    """Two critics, a tanh-normal policy on log_std in [-5, 2], a temperature that is learned; Adam for each."""

    def __init__(self, size: Size, learning_rate: float):
        import torch
        from torch import nn

        torch.set_num_threads(cores())
        torch.manual_seed(0)

        def net(wide, out):
            h = size.hidden
            return nn.Sequential(nn.Linear(wide, h), nn.ReLU(), nn.Linear(h, h), nn.ReLU(), nn.Linear(h, out))

        self.size, self.policy = size, net(size.seen, 2 * size.done)
        self.critics = [net(size.seen + size.done, 1) for _ in range(2)]
        self.slow = [net(size.seen + size.done, 1) for _ in range(2)]
        for slow, critic in zip(self.slow, self.critics, strict=True):
            slow.load_state_dict(critic.state_dict())
        self.log_temperature = torch.zeros(1, requires_grad=True)
        parameters = [p for critic in self.critics for p in critic.parameters()]
        self.critic_adam = torch.optim.Adam(parameters, lr=learning_rate)
        self.policy_adam = torch.optim.Adam(self.policy.parameters(), lr=learning_rate)
        self.temperature_adam = torch.optim.Adam([self.log_temperature], lr=learning_rate)
        self.temperature, self.made = 1.0, 0

    def sample(self, seen) -> tuple[Any, Any]:
        import torch

        mean, x = self.policy(seen).chunk(2, -1)
        log_std = -5 + 0.5 * 7 * (torch.tanh(x) + 1)
        normal = torch.distributions.Normal(mean, log_std.exp())
        before = normal.rsample()
        action = torch.tanh(before)
        log_density = normal.log_prob(before) - torch.log(1 - action.pow(2) + 1e-6)
        return action, log_density.sum(1, keepdim=True)

    def values(self, critics, seen, action):
        import torch

        x = torch.cat([seen, action], 1)
        return [critic(x) for critic in critics]

    def step(self, memory: Memory) -> None:
        import torch
        from torch.nn import functional

        seen, action, reward, after, over = memory.draw()
        with torch.no_grad():
            chosen, log_density = self.sample(after)
            follows = torch.min(*self.values(self.slow, after, chosen)) - self.temperature * log_density
            target = reward + (1 - over) * 0.99 * follows
        first, second = self.values(self.critics, seen, action)
        loss = functional.mse_loss(first, target) + functional.mse_loss(second, target)
        self.critic_adam.zero_grad()
        loss.backward()
        self.critic_adam.step()
        if self.made % 2 == 0:
            for _ in range(2):
                chosen, log_density = self.sample(seen)
                value = torch.min(*self.values(self.critics, seen, chosen))
                loss = (self.temperature * log_density - value).mean()
                self.policy_adam.zero_grad()
                loss.backward()
                self.policy_adam.step()
                with torch.no_grad():
                    _, log_density = self.sample(seen)
                loss = (-self.log_temperature.exp() * (log_density - self.size.done)).mean()
                self.temperature_adam.zero_grad()
                loss.backward()
                self.temperature_adam.step()
                self.temperature = self.log_temperature.exp().item()
        for slow, critic in zip(self.slow, self.critics, strict=True):
            for old, new in zip(slow.parameters(), critic.parameters(), strict=True):
                old.data.copy_(0.005 * new.data + 0.995 * old.data)
        self.made += 1


def update(case: str):
    import numpy as np

    size, rng = SIZES[case], np.random.default_rng(0)
    learner, memory = Learner(size, 3e-4), Memory(10_000, size)
    for _ in range(10_000):
        memory.add(
            rng.normal(size=size.seen),
            rng.uniform(-1, 1, size.done),
            rng.normal(),
            rng.normal(size=size.seen),
            0,
        )
    start = time.perf_counter()
    learner.step(memory)
    first = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(4):
        learner.step(memory)
    calls = max(2, round(2.0 / (time.perf_counter() - start)))

    def turn() -> float:
        for _ in range(calls):
            learner.step(memory)
        return calls

    return {"first": first, "versions": versions_of("torch", "numpy")}, turn


def training(case: str, seconds: float):
    import gymnasium
    import numpy as np
    import torch

    given = TRAININGS[case]
    env = gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make(given.env))
    space = env.action_space
    assert isinstance(space, gymnasium.spaces.Box) and env.observation_space.shape is not None
    middle, half = (space.high + space.low) / 2, (space.high - space.low) / 2
    size = Size(env.observation_space.shape[0], space.shape[0], given.hidden)
    learner, memory = Learner(size, given.learning_rate), Memory(CAPACITY, size)
    seen, lived = env.reset(seed=0)[0], 0

    def run(steps: int) -> None:
        nonlocal seen, lived
        for _ in range(steps):
            if lived < WARMUP:
                action = np.random.default_rng(lived).uniform(-1, 1, size.done)
            else:
                with torch.no_grad():
                    action = learner.sample(torch.as_tensor(seen, dtype=torch.float32)[None])[0][0].numpy()
            after, reward, terminated, truncated, _ = env.step((middle + half * action).astype(np.float32))
            memory.add(seen, action, reward, after, terminated)
            seen = env.reset()[0] if terminated or truncated else after
            lived += 1
            if lived > WARMUP:
                learner.step(memory)

    start = time.perf_counter()
    run(WARMUP + 100)
    first = time.perf_counter() - start
    start = time.perf_counter()
    run(50)
    steps = 50 * max(1, round(seconds / (time.perf_counter() - start)))

    def turn() -> float:
        run(steps)
        return steps

    return {"first": first, "block": steps, "versions": versions_of("torch", "gymnasium", "numpy")}, turn


if __name__ == "__main__":
    what, case, count = sys.argv[1:4]
    serve(lambda: update(case) if what == "update" else training(case, float(count)))
