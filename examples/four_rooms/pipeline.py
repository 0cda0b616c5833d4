"""Four Rooms: from raw rollouts to a plot of what a policy gains from more of them.

Run it with `emsctl run pipeline.py`, then with `-p workers=16`: what eight workers have collected,
and what was learned from them, is not made again.
"""

from __future__ import annotations

import numpy as np
from rooms.data import collect_rollouts, load_rollouts, load_trajectories, save, to_trajectories
from rooms.env import ACTIONS, Score, play
from rooms.plot import Line, draw
from rooms.policy import Policy, fit

import ems

LEARNING_RATE = 1e-3
UPDATES = 6000
TEMPERATURE = 0.4
HIGH = 0.9  # the return that a policy is asked for; 1 would be the goal in no time, 0 is missing it


@ems.task(cpus=1, memory="1", timeout="10m", retries=1)
def collect(env: str, episodes: int, worker: int) -> ems.File:
    """Record explorers of mixed skill."""
    save("rollouts.npz", collect_rollouts(env, episodes, worker))
    return ems.File("rollouts.npz")


@ems.task(cpus=1, memory="1", timeout="10m")
def preprocess(rollouts: ems.File) -> ems.File:
    """Turn rollouts into trajectories with returns-to-go."""
    save("trajectories.npz", to_trajectories(load_rollouts(rollouts)))
    return ems.File("trajectories.npz")


@ems.task(cpus=1, memory="2", timeout="10m", retries=1)
def train(trajectories: list[ems.File], hidden: int, seed: int) -> ems.File:
    """Fit a policy that acts for the return it is asked for."""
    data = load_trajectories(trajectories)
    policy = fit(
        data, hidden, LEARNING_RATE, UPDATES, seed, lambda step, loss: ems.report(step, loss=loss)
    )
    policy.save("policy.npz")
    return ems.File("policy.npz")


@ems.task(cpus=1, memory="1", timeout="10m")
def evaluate(policy: ems.File, env: str, goals: int, ask: float) -> Score:
    """Play mazes that no worker has seen, asking the policy for a return of `ask`."""
    trained, random = Policy.load(policy), np.random.default_rng(0)
    score = play(env, range(goals), lambda maps: trained.act(maps, ask, TEMPERATURE, random))
    print(f"asked for {ask}: {score.success:.0%} of {goals} goals")
    return score


@ems.task(cpus=1, memory="1", timeout="10m")
def walk_at_random(env: str, goals: int) -> Score:
    """Play the same mazes with left, right and forward drawn at random."""
    random = np.random.default_rng(0)
    return play(env, range(goals), lambda maps: random.integers(ACTIONS, size=len(maps)))


@ems.task(cpus=1, memory="1")
def plot(
    episodes: list[int],
    high: list[Score],
    low: list[Score],
    chance: Score,
    trajectories: list[ems.File],
) -> ems.File:
    """Draw success against the number of episodes learned from."""
    lines = [
        Line(f"asked for {HIGH}", [score.success for score in high], "#0b7285"),
        Line("asked for 0", [score.success for score in low], "#d9480f"),
    ]
    data = load_trajectories(trajectories).success
    levels = [("random policy", chance.success), ("its training data", data)]
    draw("success.png", episodes, lines, levels, goals=len(chance.returns))
    return ems.File("success.png")


def doublings(most: int) -> list[int]:
    """1, 2, 4 … and `most` itself."""
    return [2**power for power in range(most.bit_length()) if 2**power < most] + [most]


@ems.pipeline
def main(
    env: str = "MiniGrid-FourRooms-v0",
    workers: int = 8,
    episodes: int = 100,
    goals: int = 100,
    hidden: int = 128,
    seed: int = 0,
):
    trajectories = [preprocess(collect(env, episodes, worker)) for worker in range(workers)]
    sizes = doublings(workers)
    policies = [train(trajectories[:size], hidden, seed) for size in sizes]
    high = [evaluate(policy, env, goals, HIGH) for policy in policies]
    low = [evaluate(policy, env, goals, 0.0) for policy in policies]
    chance = walk_at_random(env, goals)
    learned_from = [size * episodes for size in sizes]
    picture = plot(learned_from, high, low, chance, trajectories)
    return {"success": high[-1].success, "random": chance.success, "plot": picture}
