"""Parcels: nothing lost, nothing twice, long tasks alone, short ones together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ems.pipeline.parcels import MOST_VERSIONS, Lanes


@given(st.lists(st.integers(0, 3), max_size=200), st.integers(1, 8), st.floats(1e-6, 10))
def test_every_version_is_taken_once(keys: list[int], slots: int, seconds: float) -> None:
    lanes = Lanes()
    for index, key in enumerate(keys):
        lanes.add(key, index)
        lanes.lane(key).pace.learn(seconds)
    seen: list[int] = []
    while (taken := lanes.take(slots)) is not None:
        key, indices = taken
        assert 0 < len(indices) <= MOST_VERSIONS
        assert {keys[index] for index in indices} == {key}
        seen += indices
    assert sorted(seen) == list(range(len(keys)))
    assert len(lanes) == 0


def test_long_tasks_travel_alone_and_short_ones_together() -> None:
    lanes = Lanes()
    for index in range(1000):
        lanes.add("a", index)
    assert lanes.take(2) == ("a", [0])
    lanes.lane("a").pace.learn(0.00005)
    taken = lanes.take(2)
    assert taken is not None
    assert len(taken[1]) == MOST_VERSIONS
    for _ in range(50):
        lanes.lane("a").pace.learn(5.0)
    assert lanes.take(2) == ("a", [65])


def test_the_last_ones_are_shared_out() -> None:
    lanes = Lanes()
    lanes.lane("a").pace.learn(0.0001)
    for index in range(10):
        lanes.add("a", index)
    sizes: list[int] = []
    while (taken := lanes.take(4)) is not None:
        sizes.append(len(taken[1]))
    assert sizes[:3] == [3, 2, 2]


def test_a_retry_goes_first() -> None:
    lanes = Lanes()
    lanes.add("a", 5)
    lanes.add("a", 3, first=True)
    assert lanes.take(1) == ("a", [3])
    assert lanes.clear() == [5]
