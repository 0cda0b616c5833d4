"""`emsctl job`: the commands about plain jobs, each imported when it is called."""

from __future__ import annotations

from ems.cli.lazy import lazy_group

COMMANDS = {
    "submit": ("ems.cli.job_submit", "Submit jobs; -d leaves them alone."),
    "status": ("ems.cli.job_status", "Say what became of jobs."),
    "watch": ("ems.cli.job_watch", "Print what jobs write until they end."),
    "cancel": ("ems.cli.job_cancel", "End jobs."),
}
"""Name → module and short help. The command in it is called as it is typed."""


@lazy_group("job", COMMANDS)
def job() -> None:
    """Submit plain jobs, and look after them.

    A job is a command with what it asks for, as `job.json` or `job.yaml` says. A submitted job is
    named by its id (`train-k3x9`, of many together `train-k3x9.7`), the start of an id, or its
    name, which means the latest of it. Any machine with the same store can ask about it.
    """
