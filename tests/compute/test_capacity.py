"""Packing never gives out more than there is, and takes back all that it gave."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ems.compute.capacity import MOST_OVERTAKEN, Need, Room, choose
from ems.compute.job import Resources
from ems.compute.waiting import Waiting

NEEDS = st.builds(Need, st.integers(0, 5000), st.integers(0, 9000), st.integers(0, 3))
ROOM = Room(4000, 8192, ("0", "1", "2"), 3)


@given(st.lists(NEEDS, max_size=30), st.randoms(use_true_random=False))
def test_never_more_than_there_is(needs: list[Need], random: object) -> None:
    room, taken = ROOM, list[tuple[Need, tuple[str, ...]]]()
    for need in needs:
        if room.fits(need):
            room, gpus = room.take(need)
            taken.append((need, gpus))
        elif taken:
            room = room.give_back(*taken.pop(random.randrange(len(taken))))  # type: ignore[attr-defined]
        assert min(room.millicpus, room.mib, room.slots) >= 0
        ids = [each for _, gpus in taken for each in gpus]
        assert sorted([*ids, *room.gpus]) == list(ROOM.gpus)
        assert room.millicpus == ROOM.millicpus - sum(need.millicpus for need, _ in taken)
    for need, gpus in taken:
        room = room.give_back(need, gpus)
    assert room == ROOM


@given(NEEDS)
def test_what_lacks_nothing_fits_an_empty_machine(need: Need) -> None:
    assert ROOM.fits(need) is (ROOM.lacks(need) == [])


def test_needs_are_rounded_up() -> None:
    need = Need.of(Resources(cpus=1 / 3, memory_gib=0.0001))
    assert (need.millicpus, need.mib) == (334, 1)


def test_ten_gpus_keep_their_order() -> None:
    room = Room(0, 0, tuple(str(at) for at in range(11)), 11)
    less, ids = room.take(Need(0, 0, 11))
    assert less.give_back(Need(0, 0, 11), ids[::-1]).gpus == room.gpus


def test_a_large_job_is_overtaken_for_a_while_only() -> None:
    large, small = Need(4000, 0, 0), Need(1000, 0, 0)
    room = Room(3000, 0, (), 9)
    assert choose(room, [large, small], [0, 0]) == 1
    assert choose(room, [large, small], [MOST_OVERTAKEN, 0]) is None
    waiting = Waiting()
    waiting.add("large", large)
    for at in range(100):
        waiting.add(f"small-{at}", small)
    started = 0
    while waiting.next(room) is not None:
        started += 1
    assert started == MOST_OVERTAKEN
    assert waiting.next(Room(4000, 0, (), 9)) == "large"
    assert waiting.next(room) == f"small-{MOST_OVERTAKEN}"


@given(st.lists(st.tuples(NEEDS, st.booleans()), max_size=40))
def test_everything_that_fits_starts_once_in_the_end(items: list[tuple[Need, bool]]) -> None:
    waiting, expected = Waiting(), set[str]()
    for at, (need, _) in enumerate(items):
        if ROOM.fits(need):
            waiting.add(str(at), need)
            expected.add(str(at))
    for at, (_, dropped) in enumerate(items):
        if dropped and str(at) in expected:
            waiting.drop(str(at))
            expected.remove(str(at))
    started: list[str] = []
    while (item := waiting.next(ROOM)) is not None:
        started.append(item)
    assert len(started) == len(expected)
    assert set(started) == expected


def test_jobs_of_one_need_start_in_order() -> None:
    waiting, need = Waiting(), Need(1, 1, 0)
    for at in range(5):
        waiting.add(str(at), need)
    waiting.drop("2")
    assert [waiting.next(ROOM) for _ in range(5)] == ["0", "1", "3", "4", None]
