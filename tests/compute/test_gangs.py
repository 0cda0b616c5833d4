"""Where members of a gang go: never more than the room, all or none, in the order of `on`."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.compute.backend import Backend, Room
from ems.compute.broker import Broker, Opening
from ems.compute.gangs import Part, Planned, plan, seat
from ems.compute.job import Job, JobState, Member, Resources, Role
from ems.compute.jobfile.making import members_of
from ems.compute.local import LocalBackend
from ems.compute.remote.folder import FolderSite
from ems.compute.remote.spool import SpoolBackend
from tests.contract.place import Kept
from tests.contract.processes import Processes

Loads = Mapping[str, tuple[float, int]]
"""CPUs and GPUs by place."""
PLACES: tuple[str, ...] = ("a", "b", "c")
EMPTY: tuple[float, int] = (0.0, 0)

rooms = st.fixed_dictionaries(
    {place: st.tuples(st.integers(0, 6), st.integers(0, 2)) for place in PLACES}
)
needs = st.builds(Resources, cpus=st.sampled_from([1, 2, 3]), gpus=st.sampled_from([0, 0, 1]))
ons = st.permutations(PLACES).flatmap(
    lambda order: st.integers(1, 3).map(lambda count: tuple(order[:count]))
)
parts_of = st.lists(st.builds(Part, needs, ons), min_size=1, max_size=6)


def planned(parts: Sequence[Part], room: Loads) -> Planned:
    def fits(place: str, need: Resources) -> bool:
        return need.cpus <= room[place][0] and need.gpus <= room[place][1]

    return plan(parts, fits)


def loads(parts: Sequence[Part], seats: Sequence[str]) -> Loads:
    found = dict.fromkeys(PLACES, EMPTY)
    for part, place in zip(parts, seats, strict=True):
        cpus, gpus = found[place]
        found[place] = (cpus + part.need.cpus, gpus + part.need.gpus)
    return found


def within(load: Loads, room: Loads) -> bool:
    return all(
        cpus <= room[place][0] and gpus <= room[place][1] for place, (cpus, gpus) in load.items()
    )


@given(parts_of, rooms)
def test_all_or_none_and_never_more_than_the_room(parts: list[Part], room: Loads) -> None:
    seats = planned(parts, room).seats
    choices = itertools.product(*(part.places for part in parts))
    can = any(within(loads(parts, each), room) for each in choices)
    assert (seats is not None) == can
    if seats is not None:
        assert within(loads(parts, seats), room)
        assert all(place in part.places for part, place in zip(parts, seats, strict=True))


@given(parts_of, rooms)
def test_nobody_is_moved_on_without_need(parts: list[Part], room: Loads) -> None:
    """No member can go to a place that it prefers while all the others stay where they are."""
    seats = planned(parts, room).seats
    for at, part in enumerate(parts):
        for better in part.places[: part.places.index(seats[at])] if seats else ():
            assert seats is not None
            other = [*seats[:at], better, *seats[at + 1 :]]
            assert not within(loads(parts, other), room)


def test_thousands_are_placed_at_once() -> None:
    parts = [Part(Resources(cpus=1), ("a", "b", "c"))] * 3000 + [Part(Resources(cpus=4), ("b",))]
    began = time.monotonic()
    seats = planned(parts, {"a": (1000, 0), "b": (1500, 0), "c": (504, 0)}).seats
    assert seats and loads(parts, seats) == {"a": (1000, 0), "b": (1500, 0), "c": (504, 0)}
    assert planned(parts, {"a": (1000, 0), "b": (1500, 0), "c": (503, 0)}).seats is None
    assert planned(parts, {"a": (1000, 0), "b": (1500, 0), "c": (499, 0)}) == Planned(None, True)
    assert time.monotonic() - began < 30


def test_what_can_not_be_searched_through_is_not_called_impossible() -> None:
    luck = random.Random(1)
    order = [tuple(luck.sample(PLACES, 3)) for _ in range(60)]
    parts = [Part(Resources(cpus=0.1 + at / 1000), on) for at, on in enumerate(order)]
    assert planned(parts, {"a": (2, 0), "b": (2, 0), "c": (3.7, 0)}).sure is False


# -- on backends ----------------------------------------------------------------------------------


def members(gang: str, *roles: Role) -> list[Job]:
    return members_of(Job(gang, roles=roles, command=("sleep", "60")), gang, gang, 600.0)


def sleepers(times: int, cpus: float, *on: str) -> Role:
    return Role("robot", times, Resources(cpus=cpus), on, ("sleep", "60"))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Places of this machine: of two CPUs, of four, and a target of two places of one each."""

    def place(name: str, cpus: int) -> Backend:
        made = LocalBackend(cpus=cpus, cache=tmp_path / "cache", folder=tmp_path / name)
        made.name = name
        made.capabilities = made.capabilities._replace(targets=(name.partition("/")[0],))
        return made

    targets: dict[str, Opening] = {
        "two": lambda: [place("two", 2)],
        "four": lambda: [place("four", 4)],
        "arms": lambda: [place("arms/a", 1), place("arms/b", 1)],
    }
    made = Broker(targets, ("two",))
    yield made
    made.close()


def at(jobs: Sequence[Job], seats: Sequence[str]) -> list[Job]:
    return [job._replace(on=(place,)) for job, place in zip(jobs, seats, strict=True)]


