"""Measures EMS beside its peers and writes what came out: `make bench`.

The whole of it takes about 25 minutes; `--quick` a minute or two, `--only NAME` one
group. A quick or partial run writes to `.bench/out`, so that the page in this folder always
shows a whole one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

if __package__ in (None, ""):  # run as a file: what is beside it is the package `bench`
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench import environments, machine, report
from bench.contenders import NAMES, Contender, ems_contender, peer_contenders
from bench.groups import GROUPS
from bench.groups.tasks import tasks_case
from bench.lineup import Lineup
from bench.measure import Results, run_case, run_rounds

USUAL = ("redun", "prefect", "dvc")
REPEAT = 5
_PLOTS = (
    ("Growth", "tasks.", "plot.py", "growth.png"),
    ("Places", "places.", "plot_places.py", "places.png"),
)
"""Title, the rows that it shows, what draws it, where."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for; 0 whatever the figures are."""
    options = _parser().parse_args(arguments)
    out = options.out or (environments.BUILT / "out" if _partial(options) else environments.BENCH)
    missing: dict[str, str] = {}
    contenders = _contenders(options, missing)
    work = environments.BUILT / "work" / time.strftime("%Y%m%d-%H%M%S")
    work.mkdir(parents=True)
    described = machine.describe()
    with ExitStack() as cleanup:
        if not options.keep:
            cleanup.callback(shutil.rmtree, work, ignore_errors=True)
        present = _warm_up(contenders, work / "warm-up", missing)
        lineup = Lineup(
            ems=next((c for c in present if c.name == "ems"), None),
            peers=[c for c in present if c.name != "ems"],
            quick=options.quick,
            work=work,
            cleanup=cleanup,
        )
        results = _measure(lineup, options)
        described["load_after"] = round(os.getloadavg()[0], 2)
        _write(results, described, present, missing, options, out)
    return 0


def _measure(lineup: Lineup, options: argparse.Namespace) -> Results:
    results = Results()
    taken: set[tuple[str, str]] = set()
    for group in GROUPS:
        if options.only and group.name not in options.only:
            continue
        _say(f"{group.name}:")
        cases = [c for c in group.cases(lineup) if (c.who, c.name) not in taken]
        cases = list({(c.who, c.name): c for c in cases}.values())
        taken |= {(c.who, c.name) for c in cases}
        run_rounds(cases, options.repeat, lineup.work / group.name, results, _say)
        group.derive(lineup, results)
    return results


def _write(
    results: Results,
    described: dict[str, object],
    present: Sequence[Contender],
    missing: dict[str, str],
    options: argparse.Namespace,
    out: Path,
) -> None:
    asked = {"quick": options.quick, "repeat": options.repeat, "only": options.only}
    data = report.as_json(results, described, present, missing, asked)
    report.write(out, data, "")
    plots = {
        title: picture
        for title, start, program, picture in _PLOTS
        if any(name.startswith(start) for name in results.samples) and _plot(out, program, picture)
    }
    report.write(out, data, report.as_markdown(results, described, present, missing, plots))
    _say((out / "RESULTS.md").read_text())
    _say(f"written: {_short(out / 'RESULTS.md')}, {_short(out / 'results.json')}")


def _plot(out: Path, program: str, picture: str) -> bool:
    """Draw; False (said aloud) where matplotlib is not there."""
    command = [sys.executable, str(environments.BENCH / program)]
    command += [str(out / "results.json"), str(out / picture)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        _say(f"no plot: {(done.stderr.strip().splitlines() or [f'{program} failed'])[-1]}")
    return done.returncode == 0


def _contenders(options: argparse.Namespace, missing: dict[str, str]) -> list[Contender]:
    """EMS and the peers that were asked for, as far as they can be installed."""
    found: list[Contender] = []
    ems = environments.ems()
    if ems.missing:
        missing["ems"] = _plain(ems.missing)
    else:
        found.append(ems_contender(ems))
    for name in NAMES if options.all else options.peers:
        _say(f"{name}: environment")
        environment = environments.peer(name, install=not options.no_install)
        if environment.missing:
            missing[name] = _plain(environment.missing)
        else:
            found += peer_contenders(name, environment)
    return found


def _warm_up(
    contenders: Sequence[Contender], work: Path, missing: dict[str, str]
) -> list[Contender]:
    """Two tasks by each, not measured; one that can't run them is missing."""
    found: list[Contender] = []
    for contender in contenders:
        _say(f"{contender.name}: warm-up")
        unmeasured = Results()
        if contender.tasks:
            case = tasks_case(contender, 2)
            run_case(case, work / contender.name, unmeasured, _quiet)
        why = [why for each in unmeasured.failures.values() for why in each.values()]
        if why:
            missing[contender.name] = _plain(f"could not run two tasks: {why[0]}")
            _say(f"  {missing[contender.name]}")
        else:
            found.append(contender)
    return found


def _partial(options: argparse.Namespace) -> bool:
    return bool(options.quick or options.only or options.peers != list(USUAL))


def _plain(text: str) -> str:
    """Without the place where this lies."""
    return text.replace(str(machine.ROOT), ".")


def _short(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(machine.ROOT))
    except ValueError:
        return str(path)


def _say(text: str) -> None:
    print(text, flush=True)


def _quiet(text: str) -> None:
    """For what is not measured."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench/run.py", description=(__doc__ or "").partition("\n")[0]
    )
    names = [group.name for group in GROUPS]
    parser.add_argument("--only", action="append", choices=names, help="one group; may be repeated")
    parser.add_argument("--quick", action="store_true", help="small sizes, for trying")
    parser.add_argument("--repeat", type=int, default=REPEAT, help=f"rounds (default {REPEAT})")
    parser.add_argument("--all", action="store_true", help="the slow peers too")
    parser.add_argument(
        "--peers",
        type=lambda text: [name for name in text.split(",") if name],
        default=list(USUAL),
        help=f"those of {', '.join(NAMES)} that take part (default {','.join(USUAL)})",
    )
    parser.add_argument("--no-install", action="store_true", help="use only peers installed before")
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument("--keep", action="store_true", help="keep the folders that were worked in")
    return parser


if __name__ == "__main__":
    sys.exit(main())
