"""A small lab's project: four tasks that reach different parts of it."""

from __future__ import annotations

LAB = {
    "pipeline.py": '''
        """Four tasks."""
        import ems
        import numpy as np
        from lib.collecting import rollout
        from lib.models import Policy, Settings
        from lib.plots import draw
        import lib.decorators as decorators

        GOALS = 100

        @ems.task(cpus=2, memory="4", retries=1)
        def collect(env: str, seed: int) -> ems.File:
            """Collect."""
            return rollout(env, seed)

        @ems.task
        @decorators.timed("train")
        def train(data, settings=None):
            return Policy(settings or Settings()).fit(data)

        @ems.task(on="gpu", name="judge")
        def evaluate(policy, goals=GOALS):
            return np.mean([policy.act(goal) for goal in range(goals)])

        @ems.task()
        def plot(rows):
            return draw(rows)

        @ems.pipeline
        def main(workers: int = 4):
            return plot([evaluate(train(collect("env", seed))) for seed in range(workers)])

        if __name__ == "__main__":
            print(main())
        ''',
    "lib/__init__.py": "",
    "lib/collecting.py": """
        from .envs.grid import step
        def rollout(env, seed):
            return [step(env, seed, n) for n in range(10)]
        def unrelated(x):
            return x
        """,
    "lib/envs/__init__.py": "from .grid import *\n",
    "lib/envs/grid.py": """
        from ..constants import REWARD
        def step(env, seed, n, *, discount=0.9):
            return REWARD * discount ** n
        """,
    "lib/constants.py": "REWARD = 1\nUNUSED = 2\n",
    "lib/models.py": """
        from dataclasses import dataclass, field
        class Base:
            rate = 0.1
            def fit(self, data):
                return self.rate * len(data)
        class Policy(Base):
            def __init__(self, settings):
                self.settings = settings
            def act(self, goal):
                return goal
        @dataclass
        class Settings:
            depth: int = 2
            width: int = 8
            names: list = field(default_factory=list)
        """,
    "lib/plots.py": """
        def draw(rows):
            scale = make_scale(2)
            return [scale(row) for row in rows]
        def make_scale(factor):
            def scale(row):
                return row * factor
            return scale
        """,
    "lib/decorators.py": """
        import functools
        import time
        def timed(name):
            def wrap(fn):
                @functools.wraps(fn)
                def call(*args, **kwargs):
                    start = time.time()
                    try:
                        return fn(*args, **kwargs)
                    finally:
                        print(name, time.time() - start)
                return call
            return wrap
        """,
}
TASKS = ("collect", "train", "evaluate", "plot")
