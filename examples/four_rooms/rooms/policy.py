"""A small network that picks the next action from the map, the time and the return asked for.

It learns by imitation: which action was taken in trajectories that went on to earn this much?
Asked for a high return, it does what the better explorers did. NumPy only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np
import numpy.typing as npt

from .data import Trajectories
from .env import ACTIONS, FREE, GOAL, RADIUS, STEPS, WALL, Cells, Map

Floats = npt.NDArray[np.float32]

KINDS = (WALL, FREE, GOAL)
INPUTS = len(KINDS) * (2 * RADIUS + 1) ** 2 + 3
MIRRORED = np.array([1, 0, 2], dtype=np.uint8)  # left, right and forward, seen in a mirror
BATCH = 256
REPORT_EVERY = 100


@dataclass(frozen=True)
class Policy:
    """Weights and biases of each layer in turn; rectifiers between them."""

    layers: list[Floats]

    @classmethod
    def fresh(cls, hidden: int, random: np.random.Generator) -> Policy:
        layers: list[Floats] = []
        for wide, out in ((INPUTS, hidden), (hidden, hidden // 2), (hidden // 2, ACTIONS)):
            layers.append(random.normal(0, (2 / wide) ** 0.5, (wide, out)).astype(np.float32))
            layers.append(np.zeros(out, dtype=np.float32))
        return cls(layers)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Policy:
        with np.load(path) as arrays:
            return cls([arrays[name] for name in arrays])

    def save(self, path: str) -> None:
        np.savez(path, *self.layers)

    def forward(self, inputs: Floats) -> list[Floats]:
        """What each layer gives out, from the inputs themselves to the actions' scores."""
        values = [inputs]
        for weights, bias in zip(self.layers[0:-2:2], self.layers[1:-2:2], strict=True):
            values.append(np.maximum(values[-1] @ weights + bias, 0))
        values.append(values[-1] @ self.layers[-2] + self.layers[-1])
        return values

    def gradients(
        self, inputs: Floats, actions: npt.NDArray[np.uint8]
    ) -> tuple[float, list[Floats]]:
        """Cross-entropy of the actions taken, and its slope in each layer."""
        values = self.forward(inputs)
        rows = np.arange(len(actions))
        chance = softmax(values.pop())
        loss = -float(np.log(chance[rows, actions] + 1e-9).mean())
        slope = chance
        slope[rows, actions] -= 1
        slope /= len(actions)
        found: list[Floats] = []
        for weights in self.layers[-2::-2]:
            value = values.pop()
            found += [slope.sum(axis=0), value.T @ slope]
            if values:
                slope = (slope @ weights.T) * (value > 0)
        return loss, found[::-1]

    def act(
        self, maps: Sequence[Map], ask: float, temperature: float, random: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Draw each agent's action; the lower the temperature, the more often the likeliest."""
        windows = np.array([known.window() for known in maps])
        steps = np.array([known.steps / STEPS for known in maps], dtype=np.float32)
        scores = self.forward(encode(windows, np.full_like(steps, ask), steps))[-1]
        luck = random.gumbel(size=scores.shape)  # the largest sum is a draw from the softmax
        return np.argmax(scores / temperature + luck, axis=1)


def encode(windows: Cells, to_go: Floats, steps: Floats) -> Floats:
    """One input a kind and cell, then the return-to-go, whether there is any, and the time."""
    cells = windows.reshape(len(windows), -1)
    extra = np.stack([to_go, to_go > 0, steps], axis=1)
    return np.hstack([*(cells == kind for kind in KINDS), extra], dtype=np.float32)


def softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit(
    data: Trajectories,
    hidden: int,
    learning_rate: float,
    updates: int,
    seed: int,
    report: Callable[[int, float], object],
) -> Policy:
    """Train with Adam; the learning rate falls to zero over the second half.

    Every other batch is seen in a mirror: the maze has no left and right, so data counts twice.
    """
    random = np.random.default_rng(seed)
    policy = Policy.fresh(hidden, random)
    mean = [np.zeros_like(layer) for layer in policy.layers]
    square = [np.zeros_like(layer) for layer in policy.layers]
    recent = 0.0
    for update in range(1, updates + 1):
        batch = random.integers(len(data.actions), size=BATCH)
        windows, actions = data.windows[batch], data.actions[batch]
        if update % 2:
            windows, actions = windows[:, :, ::-1], MIRRORED[actions]
        inputs = encode(windows, data.to_go[batch], data.steps[batch])
        loss, slopes = policy.gradients(inputs, actions)
        rate = learning_rate * min(1.0, 2 * (1 - update / updates))
        rate *= (1 - 0.999**update) ** 0.5 / (1 - 0.9**update)
        for layer, slope, m, s in zip(policy.layers, slopes, mean, square, strict=True):
            m += 0.1 * (slope - m)
            s += 0.001 * (slope * slope - s)
            layer -= rate * m / (np.sqrt(s) + 1e-8)
        recent += loss / REPORT_EVERY
        if update % REPORT_EVERY == 0:
            report(update, recent)
            recent = 0.0
    return policy
