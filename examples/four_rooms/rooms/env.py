"""The Four Rooms maze, and the map that an agent draws of it while it walks.

The agent sees 7x7 cells ahead of it and nothing behind walls. `Map` adds these views up by dead
reckoning, from the agent's actions alone. Nothing here asks the environment where the agent, the
gaps or the goal are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import gymnasium
import numpy as np
import numpy.typing as npt
from minigrid.minigrid_env import MiniGridEnv

LEFT, RIGHT, FORWARD = 0, 1, 2
ACTIONS = 3  # MiniGrid's other four (pick up, drop, toggle, done) do nothing in this maze
STEPS = 100  # MiniGrid ends an episode here
UNKNOWN, FREE, WALL, GOAL = 0, 1, 2, 8  # MiniGrid's numbers for what is in a cell
VIEW = 7  # the agent sees VIEW x VIEW cells: itself in the middle of the last row
RADIUS = 6  # a policy is shown this many cells of the map to each side of the agent
SIZE = 51  # a map has room for every walk: 16 cells from the start, and a window around that

# one cell up, right, down, left, in rows and columns of the map; each agent starts facing up
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))

Cells = npt.NDArray[np.uint8]
Chooser = Callable[[Sequence["Map"]], Iterable[int]]


def make(name: str) -> MiniGridEnv:
    """The environment without gymnasium's checking wrappers."""
    env = gymnasium.make(name).unwrapped
    assert isinstance(env, MiniGridEnv)
    return env


class Map:
    """What one agent has seen of its maze, with its start in the middle."""

    def __init__(self, image: Cells) -> None:
        self.cells = np.zeros((SIZE, SIZE), dtype=np.uint8)
        self.row = self.column = SIZE // 2
        self.heading = 0
        self.steps = 0
        self._see(image)

    def update(self, action: int, image: Cells) -> None:
        """Follow an action of the agent, then add what it saw after it."""
        if action == FORWARD:
            down, right = MOVES[self.heading]
            if self.cells[self.row + down, self.column + right] != WALL:
                self.row, self.column = self.row + down, self.column + right
        else:
            self.heading = (self.heading + (1 if action == RIGHT else -1)) % 4
        self.steps += 1
        self._see(image)

    def window(self) -> Cells:
        """The cells around the agent, turned so that it faces up."""
        rows = slice(self.row - RADIUS, self.row + RADIUS + 1)
        columns = slice(self.column - RADIUS, self.column + RADIUS + 1)
        return np.rot90(self.cells[rows, columns], self.heading).copy()

    def _see(self, image: Cells) -> None:
        view = np.rot90(image[:, :, 0].T, -self.heading)  # MiniGrid's images are column first
        half, far = VIEW // 2, VIEW - 1
        above, before = ((far, half), (half, 0), (0, half), (half, far))[self.heading]
        rows = slice(self.row - above, self.row - above + VIEW)
        columns = slice(self.column - before, self.column - before + VIEW)
        known = self.cells[rows, columns]
        self.cells[rows, columns] = np.where(view == UNKNOWN, known, view)


@dataclass(frozen=True)
class Score:
    """How a policy did: the share of goals found, and the return of each episode."""

    success: float
    returns: list[float]


def play(env: str, seeds: Sequence[int], choose: Chooser) -> Score:
    """Play one episode a seed, all side by side.

    `choose` is given the maps of the agents still walking and picks an action for each.
    """
    mazes = [make(env) for _ in seeds]
    maps = [Map(maze.reset(seed=seed)[0]["image"]) for maze, seed in zip(mazes, seeds, strict=True)]
    returns = [0.0 for _ in seeds]
    walking = list(range(len(seeds)))
    while walking:
        actions = choose([maps[i] for i in walking])
        still: list[int] = []
        for i, action in zip(walking, actions, strict=True):
            seen, reward, found, late, _ = mazes[i].step(int(action))
            maps[i].update(int(action), seen["image"])
            returns[i] += float(reward)
            if not (found or late):
                still.append(i)
        walking = still
    return Score(sum(gained > 0 for gained in returns) / len(returns), returns)