def test_a_full_place_spills_over_and_a_waiting_gang_says_why(broker: Broker) -> None:
    gang = members("ab", sleepers(3, 1.0, "two", "four"))
    assert broker.seats(gang).seats == ("two", "two", "four")
    handles = broker.submit(at(gang, broker.seats(gang).seats))
    assert [handle.backend for handle in handles] == ["two", "two", "four"]
    broker.brief(handles, b"[]")
    again = members("cd", sleepers(4, 1.0, "two", "four"))
    waits = broker.seats(again)
    assert not waits.seats and not waits.never
    assert "4 members with 4 CPUs together fit at once (two: 0 CPUs are free; four: 3" in waits.why
    broker.cancel(handles, 0.0)
    while not all(status.state.ended for status in broker.poll(handles)):
        broker.wait(0.1)
    assert broker.seats(again).seats == ("two", "two", "four", "four")


def test_one_gang_at_a_time_assembles_at_a_place(broker: Broker) -> None:
    first = members("ab", sleepers(2, 1.0, "four"))
    handles = broker.submit(at(first, broker.seats(first).seats))
    second = members("cd", sleepers(2, 1.0, "four"))
    assert "another gang assembles there" in broker.seats(second).why
    assert broker.seats(members("ef", sleepers(2, 1.0, "two"))).seats == ("two", "two")
    broker.brief(handles, b"[]")
    assert broker.seats(second).seats == ("four", "four")
    broker.cancel(handles, 0.0)


class Shared(Processes):
    """A place that others use, too."""

    free = 0.0

    def room(self) -> Room:
        return Room(self.free, 4.0)


def test_a_place_that_starts_gangs_as_one_gets_them_at_once(tmp_path: Path) -> None:
    """They wait in its own queue, before those who come later."""
    made = LocalBackend(cpus=2, cache=tmp_path / "cache", folder=tmp_path / "two")
    made.capabilities = made.capabilities._replace(gangs=True)
    gang = members("ab", sleepers(2, 1.0))
    made.submit(gang)
    assert seat(members("cd", sleepers(2, 1.0)), lambda _: [made], {made.name}).seats
    assert seat(members("ef", sleepers(3, 1.0)), lambda _: [made]).never
    made.close()


def test_a_place_that_others_leave_is_noticed(tmp_path: Path) -> None:
    there, kept = Shared(tmp_path / "there"), Kept(tmp_path / "objects")
    site, cache = FolderSite(tmp_path / "there"), tmp_path / "cache"
    broker = Broker({"far": lambda: [SpoolBackend("far", site, there, kept, cache)]}, ("far",))
    gang = members("ab", sleepers(2, 2.0))

    def until(what: str) -> None:
        deadline = time.monotonic() + 40
        while what not in (said := str(broker.seats(gang))):
            assert time.monotonic() < deadline, said
            time.sleep(0.05)

    until("0 CPUs are free")
    there.free = 4.0
    until("seats=('far', 'far')")
    broker.close()


def test_what_waits_behind_ones_own_is_not_impossible(tmp_path: Path) -> None:
    there, kept = Shared(tmp_path / "there"), Kept(tmp_path / "objects")
    there.free = 4.0
    far = SpoolBackend("far", FolderSite(tmp_path / "there"), there, kept, tmp_path / "cache")
    deadline = time.monotonic() + 40
    while far.room().total is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    handles = far.submit(members("ab", sleepers(2, 2.0)))
    seating = seat(members("cd", sleepers(2, 2.0)), lambda _: [far])
    assert not seating.seats and not seating.never
    far.cancel(handles, 0.0)
    while not all(status.state.ended for status in far.poll(handles)):
        assert time.monotonic() < deadline
        far.wait(0.1)
    far.close()


def test_one_on_each_host_of_a_target(broker: Broker) -> None:
    gang = members("ab", sleepers(2, 1.0, "arms"), Role("learner", 1, Resources(), ("two",)))
    seats = broker.seats(gang).seats
    assert seats == ("arms/a", "arms/b", "two")
    handles = broker.submit(at(gang, seats))
    assert [handle.backend for handle in handles] == list(seats)
    broker.cancel(handles, 0.0)


def test_what_can_never_be(broker: Broker) -> None:
    small = Role("learner", 1, Resources(cpus=3), ("two",))
    for roles in ((sleepers(7, 1.0, "two", "four"),), (sleepers(1, 1.0, "four"), small)):
        seating = broker.seats(members("ab", *roles))
        assert seating.never and "can never run at once on" in seating.why
    assert broker.seats(members("ab", sleepers(1, 1.0, "two")), apart=True).never


def test_members_without_a_place_end(broker: Broker) -> None:
    jobs = at(members("ab", sleepers(1, 1.0)), ["moon/one"])
    status = broker.poll(broker.submit(jobs))[0]
    assert status.state is JobState.FAILED and "no target here is called moon" in status.detail


def test_ranks_keys_and_lines() -> None:
    roles = (Role("learner", ends=True), Role("robot", 2, variables={"A": "2"}))
    job = Job("g", roles=roles, command=("true",), variables={"A": "1", "B": "1"})
    first, second = members_of(job, "aa", "bb", 5.0), members_of(job, "aa", "cc", 5.0)
    found = [job.member for job in first]
    assert [each and (each.name, each.rank, each.size) for each in found] == [
        ("learner-0", 0, 3), ("robot-0", 1, 3), ("robot-1", 2, 3),
    ]  # fmt: skip
    assert isinstance(found[0], Member) and found[0].meet_s == 5.0
    assert first[1].variables == {"A": "2", "B": "1"}
    assert len({job.key for job in [*first, *second]}) == 6
    assert [j.member and j.member.line for j in first] == [
        j.member and j.member.line for j in second
    ]


def test_seats_ask_a_place_that_nobody_knows_the_room_of(tmp_path: Path) -> None:
    place = LocalBackend(cpus=1, cache=tmp_path / "cache")
    assert seat(members("ab", sleepers(1, 1.0)), lambda _: [place]).seats == ("local",)
    assert seat(members("ab", sleepers(1, 1.0)), lambda _: [], ()).never
    place.close()
