"""What Batch says of many jobs with few calls: hundreds in one, and of an array its sums first.

Knows tracks and answers. Does not know orders. A job that has ended is not asked for again; the
jobs of an array are asked for only when its sums have changed: a few by their ids, many by the
states whose sums did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ems.compute.batch.calls import AT_A_TIME, BatchCalls
from ems.compute.batch.states import native
from ems.compute.batch.tracks import Track
from ems.compute.job import JobState
from ems.compute.refusals import inner
from ems.compute.remote.order import Native

_BY_ID = 2 * AT_A_TIME
_LISTED = ("RUNNING", "FAILED", "SUCCEEDED")


class Watch:
    """The last word on each job; for one thread."""

    def __init__(self, calls: BatchCalls) -> None:
        self._calls = calls
        self._said: dict[Track, Native] = {}
        self._sums: dict[str, Mapping[str, int]] = {}

    def look(self, tracks: Sequence[Track]) -> Mapping[Track, Native]:
        """Return what Batch knows of each; those that it forgot (7 days after) are left out."""
        live = [track for track in tracks if not self.ended(track)]
        arrays = dict.fromkeys(track.job for track in live if track.place is not None)
        alone = [track for track in live if track.place is None]
        heads = self._heads(live)
        ids = [*(each.id for each in alone), *arrays, *(each.id for each in heads)]
        answers = self._calls.jobs(ids)
        for track in (*alone, *heads):
            self._take(track, answers.get(track.id))
        changed = {job for job in arrays if self._has_changed(job, answers.get(job))}
        for job in changed:
            inside = [track for track in live if track.place is not None and track.job == job]
            self._look_inside(job, inside, answers.get(job))
            self._sums[job] = _sums(answers.get(job))
        return {track: self._said[track] for track in tracks if track in self._said}

    def ended(self, track: Track) -> bool:
        """Whether Batch said that the job has ended."""
        said = self._said.get(track)
        return said is not None and said.state.ended

    def forget(self, tracks: Sequence[Track]) -> None:
        """Let go of what was said of these jobs."""
        for track in tracks:
            self._said.pop(track, None)
            self._sums.pop(track.job, None)

    def _look_inside(
        self, job: str, inside: Sequence[Track], answer: Mapping[str, Any] | None
    ) -> None:
        """Take what Batch says of an array's jobs; those it has not made are as the array is."""
        sums = _sums(answer)
        if len(inside) <= _BY_ID or not sums:
            children = self._calls.jobs([track.id for track in inside]) if sums else {}
            for track in inside:
                self._take(track, children.get(track.id) or _of_parent(answer))
            return
        before = self._sums.get(job, {})
        told: dict[str, Mapping[str, Any]] = {}
        # those that went on while this was asked for are in the later list, and that one counts
        for state in (state for state in _LISTED if sums.get(state) != before.get(state)):
            told |= {each["jobId"]: each for each in self._calls.children(job, state)}
        for track in inside:
            if track.id in told:
                self._said[track] = native(told[track.id])
            elif self._waits_again(track, sums, before):
                self._said[track] = Native(JobState.SUBMITTED)

    def _waits_again(
        self, track: Track, sums: Mapping[str, int], before: Mapping[str, int]
    ) -> bool:
        """Whether a job that is in no list waits, for the first time or once more."""
        said = self._said.get(track)
        listed = sums.get("RUNNING") != before.get("RUNNING")
        return said is None or (listed and said.state is JobState.RUNNING)

    def _heads(self, live: Sequence[Track]) -> list[Track]:
        """Return the first waiting job of each array: if one blocks the queue, Batch says why in
        its own words, and no sum changes by that."""
        heads: dict[str, Track] = {}
        for track in sorted(each for each in live if each.place is not None):
            said = self._said.get(track)
            if said is not None and said.state is JobState.SUBMITTED:
                heads.setdefault(track.job, track)
        return list(heads.values())

    def _has_changed(self, job: str, answer: Mapping[str, Any] | None) -> bool:
        return job not in self._sums or self._sums[job] != _sums(answer)

    def _take(self, track: Track, answer: Mapping[str, Any] | None) -> None:
        if answer is None:
            self._said.pop(track, None)
        else:
            self._said[track] = native(answer)


def _sums(answer: Mapping[str, Any] | None) -> Mapping[str, int]:
    """Return how many of an array's jobs are in each state; nothing before there are any."""
    found = inner(answer, "arrayProperties", "statusSummary")
    return {state: count for state, count in found.items() if count}


def _of_parent(answer: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return what an array says of a job that it has not made yet."""
    if answer is None or answer.get("status") == "SUCCEEDED":
        return None
    return answer
