"""A robot behind a bad link and its learner elsewhere, as one gang: the page's own job."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import File, steps
from tests.e2e.lab import EMSCTL, Lab
from tests.rigs import rig
from tests.rigs.sshd import Host

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/gangs.md"
CUT_S = 20.0


class Watch:
    """`emsctl job submit` on the learner's side of the cable; its events as they come."""

    def __init__(self, host: Host, home: Path, *words: str) -> None:
        self.events: list[dict[str, Any]] = []
        self._new = threading.Condition()
        variables = {**os.environ, "EMS_CACHE": str(home / "cache")}
        variables.pop("EMS_STORE", None)
        inside = ["nsenter", "-t", str(host.near.first), "-n", "--"]
        self.process = subprocess.Popen(
            [*inside, *EMSCTL, "job", "submit", *words, "-o", "json"],
            cwd=home, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=(home / "errors").open("wb"),
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._new:
                self.events.append(json.loads(line))
                self._new.notify_all()

    def lines(self, member: str) -> list[str]:
        return [e["text"] for e in list(self.events) if e.get("member") == member]

    def until_lines(self, member: str, count: int) -> None:
        with self._new:
            there = self._new.wait_for(lambda: len(self.lines(member)) >= count, 60)
        assert there, self.events[-3:]

    def end(self) -> dict[str, Any]:
        """Wait for the end; return the last state."""
        code = self.process.wait(150)
        self._reader.join()
        last = [event for event in self.events if event["event"] == "state"][-1]
        assert code == 0, last
        return last


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path / "host") as made:
        yield made


def write_page(folder: Path, host: Host) -> None:
    """Write the page's files, with the robot at the other end of the cable."""
    folder.mkdir()
    for step in steps(PAGE.read_text(encoding="utf-8")):
        if isinstance(step, File):
            (folder / step.path).write_text(step.text)
    targets = {
        "arm": {"ssh": host.name, "options": host.options, "folder": str(host.home / "place")},
        "desk": {"ssh": "here", "folder": "desk"},
    }
    (folder / ".ems.yaml").write_text(json.dumps({"targets": targets}))


@rig("sshd")
@pytest.mark.timeout(240)
def test_a_robot_behind_a_bad_link_and_its_learner(host: Host, tmp_path: Path) -> None:
    home = tmp_path / "home"
    write_page(home, host)
    host.lose(0.05)
    watch = Watch(host, home, "gang.yaml", "--set", "variables.STEPS=450", "--get", "got")
    watch.until_lines("robot-0", 20)
    host.cut()
    cut = time.time()
    time.sleep(CUT_S)
    mended = time.time()
    host.mend()
    last = watch.end()
    assert last["state"] == "succeeded", last

    members = {each["name"]: each for each in last["members"]}
    assert (members["robot-0"]["place"], members["learner-0"]["place"]) == ("arm", "desk")
    assert members["robot-0"]["address"] != members["learner-0"]["address"]

    rows = (home / "got/learner-0/transitions.jsonl").read_text().splitlines()
    ids = [json.loads(row)["id"] for row in rows]
    assert ids == list(range(len(ids))) and len(ids) >= 450  # each once, and none is missing

    said = [line.split() for line in watch.lines("robot-0")]
    numbers = [int(words[1]) for words in said if words[0] == "step"]
    assert numbers == list(range(len(numbers))) and len(numbers) >= len(ids)
    during = [words for words in said if cut < float(words[3]) < mended]
    assert len(during) > CUT_S / 0.05 / 4  # the rollout went on while nobody could see it


HALF_HERE = """
    name: half
    meet: 1m
    retries: {count: 1, reasons: [lost]}
    roles:
    - name: learner
      on: local
      ends: true
      command: 'test -e %s && exit; touch %s; echo begins; exec sleep 60'
    - name: robot
      on: desk
      command: sleep 60
    """


def test_whose_process_is_gone_is_tried_again_by_who_comes_next(lab: Lab) -> None:
    """A part of the gang ran on the laptop that died: the rest is ended, and all begins again."""
    lab.write(".ems.yaml", "targets: {desk: {ssh: here, folder: place, slots: 2}}")
    lab.write("gang.yaml", HALF_HERE % (lab.marks_file, lab.marks_file))
    refused = lab.emsctl("job", "submit", "-d", "gang.yaml", code=None)
    assert refused.code != 0 and "can't be left alone" in refused.err
    laptop = lab.start("job", "submit", "gang.yaml")
    assert laptop.stdout and laptop.stdout.readline() == "learner-0 | begins\n"
    seen = lab.emsctl("job", "status", "half", "-o", "json").json[0]
    assert seen["state"] == "running" and f"in process {laptop.pid}" in seen["detail"]
    other = lab.start("job", "watch", "half")
    laptop.kill()
    laptop.communicate()
    _, said = other.communicate(timeout=60)
    assert "learner-0: " in said and "is tried again" in said
    last = lab.emsctl("job", "status", "half", "-o", "json").json[0]
    assert (last["state"], last["attempt"]) == ("succeeded", 2)
    assert [m["state"] for m in last["members"]] == ["succeeded"] * 2
