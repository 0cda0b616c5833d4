"""Who may take what: properties that hold whatever the log and the runners look like."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ems.store.answers import Hit
from ems.store.takeover import Beat, State, plan_claims, why_dead

ME = "r-me"
RUNNERS = st.sampled_from([ME, "r-1", "r-2", "r-3"])
VERSIONS = st.binary(min_size=1, max_size=1)
HITS = st.builds(Hit, st.text(max_size=3), st.booleans())
STATES = st.dictionaries(
    VERSIONS, st.tuples(st.integers(1, 5), st.none() | RUNNERS, st.none() | HITS)
)
ALIVE = st.sets(RUNNERS)


@given(st.lists(VERSIONS), STATES, ALIVE)
def test_every_version_gets_one_answer(
    versions: list[bytes], states: dict[bytes, State], alive: set[str]
) -> None:
    plan = plan_claims(versions, states, ME, alive.__contains__)
    free = [v for group in plan.free.values() for v in group]
    answers = [*free, *plan.mine, *plan.busy, *plan.done]
    assert sorted(answers) == sorted(set(versions))


@given(st.lists(VERSIONS), STATES, ALIVE)
def test_the_rules(versions: list[bytes], states: dict[bytes, State], alive: set[str]) -> None:
    plan = plan_claims(versions, states, ME, alive.__contains__)
    for gen, group in plan.free.items():
        for v in group:
            before, holder, hit = states.get(v, (0, None, None))
            assert gen == before + 1
            assert hit is None
            assert holder is None or (holder != ME and holder not in alive)
    for v, gen in plan.mine.items():
        assert states[v][:2] == (gen, ME)
    for v, holder in plan.busy.items():
        assert states[v][1] == holder != ME
        assert holder in alive
    for v, hit in plan.done.items():
        assert states[v][2] == hit


@given(st.lists(VERSIONS), STATES, ALIVE)
def test_of_two_who_saw_the_same_only_the_first_in_the_log_goes_on(
    versions: list[bytes], states: dict[bytes, State], alive: set[str]
) -> None:
    alive = alive | {ME, "r-new"}
    first = plan_claims(versions, states, ME, alive.__contains__)
    after = dict(states)
    for gen, group in first.free.items():
        after.update(dict.fromkeys(group, (gen, ME, None)))
    second = plan_claims(versions, after, "r-new", alive.__contains__)
    won = {v for group in first.free.values() for v in group}
    assert won.isdisjoint(v for group in second.free.values() for v in group)
    assert won <= second.busy.keys()


BEATS = st.builds(
    Beat,
    st.just("r-1"),
    st.sampled_from(["here", "there"]),
    st.integers(1, 9),
    st.integers(0, 3),
    st.floats(0, 100),
)


@given(st.none() | BEATS, st.floats(0, 200), st.booleans())
def test_death(beat: Beat | None, now: float, runs: bool) -> None:
    why = why_dead(beat, now, 20.0, "here", lambda pid, start: runs)
    if beat is None:
        assert "no heartbeat" in why
    elif beat.host == "here" and not runs:
        assert "is gone" in why
    else:
        assert bool(why) == (now - beat.seen > 20.0)


@given(BEATS)
def test_processes_elsewhere_are_not_asked_for(beat: Beat) -> None:
    def ask(pid: int, start: int) -> bool:
        raise AssertionError("another host's process id means nothing here")

    assert why_dead(beat, beat.seen + 5, 20.0, "elsewhere", ask) == ""
