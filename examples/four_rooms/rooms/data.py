"""Data to learn from: rollouts of explorers of mixed skill, and trajectories made of them.

The explorer is a short program, not a learned policy: it walks to the goal once it has seen it,
otherwise to the nearest cell that it has not seen. It uses its own map only. An explorer of skill
0.25 takes a quarter of its actions like that and the rest at random.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from os import PathLike

import numpy as np
import numpy.typing as npt

from .env import (
    ACTIONS,
    FORWARD,
    GOAL,
    LEFT,
    MOVES,
    RIGHT,
    SIZE,
    STEPS,
    UNKNOWN,
    WALL,
    Cells,
    Map,
    make,
)

SKILLS = (0.0, 0.25, 0.5, 0.75)  # of the episodes, by turns: from a random walk to a fair explorer
FIRST_SEED = 1_000_000  # of the mazes to learn from; those to be tested in count from zero
SEEDS_A_WORKER = 10_000


@dataclass(frozen=True)
class Rollouts:
    """Steps of many episodes, one after the other, as they were recorded."""

    images: Cells  # what the agent saw before it acted
    actions: npt.NDArray[np.uint8]
    rewards: npt.NDArray[np.float32]
    ends: npt.NDArray[np.bool_]  # the step was its episode's last


@dataclass(frozen=True)
class Trajectories:
    """The same steps as a policy learns from them."""

    windows: Cells  # the agent's map around it
    actions: npt.NDArray[np.uint8]
    to_go: npt.NDArray[np.float32]  # sum of the rewards from this step to the episode's end
    steps: npt.NDArray[np.float32]  # how much of its time the agent has used, 0 to 1

    @property
    def success(self) -> float:
        """The share of episodes that found the goal."""
        return float(np.mean(self.to_go[self.steps == 0] > 0))


def collect_rollouts(env: str, episodes: int, worker: int) -> Rollouts:
    """Let explorers of all skills walk; each worker has mazes of its own."""
    maze = make(env)
    random = np.random.default_rng(worker)
    images: list[Cells] = []
    steps: list[tuple[int, float, bool]] = []
    for episode in range(episodes):
        skill = SKILLS[episode % len(SKILLS)]
        seen, _ = maze.reset(seed=FIRST_SEED + worker * SEEDS_A_WORKER + episode)
        known = Map(seen["image"])
        end = False
        while not end:
            own = random.random() < skill
            action = explore(known) if own else int(random.integers(ACTIONS))
            images.append(seen["image"])
            seen, reward, found, late, _ = maze.step(action)
            end = found or late
            known.update(action, seen["image"])
            steps.append((action, float(reward), end))
    actions, rewards, ends = zip(*steps, strict=True)
    return Rollouts(
        np.array(images),
        np.array(actions, dtype=np.uint8),
        np.array(rewards, dtype=np.float32),
        np.array(ends),
    )


def explore(known: Map) -> int:
    """One action towards the goal, or towards the nearest unknown cell (breadth first)."""
    cells = known.cells.tobytes()
    wanted = GOAL if GOAL in cells else UNKNOWN
    start = known.row * SIZE + known.column
    # straight on first, so that the explorer does not turn for nothing
    headings = [(known.heading + turn) % 4 for turn in (0, 1, 3, 2)]
    first = {start: known.heading}  # the heading in which the way to a cell begins
    queue = deque([start])
    while queue:
        here = queue.popleft()
        for heading in headings:
            down, right = MOVES[heading]
            there = here + down * SIZE + right
            if there in first or cells[there] == WALL:
                continue
            first[there] = heading if here == start else first[here]
            if cells[there] == wanted:
                turn = (first[there] - known.heading) % 4
                return (FORWARD, RIGHT, LEFT, LEFT)[turn]
            queue.append(there)
    return FORWARD


def to_trajectories(rollouts: Rollouts) -> Trajectories:
    """Draw the agents' maps again from what they saw, and look ahead for returns-to-go."""
    windows: list[Cells] = []
    to_go: list[npt.NDArray[np.float32]] = []
    steps: list[npt.NDArray[np.float32]] = []
    last = np.flatnonzero(rollouts.ends) + 1
    for begin, end in zip([0, *last[:-1]], last, strict=True):
        images, actions = rollouts.images[begin:end], rollouts.actions[begin:end]
        known = Map(images[0])
        windows.append(known.window())
        for action, image in zip(actions[:-1], images[1:], strict=True):
            known.update(int(action), image)
            windows.append(known.window())
        to_go.append(returns_to_go(rollouts.rewards[begin:end]))
        steps.append(np.arange(end - begin, dtype=np.float32) / np.float32(STEPS))
    return Trajectories(
        np.array(windows), rollouts.actions, np.concatenate(to_go), np.concatenate(steps)
    )


def returns_to_go(rewards: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """For each step of one episode, what was still to be earned."""
    return np.cumsum(rewards[::-1])[::-1]


def save(path: str, data: Rollouts | Trajectories) -> None:
    np.savez_compressed(path, **{field.name: getattr(data, field.name) for field in fields(data)})


def load_rollouts(path: PathLike[str]) -> Rollouts:
    with np.load(path) as arrays:
        return Rollouts(**arrays)


def load_trajectories(paths: Sequence[PathLike[str]]) -> Trajectories:
    """Several files as one."""
    parts: list[Trajectories] = []
    for path in paths:
        with np.load(path) as arrays:
            parts.append(Trajectories(**arrays))
    return Trajectories(*map(np.concatenate, zip(*map(astuple, parts), strict=True)))
