"""The quickstart's tasks as plain functions, small: right data, the same luck, a real gain."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# as in a task of one CPU; the matrices are too small to be worth threads
with pytest.MonkeyPatch.context() as one_thread:
    one_thread.setenv("OPENBLAS_NUM_THREADS", "1")
    import numpy as np

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "four_rooms"
ENV = "MiniGrid-FourRooms-v0"


@pytest.fixture(scope="module")
def rooms() -> Any:
    """The example as its folder has it, gone from Python's modules when this file's tests end."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield _load("four_rooms_pipeline", FOLDER / "pipeline.py")
    finally:
        sys.path.remove(str(FOLDER))
        for name in [name for name in sys.modules if name.split(".")[0] == "rooms"]:
            del sys.modules[name]


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data(rooms: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The trajectories of two workers, 60 episodes each."""
    return [
        _in(
            tmp_path_factory.mktemp("data"), lambda n=n: rooms.preprocess(rooms.collect(ENV, 60, n))
        )
        for n in range(2)
    ]


def _in(folder: Path, task: Any) -> Path:
    """Call a task in a scratch folder and give the path of the file that it made."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        return folder / os.fspath(task())
    finally:
        os.chdir(before)


def test_the_map_holds_only_what_the_maze_holds(rooms: Any) -> None:
    from rooms.env import GOAL, SIZE, UNKNOWN, Map, make  # pyright: ignore[reportMissingImports]

    maze, random = make(ENV), np.random.default_rng(0)
    for seed in range(10):
        seen, _ = maze.reset(seed=seed)
        turns = int(maze.agent_dir) + 1  # of the maze, so that the agent's first heading is up
        start = np.zeros((maze.height, maze.width), dtype=bool)
        start[maze.agent_pos[1], maze.agent_pos[0]] = True
        row, column = np.argwhere(np.rot90(start, turns))[0]
        known, over = Map(seen["image"]), False
        while not over:
            action = int(random.integers(3))
            seen, _, found, late, _ = maze.step(action)
            known.update(action, seen["image"])
            over = found or late
        truth = np.rot90(maze.grid.encode()[:, :, 0].T, turns)
        top, left = SIZE // 2 - row, SIZE // 2 - column
        drawn = known.cells[top : top + maze.height, left : left + maze.width]
        # an agent on the goal sees the ground under its own feet
        assert ((drawn == truth) | (drawn == UNKNOWN) | ((truth == GOAL) & found)).all()
        assert np.count_nonzero(drawn) == np.count_nonzero(known.cells) > 20


def test_an_explorer_finds_the_goal(rooms: Any) -> None:
    from rooms.data import explore  # pyright: ignore[reportMissingImports]
    from rooms.env import play  # pyright: ignore[reportMissingImports]

    assert play(ENV, range(30), lambda maps: [explore(known) for known in maps]).success > 0.9


def test_returns_to_go_are_what_is_still_to_come(rooms: Any, data: list[Any]) -> None:
    from rooms.data import returns_to_go  # pyright: ignore[reportMissingImports]

    rewards = np.array([0, 1, 0, 0.5], dtype=np.float32)
    assert returns_to_go(rewards).tolist() == [1.5, 1.5, 0.5, 0.5]
    with np.load(data[0]) as arrays:
        steps, to_go = arrays["steps"], arrays["to_go"]
        starts = np.flatnonzero(steps == 0)
        assert len(starts) == 60
        for begin, end in zip(starts, [*starts[1:], len(steps)], strict=True):
            # MiniGrid pays once, at the goal, and less the longer it took
            missed, earned = 0, 1 - 0.9 * (end - begin) / 100
            assert to_go[begin] == pytest.approx(earned) or (to_go[begin], end - begin) == (
                missed,
                100,
            )
            assert (to_go[begin:end] == to_go[begin]).all()


def test_trajectories_have_one_window_and_action_a_step(rooms: Any, data: list[Any]) -> None:
    with np.load(data[0]) as arrays:
        count = len(arrays["steps"])
        assert arrays["windows"].shape == (count, 13, 13)
        assert arrays["windows"].dtype == np.uint8
        assert set(np.unique(arrays["windows"])) <= {0, 1, 2, 8}
        assert (arrays["windows"][:, 6, 6] == 1).all()  # the agent stands on free ground
        assert arrays["actions"].shape == arrays["to_go"].shape == (count,)
        assert set(np.unique(arrays["actions"])) == {0, 1, 2}


def test_the_same_arguments_give_the_same_bytes(
    rooms: Any, data: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "UPDATES", 30)
    made: list[tuple[bytes, ...]] = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        files = [
            _in(folder, lambda: rooms.collect(ENV, 4, 0)),
            _in(folder, lambda: rooms.preprocess("rollouts.npz")),
            _in(folder, lambda: rooms.train(data[:1], 16, 0)),
        ]
        made.append(tuple(file.read_bytes() for file in files))
    assert made[0] == made[1]
    other = _in(tmp_path, lambda: rooms.collect(ENV, 4, 1))
    assert other.read_bytes() != made[0][0]


def test_a_trained_policy_beats_chance(
    rooms: Any, data: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "UPDATES", 1000)
    policy = _in(tmp_path, lambda: rooms.train(data, 32, 0))
    trained = rooms.evaluate(policy, ENV, 100, 0.9)
    chance = rooms.walk_at_random(ENV, 100)
    assert len(trained.returns) == 100
    assert chance.success < 0.2
    assert trained.success > 2 * chance.success
    assert rooms.evaluate(policy, ENV, 5, 0.9) == rooms.evaluate(policy, ENV, 5, 0.9)


def test_mirrored_batches_swap_left_and_right(rooms: Any) -> None:
    from rooms.env import FORWARD, LEFT, RIGHT  # pyright: ignore[reportMissingImports]
    from rooms.policy import MIRRORED  # pyright: ignore[reportMissingImports]

    assert MIRRORED[[LEFT, RIGHT, FORWARD]].tolist() == [RIGHT, LEFT, FORWARD]


def test_gradients_are_the_slopes_of_the_loss(rooms: Any) -> None:
    from rooms.policy import INPUTS, Policy  # pyright: ignore[reportMissingImports]

    random = np.random.default_rng(0)
    policy = Policy([each.astype(np.float64) for each in Policy.fresh(8, random).layers])
    inputs, actions = random.random((5, INPUTS)), np.array([0, 1, 2, 0, 1])
    _, slopes = policy.gradients(inputs, actions)
    for layer, slope in zip(policy.layers, slopes, strict=True):
        spot = tuple(0 for _ in layer.shape)
        kept = layer[spot]
        layer[spot] = kept + 1e-5
        above, _ = policy.gradients(inputs, actions)
        layer[spot] = kept - 1e-5
        below, _ = policy.gradients(inputs, actions)
        layer[spot] = kept
        assert slope[spot] == pytest.approx((above - below) / 2e-5, abs=1e-6)


def test_mazes_to_be_tested_in_are_never_learned_from(rooms: Any) -> None:
    from rooms.data import FIRST_SEED, SEEDS_A_WORKER  # pyright: ignore[reportMissingImports]

    assert FIRST_SEED > 100_000  # `evaluate` counts its seeds from zero
    assert SEEDS_A_WORKER >= 10_000


def test_the_plot_is_a_picture(rooms: Any, data: list[Any], tmp_path: Path) -> None:
    score = type(rooms.walk_at_random(ENV, 1))
    high = [score(0.4, [0.0] * 10), score(0.8, [0.0] * 10)]
    low = [score(0.2, [0.0] * 10), score(0.4, [0.0] * 10)]
    picture = _in(tmp_path, lambda: rooms.plot([60, 120], high, low, score(0.1, [0.0] * 10), data))
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("workers", "sizes"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_sizes_double_up_to_all_workers(rooms: Any, workers: int, sizes: list[int]) -> None:
    assert rooms.doublings(workers) == sizes
