"""The two scripts of a Slurm job: the one that hands it over, and the one that it is.

    <root>/jobs/<id>/ems-native     name and array index, then the job id: who it is in Slurm
                     ems-started    the Slurm job that began it: no other one may
                     ems-prelude    what was written before the worker began, for people
                     ems-exit       how the worker ended: exit code, reason, sentence
                     ems-grace      seconds between SIGTERM and SIGKILL, where a cancel says so

Pure text. Does not know how it is sent, nor what the worker does.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from ems.compute.remote.order import Order

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")
_KEPT = "HOME USER LOGNAME SHELL PATH LANG LC_ALL TZ TMPDIR SLURM_CONF"
"""What of the login node's environment goes with a job; the site's SLURM_* and SBATCH_* do too."""

BUSY, TAKEN = 75, 76

# $1 root, $2 name, $3 a word after the index in the record, $4 names of variables to keep, then
# sbatch's options. Standard input: a line `id record` for each order, an empty line, the batch
# script. The record is what was found in ems-native, so that of two that submit the same job one
# sees that the other was faster.
SUBMIT = r"""
cd "$1" || exit 74
name=$2 mark=${3:+ $3} keep=" $4 "
shift 4
exec 9>>ems-submitting
if command -v flock >/dev/null; then
  flock -w 20 -E 75 9
  [ $? = 75 ] && { echo "another process hands jobs over" >&2; exit 75; }
fi
ids= at=0
while IFS= read -r line && [ -n "$line" ]; do
  id=${line%% *} was=${line#* } is=
  [ -e "jobs/$id/ems-native" ] && IFS= read -r is <"jobs/$id/ems-native"
  [ "$is" = "$was" ] || { echo "$id was handed over meanwhile" >&2; exit 76; }
  ids="$ids $id"
done
for id in $ids; do
  echo "$name $at$mark" >"jobs/$id/ems-native" || exit 74
  at=$((at + 1))
done
for each in $(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p'); do
  case $each in SLURM_*|SBATCH_*) continue ;; esac
  case $keep in *" $each "*) ;; *) unset "$each" ;; esac
done
job=$(sbatch "$@") || {
  code=$?
  case $code in 74|75|76) code=1 ;; esac
  exit $code
}
job=${job##*
}
job=${job%%;*}
for id in $ids; do echo "$job" >>"jobs/$id/ems-native"; done
echo "$job"
"""

# $1 root; standard input: ids. Of those that sbatch refused nothing stays behind.
UNDO = r"""
cd "$1/jobs" || exit 74
while IFS= read -r id; do rm -f "$id/ems-native"; done
"""

# $1 root; standard input: relative paths. Prints `path:line` for each line of those there are.
READ = r"""
cd "$1/jobs" 2>/dev/null || exit 0
xargs grep -sH '' /dev/null
exit 0
"""

# $1 root, $2 grace; standard input: `waits|runs|gang id job` for each. What waits ends at once. The
# batch script of what runs reads the grace and does the rest, whether or not anybody watches; in a
# gang each member does, and the signal goes to the steps that are named instead of the job.
# scancel is given no filter by state: with one, a task of an array takes along all that wait of it.
STOP = r"""
cd "$1/jobs" || exit 74
grace=$2 waiting= running= steps=
while IFS=' ' read -r how id job; do
  if [ "$how" = waits ]; then
    echo "1 canceled was canceled before it started" >"$id/ems-exit"
    waiting="$waiting $job"
  else
    echo "$grace" >"$id/ems-grace.new" && mv "$id/ems-grace.new" "$id/ems-grace"
    case $how in gang) steps="$steps $job" ;; *) running="$running $job" ;; esac
  fi
done
[ -z "$waiting" ] || scancel --quiet $waiting
[ -z "$steps" ] || scancel --quiet --signal=TERM $steps
[ -z "$running" ] || scancel --quiet --batch --signal=TERM $running
"""

# $1 root; standard input: `id job sentence` for each that waits for what will never be.
GIVE_UP = r"""
cd "$1/jobs" || exit 74
jobs=
while read -r id job said; do
  echo "1 impossible $said" >"$id/ems-exit"
  jobs="$jobs $job"
