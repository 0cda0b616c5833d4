"""Writing pipelines down: nodes, needs, labels, recipes, and calls that do not fit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import ems
from ems.errors import UsageError
from ems.hashing import digest_file
from ems.pipeline.graph import Graph, Kind
from ems.pipeline.keys import prefix_of
from ems.pipeline.pending import Pending, name_of, node_of


class Inputs:
    def __init__(self) -> None:
        self.listings: dict[str, bytes] = {}

    def prefetch(self, paths: Iterable[str]) -> None:
        pass

    def place(self, path: str, digest: str) -> list[Any]:
        return [path]

    def file(self, path: str) -> tuple[str, int]:
        return digest_file(path), Path(path).stat().st_size

    def folder(self, path: str) -> tuple[str, int]:
        return "f" * 64, 0

    def arrived(self, paths: list[str]) -> list[Any]:
        return [ems.File(path) for path in paths]

    def value(self, tree: Any) -> Any:
        return tree


@pytest.fixture
def graph() -> Graph:
    return Graph(lambda task: prefix_of(hashlib.sha256(task.name.encode()).hexdigest()), Inputs())


@ems.task
def collect(env: str, episodes: int = 5, *, seed: int = 0) -> dict[str, Any]:
    return {"env": env, "episodes": episodes, "seed": seed}


@ems.task(cpus=2, memory="4", timeout="10m", retries=1)
def train(data: Any, rate: float = 0.1) -> Any:
    return data


@ems.task
def spread(*values: int, **more: int) -> int:
    return sum(values) + sum(more.values())


def test_outside_a_pipeline_a_task_is_a_plain_function() -> None:
    assert collect("e", seed=3) == {"env": "e", "episodes": 5, "seed": 3}
    assert train([1], after=[]) == [1]  # type: ignore[call-arg]
    assert getattr(collect, "__name__") == "collect"  # noqa: B009
    assert train.options.resources.memory_gib == 4
    assert train.options.timeout_s == 600


def test_inside_it_is_written_down(graph: Graph) -> None:
    with graph.writing("main"):
        raw = [collect("e", seed=seed) for seed in range(2)]
        model = train(raw[1]["env"], rate=0.5)
    assert [node.label for node in graph.nodes] == ["collect[0]", "collect[1]", "train"]
    assert type(model) is Pending
    node = node_of(model)
    assert node.needs == (1,)
    assert node.trees == ({"$pending": [1, (("item", "env"),)]}, 0.5)
    assert name_of(raw[0]["a"].b[2]) == "collect[0]['a'].b[2]"


def test_how_a_call_is_written_does_not_count(graph: Graph) -> None:
    with graph.writing("main"):
        for result in (
            collect("e", 5, seed=0),
            collect(env="e"),
            collect(seed=0, episodes=5, env="e"),
        ):
            assert result is not None
    assert len({node.recipe for node in graph.nodes}) == 1


def test_recipes_follow_what_is_upstream(graph: Graph) -> None:
    with graph.writing("main"):
        for seed in (0, 1):
            train(collect("e", seed=seed))
    assert len({node.recipe for node in graph.nodes}) == 4


def test_an_argument_is_taken_as_it_is_when_the_call_is_made(graph: Graph) -> None:
    values = [1]
    with graph.writing("main"):
        train(values)
        values.append(2)
        train(values)
    assert [node.trees[0] for node in graph.nodes] == [[1], [1, 2]]


def test_star_arguments_are_kept_apart(graph: Graph) -> None:
    with graph.writing("main"):
        spread(1, 2, a=3)
    assert graph.nodes[0].trees == ({"$tuple": [1, 2]}, {"a": 3})


def test_after_is_order_without_data(graph: Graph) -> None:
    with graph.writing("main"):
        first = collect("e")
        train(1, after=[first])  # type: ignore[call-arg]
        train(1, after=first)  # type: ignore[call-arg]
    assert graph.nodes[1].after == (0,)
    assert graph.nodes[1].recipe == graph.nodes[2].recipe
    with graph.writing("again"), pytest.raises(UsageError, match="no result of a task"):
        train(1, after=[3])  # type: ignore[call-arg]


def test_files_count_by_content(graph: Graph, tmp_path: Path) -> None:
    one, two = tmp_path / "a.txt", tmp_path / "b.txt"
    for each in (one, two):
        each.write_text("same")
    with graph.writing("main"):
        train(ems.File(one))
        train({"x": [ems.File(two)]})
        train(ems.File(two))
    assert graph.nodes[0].recipe == graph.nodes[2].recipe != graph.nodes[1].recipe
    assert next(iter(graph.places.values())) in (str(one), str(two))
    with graph.writing("main2"), pytest.raises(UsageError, match="no such file"):
        train(ems.File(tmp_path / "none"))


def test_pipelines_call_pipelines(graph: Graph) -> None:
    @ems.pipeline
    def inner(n: int) -> Any:
        return train(collect("e", n))

    with graph.writing("main"):
        inner(1)
        inner(2)
    assert [node.label for node in graph.nodes] == [
        "inner/collect", "inner/train", "inner[1]/collect", "inner[1]/train",
    ]  # fmt: skip


def test_a_cycle_is_named_with_its_path(graph: Graph) -> None:
    @ems.pipeline
    def one() -> Any:
        return two()

    @ems.pipeline
    def two() -> Any:
        return one()

    with graph.writing("main"), pytest.raises(UsageError, match="one → two → one"):
        one()


def test_map_over_a_known_list_is_calls(graph: Graph) -> None:
    with graph.writing("main"):
        results = ems.map(train, [1, 2], rate=0.3)
    assert isinstance(results, list)
    assert [node.trees for node in graph.nodes] == [(1, 0.3), (2, 0.3)]
    assert ems.map(train, [1, 2]) == [1, 2]


def test_map_over_a_result_grows_later(graph: Graph) -> None:
    with graph.writing("main"):
        listed = collect("e")
        results = ems.map(train, listed, rate=0.3)
    node = node_of(results)
    assert node.kind is Kind.MAP
    assert node.needs == (0,)
    assert node.expand is not None
    node.expand([[7, 8], 0.3])
    assert [n.trees for n in graph.nodes[2:4]] == [(7, 0.3), (8, 0.3)]
    assert graph.nodes[4].kind is Kind.GATHER


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (collect, "without env"),
        (
            lambda: collect("e", 1, 2),  # pyright: ignore[reportCallIssue]
            "takes 2 positional arguments, 3 were given",
        ),
        (
            lambda: collect("e", episods=1),  # pyright: ignore[reportCallIssue]
            "did you mean 'episodes'",
        ),
        (
            lambda: collect("e", env="f"),  # pyright: ignore[reportCallIssue]
            "two values for 'env'",
        ),
        (lambda: train(object()), "train: argument 'data'"),
        (lambda: train({"a": [open]}), r"argument 'data'\['a'\]\[0\]"),
    ],
)
def test_calls_that_do_not_fit(call: Any, words: str, graph: Graph) -> None:
    with graph.writing("main"), pytest.raises(UsageError, match=words):
        call()


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda p: 1 if p else 2, "if"),
        (list, "looped over"),
        (len, "no length"),
        (lambda p: f"{p}", "become text"),
        (str, "become text"),
        (lambda p: p + 1, "computed with"),
        (lambda p: 1 - p, "computed with"),
        (lambda p: p == 1, "compared"),
        (lambda p: p < 1, "compared"),
        (lambda p: 1 in p, "looked up"),
        (lambda p: p(), "called"),
        (open, "computed with"),
        (lambda p: p[1:2], "items by a word or a whole number"),
    ],
)
def test_what_python_would_decide_is_an_error(use: Any, words: str, graph: Graph) -> None:
    with graph.writing("main"):
        pending = collect("e")
    with pytest.raises(UsageError, match=words) as caught:
        use(pending)
    assert "collect" in str(caught.value)
    assert "Try: " in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cpu": 2}, "did you mean 'cpus'"),
        ({"memory": "4096"}, "GiB"),
        ({"timeout": "soon"}, "no duration"),
        ({"retries": -1}, "retries=-1"),
    ],
)
def test_decorators_that_do_not_fit(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ems.task(**options)(lambda: 1)


def test_a_parameter_called_after_is_refused() -> None:
    with pytest.raises(UsageError, match="another name"):

        @ems.task
        def late(after: int) -> int:
            return after


def test_commands_read_their_placeholders(graph: Graph) -> None:
    run = ems.command(
        "python train.py --seed {seed} --data {data} {{x}} --out {out.model}",
        outputs={"model": "model.pt"},
    )
    assert run.parameters.names == ("seed", "data")
    assert run.name == "train"
    with graph.writing("main"):
        run(seed=1, data="d")["model"]
    with pytest.raises(UsageError, match="inside a pipeline only"):
        run(seed=1, data="d")
    for bad, words in [
        ("x {out.modle}", "outputs are model"),
        ("x {a b}", "no placeholder"),
    ]:
        with pytest.raises(UsageError, match=words):
            ems.command(bad, outputs={"model": "m"})
    with pytest.raises(UsageError, match="inside its scratch folder"):
        ems.command("x {out.m}", outputs={"m": "../m"})
