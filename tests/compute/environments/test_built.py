"""Environments at a place on this machine: made once, by whatever is there, and verified."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ems.compute.job import Job, Reason, Recipe
from ems.compute.remote.order import Refused
from ems.hashing import digest_bytes
from tests.compute.environments.conftest import PYTHON, There
from tests.compute.environments.wheels import recipe, requirements, wheel
from tests.rigs import NEWEST, OLDEST, interpreter, rig

pytestmark = pytest.mark.timeout(240)  # a busy machine makes environments slowly
GHOST = {"ghost": "1.0", "sheet": "2.1"}


NONE: dict[str, str] = {}


def job(there: There, **pins: str) -> Job:
    """Return a job that declares pins by a requirements file."""
    lines = [f"{name}=={version}" for name, version in pins.items()]
    made = recipe(requirements(there.wheels, *lines), pins, PYTHON)
    return Job("plain", declared={"python": PYTHON, **pins}, recipe=made)


def versions(python: str | Refused) -> str:
    """Return what the packages of an environment say of themselves."""
    assert isinstance(python, str), python
    code = "import ghost, sheet; print(ghost.version, sheet.version)"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout


def test_the_places_own_python_is_used_where_it_has_all(there: There) -> None:
    own = job(there)
    plain = Job("no-recipe", declared={"ghost": "1.0"})
    assert there.built().pythons([own, plain, Job("nothing")]) == ["python3"] * 3
    assert there.keys == []


def test_by_venv_and_pip_where_there_is_no_uv(there: There) -> None:
    (python,) = there.ask(there.built(), job(there, **GHOST))
    assert versions(python) == "1.0 2.1\n"
    (key,) = there.keys
    assert python.startswith(f"{there.root}/environments/{key}/e-")  # type: ignore[union-attr]
    assert [path.name for path in there.home.iterdir()] == []


@rig("uv")
def test_made_once_by_whoever_asks_first(with_uv: There) -> None:
    (with_uv.bin / "block").touch()
    first, second = with_uv.built(), with_uv.built()
    wanted = job(with_uv, **GHOST)
    assert first.pythons([wanted, wanted, Job("other")]) == [None, None, "python3"]
    assert second.pythons([wanted]) == [None]
    (with_uv.bin / "block").unlink()
    pythons = with_uv.ask(first, wanted) + with_uv.ask(second, wanted)
    assert with_uv.built().pythons([wanted]) == pythons[:1] == pythons[1:]
    assert versions(pythons[0]) == "1.0 2.1\n"
    calls = (with_uv.bin / "calls").read_text().splitlines()
    assert [" ".join(each.split()[:2]) for each in calls] == ["venv --quiet", "pip install"]


@rig("python-oldest")
@rig("python-newest")
@rig("uv")
def test_by_the_oldest_python_for_a_newer_one(with_uv: There) -> None:
    oldest, newest = interpreter(OLDEST), interpreter(NEWEST)
    assert oldest is not None
    assert newest is not None
    (with_uv.bin / f"python{NEWEST}").symlink_to(newest)
    text = requirements(with_uv.wheels, "ghost==1.0")
    wanted = [
        Job(minor, declared={"python": minor, **pins}, recipe=recipe(text, pins, minor))
        for minor, pins in ((OLDEST, NONE), (OLDEST, GHOST), (NEWEST, GHOST))
    ]
    own, *made = with_uv.ask(with_uv.built(str(oldest)), *wanted)
    assert own == str(oldest)
    assert [versions(each) for each in made] == ["1.0 2.1\n"] * 2
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    said = [subprocess.check_output([str(each), "-c", code], text=True).strip() for each in made]
    assert said == [OLDEST, NEWEST]


@rig("uv")
def test_a_failure_says_why_and_the_next_submission_tries_again(with_uv: There) -> None:
    wanted, built = job(with_uv, ghost="3.0"), with_uv.built()
    refused = with_uv.ask(built, wanted, wanted)
    assert refused[0] == refused[1]
    assert isinstance(refused[0], Refused)
    assert refused[0].reason is Reason.ENVIRONMENT
    said = refused[0].detail
    assert said.startswith("its environment can't be made on this machine: uv pip install failed")
    assert "ghost==3.0" in said
    log = Path(said.rpartition("(log: ")[2].rstrip(")"))
    assert "ghost==3.0" in log.read_text()
    wheel(with_uv.wheels, "ghost", "3.0")
    (python,) = with_uv.ask(built, wanted)
    assert isinstance(python, str)


@rig("uv")
def test_what_was_made_is_compared_with_what_is_declared(with_uv: There) -> None:
    text = requirements(with_uv.wheels, "ghost")
    made = recipe(text, {"ghost": "1.1"}, PYTHON)
    (refused,) = with_uv.ask(with_uv.built(), Job("x", declared={"ghost": "1.1"}, recipe=made))
    assert isinstance(refused, Refused)
    assert "not what is declared: ghost 1.0 (declared 1.1)" in refused.detail
    (key,) = with_uv.keys
    assert not list((with_uv.root / "environments" / key).glob("e-*"))


@rig("uv")
def test_beyond_its_pins_it_has_what_its_job_declares(with_uv: There) -> None:
    wheel(with_uv.wheels, "sheet", "2.2")
    text = requirements(with_uv.wheels, "ghost==1.0")
    files = {"requirements.txt": text, "parts.txt": "sheet==2.1\n"}
    made = recipe("", {"ghost": "1.0"}, PYTHON, files=files)
    wanted = Job("x", declared={"python": PYTHON, **GHOST}, recipe=made)
    (python,) = with_uv.ask(with_uv.built(), wanted)
    assert versions(python) == "1.0 2.1\n"


@rig("uv")
def test_other_content_under_the_same_version_is_not_taken(with_uv: There) -> None:
    text = requirements(with_uv.wheels, f"sheet==2.1 --hash=sha256:{'0' * 64}")
    made = recipe(text, {"sheet": "2.1"}, PYTHON, kind="packages")
    wanted = Job("x", declared={"python": PYTHON, "sheet": "2.1"}, recipe=made)
    (refused,) = with_uv.ask(with_uv.built(), wanted)
    assert isinstance(refused, Refused)
    assert "Hash mismatch for `sheet==2.1`" in refused.detail


def test_what_is_somebody_elses_stops_no_others(there: There) -> None:
    """With a file where a folder should be: who runs tests may be allowed everything."""
    broken, other = (
        Job("x", declared={name: "9"}, recipe=recipe("", {name: "9"}, PYTHON, format=99))
        for name in GHOST
    )
    assert isinstance(there.ask(there.built(), broken)[0], Refused)
    (key,) = there.keys
    folder = there.root / "environments" / key
    folder.rename(there.root / "away")
    folder.write_text("")
    refused, none = there.built().pythons([broken, other])
    assert isinstance(refused, Refused)
    assert f"{folder}/" in refused.detail
    assert "Not a directory" in refused.detail
    assert none is None


def test_the_umask_says_who_may_make_what_others_began(tmp_path: Path) -> None:
    code = "import os, sys; os.umask(2); from ems.worker.made import lock; lock(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], check=True)
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o664


@rig("uv")
def test_a_maker_that_is_killed_blocks_nobody(with_uv: There) -> None:
    (with_uv.bin / "block").touch()
    wanted, built, killed = job(with_uv, **GHOST), with_uv.built(), 0
    while (said := built.pythons([wanted])[0]) is None:
        killed += with_uv.kill_maker()
    assert killed == 3
    assert isinstance(said, Refused)
    assert "what made it was killed, 3 times" in said.detail
    (with_uv.bin / "block").unlink()
    (python,) = with_uv.ask(built, wanted)
    assert versions(python) == "1.0 2.1\n"
    (key,) = with_uv.keys
    left = {path.name for path in (with_uv.root / "environments" / key).iterdir()}
    assert len([name for name in left if name.startswith("e-")]) == 1


def test_a_python_that_is_not_there(there: There) -> None:
    made = recipe("", {}, "3.99")
    (refused,) = there.ask(there.built(), Job("x", declared={"python": "3.99"}, recipe=made))
    assert isinstance(refused, Refused)
    assert f"there is no Python 3.99 (there are {PYTHON} (" in refused.detail or PYTHON in (
        refused.detail
    )
    assert "install uv, or Python 3.99" in refused.detail


def test_a_recipe_that_can_not_travel(there: There) -> None:
    made = recipe("", {}, PYTHON, problem="'-e .' names a folder of this machine")
    (refused,) = there.ask(there.built(), Job("x", declared={"ghost": "1"}, recipe=made))
    assert isinstance(refused, Refused)
    assert refused.detail.endswith(": '-e .' names a folder of this machine")
    assert there.keys == []


def test_a_recipe_may_lie_in_the_store(there: There) -> None:
    text = json.dumps({"format": 99, "kind": "conda", "files": {}, "problem": ""})
    digest = digest_bytes(text.encode())
    path = there.objects.local_path
    wanted = Job("x", declared={"ghost": "1"}, recipe=Recipe(digest))
    (missing,) = there.built().pythons([wanted])
    assert isinstance(missing, Refused)
    assert "its recipe can't be read" in missing.detail
    kept = Path(there.objects.outbox) / digest[:2] / digest
    kept.parent.mkdir(parents=True)
    kept.write_text(text)
    assert path(digest) == kept
    (refused,) = there.ask(there.built(), wanted)
    assert isinstance(refused, Refused)
    assert "the recipe has format 99" in refused.detail


@rig("modules")
@rig("uv")
def test_modules_are_loaded_before_it_is_made(with_uv: There) -> None:
    (with_uv.home / "modules" / "links").mkdir(parents=True)
    module = with_uv.home / "modules/links/1.0"
    module.write_text(f"#%Module\nsetenv GHOST_LINKS {with_uv.wheels}\n")
    profile = '. /usr/share/modules/init/sh\nmodule use "$HOME/modules"\n'
    for name in (".profile", ".bash_profile", ".zprofile"):
        (with_uv.home / name).write_text(profile)
    text = "--no-index\n--find-links ${GHOST_LINKS}\nghost==1.0\n"
    made = recipe(text, {"ghost": "1.0"}, PYTHON)
    declared = {"python": PYTHON, "ghost": "1.0"}
    loaded = Job("x", declared={**declared, "module:links": "1.0"}, recipe=made)
    python, refused = with_uv.ask(with_uv.built(), loaded, Job("y", declared=declared, recipe=made))
    assert versions(python) == "1.0 2.1\n"
    assert isinstance(refused, Refused)


CONDA = """#!/bin/sh
# stands for micromamba: writes down what it is told, and makes a prefix as conda does
echo "$@" >{folder}/told
[ "$1 $2 $3 $4 $6" = "create --yes --quiet --prefix --file" ] || exit 3
{python} -m venv --without-pip "$5" && mkdir "$5/conda-meta" || exit 4
sed -n 's/^- \\([a-z.]*\\)=\\([0-9.]*\\)$/\\1-\\2-h0_0/p' "$7" | while read -r each; do
  echo '{{}}' >"$5/conda-meta/$each.json"
