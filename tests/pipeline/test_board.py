"""The board: any order of results brings every node to an end, failures skip what needs them."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import ems
from ems.pipeline.board import DONE, Board, State
from ems.pipeline.graph import Graph, Kind
from ems.pipeline.keys import prefix_of
from ems.worker.values import brief, canon
from tests.pipeline.test_graph import Inputs


@ems.task
def step(values: Any, salt: int = 0) -> Any:
    return values


def _graph(shape: list[list[int]]) -> Graph:
    """A graph with one call for each row, which needs the earlier calls that it names."""
    graph = Graph(lambda _task: prefix_of("00" * 32), Inputs())
    with graph.writing("main"):
        made: list[Any] = []
        for salt, needs in enumerate(shape):
            made.append(step([made[n % len(made)] for n in needs] if made else [], salt))
    return graph


def ready(board: Board) -> list[int]:
    calls, troubles = board.take_ready()
    assert troubles == []
    return calls


shapes = st.lists(st.lists(st.integers(0, 50), max_size=4), min_size=1, max_size=25)


@settings(deadline=None)
@given(shapes, st.randoms(use_true_random=False))
def test_results_in_any_order_end_every_node(shape: list[list[int]], luck: random.Random) -> None:
    graph = _graph(shape)
    board = Board(graph, lambda _index: None)
    taken: list[int] = []
    finished: set[int] = set()
    while True:
        taken += ready(board)
        if not taken:
            break
        index = taken.pop(luck.randrange(len(taken)))
        node = graph.nodes[index]
        assert finished.issuperset(node.needs)
        finished.add(index)
        board.done(index, brief(canon(index)), State.RAN)
    assert finished == set(range(len(shape)))
    assert not board.unfinished()


@settings(deadline=None)
@given(shapes, st.integers(0, 24))
def test_a_failure_skips_exactly_what_needs_it(shape: list[list[int]], bad: int) -> None:
    graph = _graph(shape)
    board = Board(graph, lambda _index: None)
    bad %= len(shape)
    while calls := ready(board):
        for index in calls:
            if index == bad:
                board.failed(index)
            else:
                board.done(index, "1", State.RAN)
    below = {bad}
    for node in graph.nodes:
        if below.intersection(node.needs):
            below.add(node.index)
    for index, state in enumerate(board.states):
        expected = State.FAILED if index == bad else State.SKIPPED
        assert state is (expected if index in below else State.RAN)


def test_the_same_result_again_keeps_what_follows() -> None:
    graph = _graph([[], [0], [1]])
    board = Board(graph, lambda _index: None)
    for _ in range(3):
        for index in ready(board):
            board.done(index, f'"{index}"', State.RAN)
    version = board.versions[2]
    board.reopen(0)
    assert ready(board) == [0]
    board.done(0, '"0"', State.RAN)
    assert board.states[1:] == [State.RAN, State.RAN]
    board.reopen(0)
    ready(board)
    board.done(0, '"other"', State.RAN)
    assert ready(board) == [1]
    board.done(1, '"1"', State.RAN)
    assert board.states[2] in DONE
    assert board.versions[2] == version


def test_until_leaves_the_rest_out() -> None:
    graph = _graph([[], [0], [1], [0]])
    board = Board(graph, lambda _index: None)
    board.keep_only([1])
    seen: list[int] = []
    while calls := ready(board):
        for index in calls:
            seen.append(index)
            board.done(index, "1", State.RAN)
    assert seen == [0, 1]
    assert board.states[2:] == [State.LEFT_OUT, State.LEFT_OUT]


def test_a_map_grows_when_its_items_are_known() -> None:
    graph = Graph(lambda _task: prefix_of("00" * 32), Inputs())
    with graph.writing("main"):
        items = step("items")
        whole = ems.map(step, items, salt=4)
        step(whole)
    trees = {0: [10, 20, 30]}
    board = Board(graph, trees.__getitem__)
    assert ready(board) == [0]
    board.done(0, brief(canon(trees[0])), State.RAN)
    calls = ready(board)
    assert [graph.nodes[index].trees for index in calls] == [(10, 4), (20, 4), (30, 4)]
    for index in calls:
        board.done(index, str(index), State.RAN)
    last = ready(board)
    assert [graph.nodes[index].index for index in last] == [2]
    gathered = board.target_of(1)
    assert graph.nodes[gathered].kind is Kind.GATHER
    assert board.contents[1] == board.contents[gathered] == "[%d,%d,%d]" % tuple(calls)


def test_a_fold_continues_item_by_item() -> None:
    graph = Graph(lambda _task: prefix_of("00" * 32), Inputs())

    @ems.task
    def add(total: int, item: int) -> int:
        return total + item

    with graph.writing("main"):
        ems.fold(add, step("items"), 100)
    trees: dict[int, Any] = {0: [1, 2]}
    board = Board(graph, trees.__getitem__)
    board.done(ready(board)[0], "[1,2]", State.RAN)
    (first,) = ready(board)
    assert graph.nodes[first].trees == (100, 1)
    board.done(first, "101", State.RAN)
    (second,) = ready(board)
    assert board.lines(graph.nodes[second]) == ("101", "2")
    board.done(second, "103", State.RAN)
    ready(board)
    assert board.contents[1] == "103"
