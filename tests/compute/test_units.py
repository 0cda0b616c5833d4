"""Amounts as people write them."""

from __future__ import annotations

import pytest

from ems import units
from ems.compute.job import Handle, JobState, Reason, Resources
from ems.errors import UsageError


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(90, 90), (0.5, 0.5), ("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172800),
     ("1.5h", 5400), (" 1h 30m ", 5400), ("500ms", 0.5), ("1w", 604800)],
)  # fmt: skip
def test_durations(given: float | str, seconds: float) -> None:
    assert units.seconds(given) == seconds


@pytest.mark.parametrize("given", [0, -1, "", "abc", "10x", "m", "1h-3m", "10 minutes", True,
                                   float("nan"), float("inf"), "0", "٣s"])  # fmt: skip
def test_no_durations(given: float | str) -> None:
    with pytest.raises(UsageError, match=r"^timeout: .* is no duration \(allowed: "):
        units.seconds(given)


@pytest.mark.parametrize(
    ("given", "gib"),
    [(4, (4, False)), ("4", (4, False)), ("4+", (4, True)), ("0.5", (0.5, False)),
     ("512MiB", (0.5, False)), ("8 GiB+", (8, True)), ("1TiB", (1024, False)),
     (2048, (2048, False)), ("2048", (2048, False)), ("4096GiB", (4096, False)),
     ("512mib", (0.5, False))],
)  # fmt: skip
def test_memory(given: float | str, gib: tuple[float, bool]) -> None:
    assert units.gib(given) == gib


def test_bytes_in_tens() -> None:
    assert units.gib("1GB")[0] == pytest.approx(0.9313, abs=1e-4)


@pytest.mark.parametrize("given", ["4096", 4096, "2049+"])
def test_memory_that_was_meant_in_mib(given: float | str) -> None:
    with pytest.raises(UsageError, match=r"units are GiB .*Try: memory='\d+MiB'"):
        units.gib(given)


@pytest.mark.parametrize("given", ["", "four", "4G", "4 parsecs", "-1", -1, True, "4++", "1e3"])
def test_no_memory(given: float | str) -> None:
    with pytest.raises(UsageError, match=r"^memory: "):
        units.gib(given)


def test_counts() -> None:
    assert units.count("4+") == (4, True)
    assert units.count(0.5) == (0.5, False)
    assert units.whole("2") == (2, False)
    with pytest.raises(UsageError, match="no whole number"):
        units.whole(1.5)
    with pytest.raises(UsageError, match=r"^cpus: '4GiB' is no number"):
        units.count("4GiB")


def test_as_people_read_them() -> None:
    shown = [units.seconds_text(each) for each in (0.123, 9.96, 42.2, 200, 7500, 90000, 864000)]
    assert shown == ["0.12 s", "10 s", "42 s", "3 m 20 s", "2 h 5 m", "1 d 1 h", "10 d 0 h"]
    assert [units.gib_text(each) for each in (0.5, 4, 1536, 1 / 1024 / 1024)] == [
        "512 MiB",
        "4 GiB",
        "1.5 TiB",
        "1 KiB",
    ]


def test_resources_as_people_write_them() -> None:
    assert Resources.of(cpus="4+", memory="512MiB", gpus=1, gpu_kind="H100", disk="10+") == (
        Resources(4.0, 0.5, 1, "H100", 10.0, frozenset({"cpus", "disk"}))
    )
    assert Resources.of() == Resources()


def test_handles_travel_as_json() -> None:
    handle = Handle("local", "1-2", "", 3.5)
    assert Handle.from_json(handle.to_json()) == handle


def test_states_and_reasons_are_pinned() -> None:
    assert [state.name for state in JobState if state.ended] == ["SUCCEEDED", "FAILED", "CANCELED"]
    assert Reason("timed_out") is Reason.TIMED_OUT