done
"""


def test_a_conda_file_by_micromamba(there: There) -> None:
    """With a program that stands for micromamba: the real one can't be had from where tests run."""
    pins = {"ruamel-yaml": "0.18.6"}
    text = f"dependencies:\n- python={PYTHON}\n- ruamel.yaml=0.18.6\n"
    made = recipe("", pins, PYTHON, kind="conda", files={"environment.yml": text})
    wanted = Job("x", declared={"python": PYTHON, **pins}, recipe=made)
    (refused,) = there.ask(there.built(), wanted)
    assert isinstance(refused, Refused)
    assert "needs micromamba, mamba or conda, and none is there" in refused.detail
    tool = there.bin / "micromamba"
    tool.write_text(CONDA.format(folder=there.bin, python=there.bin / "python3"))
    tool.chmod(0o755)
    (python,) = there.ask(there.built(), wanted)
    assert isinstance(python, str), python
    told = (there.bin / "told").read_text().split()
    assert told[4] == str(Path(python).parents[1])
    assert [path.name for path in there.home.iterdir()] == []


@rig("uv")
def test_what_nobody_uses_is_removed(with_uv: There) -> None:
    front = with_uv.front()

    def tidy(older_s: float, remove: bool = True) -> tuple[int, int]:
        said = front.ask({"do": "tidy", "older_s": older_s, "remove": remove})
        assert all(each["bytes"] > 0 for each in said["going"])
        return said["kept"], len([e for e in said["going"] if not e["key"].startswith(".")])

    assert tidy(0) == (0, 0)
    built = with_uv.built()
    wanted = [job(with_uv, **GHOST), job(with_uv, sheet="2.1")]
    used, unused = with_uv.ask(built, *wanted)
    assert isinstance(used, str)
    assert isinstance(unused, str)
    assert tidy(60) == (2, 0)
    named = with_uv.root / "jobs" / "ems-a"
    named.mkdir(parents=True)
    (named / "parcel.json").write_text(json.dumps({"python": used}))
    time.sleep(0.05)
    assert tidy(0.01, remove=False) == (1, 1)
    assert with_uv.keys == sorted({Path(each).parts[-4] for each in (used, unused)})
    assert tidy(0.01) == (1, 1)
    assert (Path(used).exists(), Path(unused).exists()) == (True, False)
    assert len(with_uv.keys) == 1
    (named / "exit").touch()
    assert tidy(0.01) == (0, 1)
    assert with_uv.keys == []
    assert not (with_uv.root / "environments" / ".cache").exists()
    (again,) = with_uv.ask(with_uv.built(), wanted[0])
    assert isinstance(again, str)
    assert again != used