done
[ -z "$jobs" ] || scancel --quiet $jobs
"""

_BEGIN = r"""
cd "$jobs/$id" || exit 74
native=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}
word=$native${SLURM_ARRAY_JOB_ID:+_$at}
# created by one job alone, whatever was submitted twice
(set -C; echo "$word" >ems-started) 2>/dev/null || exit 0
printf '%s %s\n%s\n' "$SLURM_JOB_NAME" "$at" "$native" >ems-native
exec >>ems-prelude 2>&1
meant() { :; }
"""

FUNCTIONS = r"""
over() {
  printf '%s\n' "$*" >ems-exit.new && mv ems-exit.new ems-exit
}
fail() {
  over 1 environment "$*"
  exit 1
}
from_login() {
  bash -lc "printf %s \"\${$1}\" >&3" 3>&1 >/dev/null 2>&1 </dev/null
}
loaded() {
  type module >/dev/null 2>&1 || . /etc/profile >/dev/null 2>&1
  module load "$1" >ems-module 2>&1
  case ":$LOADEDMODULES:" in
    *":$1:"* | *":$1/"*) rm -f ems-module ;;
    *) fail "module load $1: $(grep -v '^ *$' ems-module | tail -n 1)" ;;
  esac
}
stop_worker() {
  # its keeper, which is not touched, says a last word about the worker below it
  for child in $(cat "/proc/$worker/task/$worker/children" 2>/dev/null); do
    kill -KILL -- "-$child" "$child" 2>/dev/null
  done
  sleep 2
  kill -KILL "$worker" 2>/dev/null
}
asked_to_end() {
  # a SIGTERM tells not who sent it: Slurm is asked, which has its reason by now
  case "$(timeout 3 scontrol show job -o "$word" 2>/dev/null)" in
    *" Reason=TimeLimit "* | *" Reason=DeadLine "*) : >events.jsonl.timeout ;;
    *" PreemptTime="[0-9]* | *" Reason=NodeDown "*) ;;
    *" JobState=COMPLETING "* | *" JobState=CANCELLED "*) : >events.jsonl.cancel ;;
    *) meant || return ;;
  esac
  asked=1
  kill -TERM "$worker" 2>/dev/null
  seconds=$grace
  [ -e ems-grace ] && read -r seconds <ems-grace
  (trap '' TERM; sleep "$seconds"; stop_worker) &
}
"""

RUN = r"""
(exec >>output 2>&1 </dev/null; exec "${words[@]}") &
worker=$!
trap asked_to_end TERM
while :; do
  wait "$worker"
  code=$?
  [ "$code" -gt 128 ] && kill -0 "$worker" 2>/dev/null || break
done
if [ -n "$asked" ]; then
  wait "$worker" 2>/dev/null
  again=$?
  [ "$again" -ne 127 ] && code=$again
fi
if [ ! -s events.jsonl ] && [ "$code" -gt 0 ] && [ "$code" -le 127 ]; then
  over "$code" worker "the worker did not start: $(tail -n 1 output 2>/dev/null)"
else
  over "$code"
fi
exit "$code"
"""


def kept(orders: Sequence[Order]) -> str:
    """Return the names of the variables that go from the login node's environment with a job."""
    references = (each for order in orders for each in order.secrets.values())
    needed = (where for kind, where in map(_reference, references) if kind == "env")
    return " ".join([*_KEPT.split(), *sorted(set(needed))])


def problem_of(secrets: Mapping[str, str]) -> str:
    """Say which secret is not named by a reference that a job can resolve, or nothing."""
    for name, reference in secrets.items():
        kind, where = _reference(reference)
        good = (kind == "env" and _NAME.match(where)) or (kind == "file" and where)
        if not good or not _NAME.match(name):
            return f"secret {name}: {reference!r} is no reference (allowed: env:NAME, file:PATH)"
    return ""


def _reference(text: str) -> tuple[str, str]:
    kind, _, where = text.partition(":")
    return kind, where


def batch(orders: Sequence[Order], modules: Sequence[str]) -> str:
    """Return the batch script of orders that are alike; they are told apart by the array index."""
    first = orders[0]
    jobs = first.folder.rpartition("/")[0]
    lines = [
        "#!/bin/bash",
        "# A job of EMS: begins the worker, hands SIGTERM on to it, and leaves how it ended.",
        f"jobs={shlex.quote(jobs)}",
        f"ids=({' '.join(order.id for order in orders)})",
        "at=${SLURM_ARRAY_TASK_ID:-0}",
        "id=${ids[$at]}",
        f"grace={first.grace_s:g}",
        "asked=",
        _BEGIN,
        FUNCTIONS,
        *setup(first, modules),
        RUN,
    ]
    return "\n".join(lines)


def setup(order: Order, modules: Sequence[str]) -> list[str]:
    """Return the lines that make what an order's command line finds around it, and name it."""
    return [
        *(f"loaded {shlex.quote(module)}" for module in (*modules, *order.modules)),
        *(f"export {shlex.quote(f'{name}={text}')}" for name, text in order.variables.items()),
        *_secrets(order.secrets, order.variables),
        f"words=({' '.join(map(shlex.quote, order.argv))})",
    ]


_UNRESOLVED = ("is not set at the login node", "can't be read where it runs")


def _secrets(secrets: Mapping[str, str], variables: Mapping[str, str]) -> list[str]:
    """Return the lines that resolve references where the job runs; no value stands in them."""
    lines: list[str] = []
    sources: set[str] = set()
    for name, reference in secrets.items():
        kind, where = _reference(reference)
        told = f"secret {name}: {reference!r}"
        unset, unread = (shlex.quote(f"{told} {what}") for what in _UNRESOLVED)
        if kind == "env":
            sources.add(where)
            lines.append(f'[ -n "${{{where}+x}}" ] || {where}=$(from_login {where})')
            lines.append(f'[ -n "${where}" ] || fail {unset}')
            lines.append(f'secret_{name}="${where}"')
        else:
            path = shlex.quote(where)
            if where.startswith("~/"):
                path = f'"$HOME"/{shlex.quote(where[2:])}'
            lines.append(f"secret_{name}=$(cat {path} 2>/dev/null) || fail {unread}")
    lines.extend(f"unset {each}" for each in sorted(sources - set(variables)))
    lines.extend(f'export {name}="$secret_{name}"; unset secret_{name}' for name in secrets)
    return lines
