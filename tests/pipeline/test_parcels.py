"""Parcels: nothing lost, nothing twice, long tasks alone, short ones together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ems.pipeline.parcels import MOST_VERSIONS, SCOUTS, SCOUTS_S, Lanes

QUICK = 0.03


@given(st.lists(st.integers(0, 3), max_size=200), st.integers(1, 8), st.floats(1e-6, 10))
def test_every_version_is_taken_once(keys: list[int], slots: int, seconds: float) -> None:
    lanes = Lanes()
    for index, key in enumerate(keys):
        lanes.add(key, index)
        lanes.lane(key).pace.learn(seconds)
    seen: list[int] = []
    while (taken := lanes.take(slots, QUICK)) is not None:
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
    assert lanes.take(2, QUICK) == ("a", [0])
    lanes.lane("a").pace.learn(0.00005)
    taken = lanes.take(2, QUICK)
    assert taken is not None
    assert len(taken[1]) == MOST_VERSIONS
    for _ in range(50):
        lanes.lane("a").pace.learn(5.0)
    assert lanes.take(2, QUICK) == ("a", [65])


def test_the_last_ones_are_shared_out() -> None:
    lanes = Lanes()
    lanes.lane("a").pace.learn(0.0001)
    for index in range(10):
        lanes.add("a", index)
    sizes: list[int] = []
    while (taken := lanes.take(4, QUICK)) is not None:
        sizes.append(len(taken[1]))
    assert sizes[:3] == [3, 2, 2]


def test_a_retry_goes_first() -> None:
    lanes = Lanes()
    lanes.add("a", 5)
    lanes.add("a", 3, first=True)
    assert lanes.take(1, QUICK) == ("a", [3])
    assert lanes.clear() == [5]


def test_a_parcel_takes_as_long_as_its_place_wants() -> None:
    lanes = Lanes()
    for index in range(1000):
        lanes.add("a", index)
    lanes.lane("a").pace.learn(1.0)
    taken = lanes.take(10, 20.0)
    assert taken is not None
    assert len(taken[1]) == 20


def test_where_handing_over_is_dear_the_first_ones_tell_how_long_a_task_takes() -> None:
    lanes = Lanes()
    for index in range(1000):
        lanes.add("a", index)
    now = 100.0
    alone = [lanes.take(500, 20.0, now) for _ in range(SCOUTS)]
    assert all(taken is not None and len(taken[1]) == 1 for taken in alone)
    assert lanes.take(500, 20.0, now + 1) is None
    lanes.lane("a").pace.learn(0.5)
    taken = lanes.take(30, 20.0, now + 2)
    assert taken is not None
    assert len(taken[1]) == 32  # an even share of what is left


def test_long_tasks_do_not_wait_for_the_first_ones() -> None:
    lanes = Lanes()
    for index in range(1000):
        lanes.add("a", index)
    for _ in range(SCOUTS):
        assert lanes.take(500, 20.0, 0.0) is not None
    assert lanes.take(500, 20.0, SCOUTS_S / 2) is None
    assert lanes.take(500, 20.0, SCOUTS_S) is not None
