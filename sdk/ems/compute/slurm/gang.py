"""A gang as one Slurm job: which options it has, and the script that its nodes run.

    <root>/jobs/<id of the first>/ems-gang    the script, for all nodes; who made it, leads

Members that need the same are the tasks of one job; where roles differ, each part is a component
of a heterogeneous job. Slurm starts all or none. On the first node the script leads: one srun
starts it again as each task, and the number of the task says which member that is. From there on a
member is what another job is: it says itself how it ended, and gets its SIGTERM by its step. The
end of one member ends no other; who follows the gang decides that.

Sources: https://slurm.schedmd.com/heterogeneous_jobs.html and srun(1) of Slurm 22.05.8, read
2026-11-22. Pure text. Does not know how it is sent.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from ems.compute.remote.order import Order
from ems.compute.slurm import options
from ems.compute.slurm.script import FUNCTIONS, RUN, setup


class Gang(NamedTuple):
    """The members at one place, in parts that need the same; within a part by rank."""

    parts: tuple[tuple[Order, ...], ...]

    @property
    def orders(self) -> tuple[Order, ...]:
        """Return the members in the order of Slurm's tasks."""
        return tuple(order for part in self.parts for order in part)


def gang(orders: Sequence[Order]) -> Gang:
    """Return the orders of one gang in parts; the part of the lowest rank leads."""
    parts: dict[object, list[Order]] = {}
    for order in sorted(orders, key=lambda each: each.member.rank if each.member else 0):
        parts.setdefault((order.resources, order.spot), []).append(order)
    return Gang(tuple(map(tuple, parts.values())))


_LEAD = r"""
native=$SLURM_JOB_ID first=$jobs/${ids[0]}
if [ "$1" != member ]; then
  # created by one job alone, whatever was submitted twice
  (set -C; cat "$0" >"$first/ems-gang") 2>/dev/null || exit 0
  at=0
  for id in "${ids[@]}"; do
    printf '%s %s gang\n%s\n' "$SLURM_JOB_NAME" "$at" "$native" >"$jobs/$id/ems-native"
    at=$((at + 1))
  done
  exec >>"$first/ems-prelude" 2>&1
  trap : TERM
  # those of this task; each gets its own, and one that asked for none shall not see them
  unset CUDA_VISIBLE_DEVICES GPU_DEVICE_ORDINAL ROCR_VISIBLE_DEVICES ZE_AFFINITY_MASK
  # where a job submits this, some of these are that job's, and srun refuses what contradicts
  unset SLURM_MEM_PER_NODE SLURM_MEM_PER_CPU SLURM_MEM_PER_GPU SLURM_CPUS_PER_TASK
  unset SLURM_TRES_PER_TASK SLURM_GPUS SLURM_GPUS_PER_TASK SLURM_GPUS_PER_NODE
  begin &
  step=$!
  while :; do
    wait "$step"
    code=$?
    [ "$code" -gt 128 ] && kill -0 "$step" 2>/dev/null || break
  done
  for id in "${ids[@]}"; do
    # only where there is none: a member's own word is the better one
    (set -C; echo "1 lost its task ended without a word" >"$jobs/$id/ems-exit") 2>/dev/null
  done
  exit "$code"
fi
"""

_BEGIN = r"""
at=$SLURM_PROCID word=$native
id=${ids[$at]}
cd "$jobs/$id" || exit 74
(set -C; echo "$native" >ems-started) 2>/dev/null || exit 0
exec >>ems-prelude 2>&1
# the signal goes to all of a step's tasks; a listing is fresh where one file's absence is not
left_alone() { ! ls "$jobs/$1" | grep -qx ems-grace; }
meant() {
  left_alone "$id" || return 0
  for other in "${ids[@]}"; do left_alone "$other" || return 1; done
}
"""

_ASKED = r"""
worker=
not_to_begin() {
  over 1 canceled was canceled before it started
  exit 1
}
trap 'meant && not_to_begin' TERM
left_alone "$id" || not_to_begin
"""


def batch(whole: Gang, modules: Sequence[str]) -> str:
    """Return the script of a gang."""
    orders = whole.orders
    jobs = orders[0].folder.rpartition("/")[0]
    lines = [
        "#!/bin/bash",
        "# A gang of EMS: its leader starts this again as each member, which begins its worker.",
        f"jobs={shlex.quote(jobs)}",
        f"ids=({' '.join(order.id for order in orders)})",
        f"begin() {{ {_srun(whole)}; }}",
        _LEAD,
        f"grace={orders[0].grace_s:g}",
        "asked=",
        _BEGIN,
        FUNCTIONS,
        _ASKED,
        "case $at in",
        *_cases(orders, modules),
        "esac",
        RUN,
    ]
    return "\n".join(lines)


def _srun(whole: Gang) -> str:
    """Return the command that starts all members as one step."""
    words = ["srun", "--kill-on-bad-exit=0", "--wait=0", "--input=none"]
    line = " ".join(words)
    for number, part in enumerate(whole.parts):
        gpus = part[0].resources.gpus
        group = [f"--het-group={number}"] if len(whole.parts) > 1 else []
        # by number alone: with the kind as well, Slurm 22.05 gives tasks no GPU
        bound = [f"--gpus-per-task={gpus}"] if gpus else []
        line += " : " if number else " "
        line += " ".join([*group, *options.shape(part), *bound])
        line += ' bash "$first/ems-gang" member'
    return line


def _cases(orders: Sequence[Order], modules: Sequence[str]) -> list[str]:
    """Return what each member finds around it, once for those where it is the same."""
    same: dict[tuple[str, ...], list[str]] = {}
    for at, order in enumerate(orders):
        same.setdefault(tuple(setup(order, modules)), []).append(str(at))
    return [line for lines, at in same.items() for line in (f"{'|'.join(at)})", *lines, ";;")]
