"""One fit by each peer of `mce_fit`, run by its own interpreter: nothing of this package is imported here."""

from __future__ import annotations

import contextlib
import io
import signal
import time

import numpy as np


def imitation_fit(given, features, expert, horizon: int) -> tuple[float, np.ndarray, int]:
    """Seconds, weights and steps of MCEIRL on expected visits of states [S], the state after the last action counted
    too, as the peer does."""
    import torch
    from imitation.algorithms import mce_irl
    from imitation.rewards import reward_nets
    from seals import base_envs

    torch.set_num_threads(1)
    env = base_envs.TabularModelPOMDP(
        transition_matrix=given.transition,
        observation_matrix=features.astype(np.float32),
        reward_matrix=given.reward,
        horizon=horizon,
        initial_state_dist=given.initial,
    )

    class Linear(reward_nets.RewardNet):
        def __init__(self):
            super().__init__(env.observation_space, env.action_space)
            self.weight = torch.nn.Parameter(torch.zeros(features.shape[1], dtype=torch.float32))

        def forward(self, state, action, state_next, done):
            return state @ self.weight

    with contextlib.redirect_stdout(io.StringIO()):
        learner = mce_irl.MCEIRL(expert, env, Linear(), rng=np.random.default_rng(0), log_interval=None)
        steps = [0]
        step = learner._train_step

        def counted(*args):
            steps[0] += 1
            return step(*args)

        learner._train_step = counted
        start = time.perf_counter()
        learner.train(max_iter=2000)
        taken = time.perf_counter() - start
    return taken, learner.reward_net.weight.detach().numpy().astype(float), steps[0]


def irl_maxent_fit(
    transition, features, paths, kind: str, discount: float, limit: int
) -> tuple[float, np.ndarray]:
    """Seconds and reward [S] of irl (path) or irl_causal, as it is then where the time limit was met."""
    # The release uses a name that NumPy has dropped.
    setattr(np, "float", float)  # noqa: B010
    from irl_maxent import maxent, optimizer, trajectory

    demos = [trajectory.Trajectory(path) for path in paths]
    table = np.ascontiguousarray(transition.transpose(0, 2, 1))
    # The gradient is a sum over the steps of a trajectory: with long ones the usual rate overshoots to weights of zero.
    rate = 0.2 / np.mean([len(path) for path in paths])
    optim = optimizer.ExpSga(lr=rate if kind == "patient" else optimizer.linear_decay(lr0=0.2))
    start, goal = optimizer.Constant(1.0), [len(transition) - 1]

    def stop(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(limit)
    begin = time.perf_counter()
    try:
        with np.errstate(all="ignore"):
            if kind == "path":
                reward = maxent.irl(table, features, goal, demos, optim, start)
            else:
                stop_at = 1e-7 if kind == "patient" else 1e-4
                reward = maxent.irl_causal(table, features, goal, demos, optim, start, discount, eps=stop_at)
    except TimeoutError:
        reward = features @ optim.parameters
    signal.alarm(0)
    return time.perf_counter() - begin, reward


def imitation_large(states: int, gib: int) -> dict:
    """Try to make the table that the peer plans on, within a limit of memory."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (gib << 30, gib << 30))
    try:
        from seals import base_envs

        table = np.zeros((states, 4, states))
        table[:, :, 0] = 1.0
        env = base_envs.TabularModelPOMDP(
            transition_matrix=table,
            observation_matrix=np.zeros((states, 8), np.float32),
            reward_matrix=np.zeros(states),
            horizon=50,
            initial_state_dist=np.eye(1, states)[0],
        )
        from imitation.algorithms import mce_irl

        start = time.perf_counter()
        mce_irl.mce_partition_fh(env, reward=np.zeros(states))
        return {"met": f"one backward pass took {time.perf_counter() - start:.1f} s"}
    except MemoryError as error:
        return {"met": f"MemoryError: {error}"}
