"""What `emsctl check` says of the sky: readable or not, as described or not, quotas.

Knows which questions belong together. Does not know how outputs are read (`ems.stack.sources`),
how AWS is asked (`ems.stack.looking`), nor what stands before a first `up` (`preflight.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ems.errors import EmsError

if TYPE_CHECKING:
    from ems.stack.aws import Clients
    from ems.stack.outputs import StackOutputs
    from ems.stack.sources import Read, Reference

Problem = tuple[str, str, str]
"""Where, what, next step."""


@dataclass
class Findings:
    """What was found of one stack; what is broken goes to `problems`, the rest to `notes`."""

    reference: str
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    problems: list[Problem] = field(default_factory=list[Problem])
    notes: list[str] = field(default_factory=list[str])

    def went_wrong(self, error: EmsError) -> None:
        """Keep an error as a problem."""
        step = error.next_step or f"emsctl stack show {self.reference}"
        self.problems.append((error.subject, error.problem, step))

    def document(self) -> dict[str, Any]:
        """Return the facts and notes as JSON has them."""
        return {"reference": self.reference, **self.facts, "notes": self.notes}


def look_over(reference: str, folder: Path, clients: Clients | None = None) -> Findings:
    """Return what there is to say of a stack; UsageError for a reference of no known form."""
    from ems.stack import aws, sources
    from ems.stack.pulumi_cli import NotYet

    found = Findings(reference, {"readable": False})
    named = sources.reference(reference)
    asked = clients or aws.client
    try:
        read = sources.read(named, folder, asked)
    except NotYet as error:
        if not _before_first_up(found, named, folder, error):
            found.went_wrong(error)
        return found
    except EmsError as error:
        found.went_wrong(error)
        return found
    found.facts = _facts(read)
    found.notes += read.notes
    try:
        _drift(found, read.outputs, asked)
        if program := _program(named, folder):  # it looks at the quotas as well
            _preflight(found, *program)
        else:
            _quotas(found, read.outputs, asked)
    except EmsError as error:
        found.went_wrong(error)  # what comes next asks AWS as well
    return found


def _facts(read: Read) -> dict[str, Any]:
    outputs = read.outputs
    return {
        "readable": True,
        "where": read.where,
        "environment": outputs.environment,
        "account": outputs.account,
        "sites": {name: site.region for name, site in outputs.sites.items()},
    }


def _drift(found: Findings, outputs: StackOutputs, clients: Clients) -> None:
    """Compare with what AWS has."""
    from ems.stack import looking

    name = outputs.environment
    step = f"pulumi refresh --stack {name}, then make up ENV={name}"
    seen = looking.look(outputs, clients)
    found.problems += [(each.where, str(each), step) for each in seen.differences]
    found.notes += seen.unseen
    found.facts["as_described"] = None if seen.unseen else not seen.differences


def _quotas(found: Findings, outputs: StackOutputs, clients: Clients) -> None:
    """Compare what queues may start with what AWS lets the account start."""
    from ems.stack import looking, quotas

    demands = quotas.demands_of(outputs)
    values = looking.quota_values(quotas.wanted(demands), clients)
    for each in quotas.shortages(demands, values):
        if each.level == "error":
            found.problems.append((each.where, each.what, each.next_step))
        else:
            found.notes.append(f"{each.where}: {each.what}. Try: {each.next_step}")
    unknown = [
        f"{quotas.named(code)} in {region}"
        for (region, code), value in values.items()
        if value is None
    ]
    if unknown:
        found.notes.append(f"quotas that AWS does not tell: {', '.join(unknown)}")


def _before_first_up(found: Findings, named: Reference, folder: Path, reason: EmsError) -> bool:
    """Ask the program what stands in the way of its first `up`; False where there is no program."""
    program = _program(named, folder)
    if program is None:
        return False
    project, stack = program
    found.notes.append(f"{reason.subject}: {reason.problem}; settings and account were looked at")
    found.facts |= {"where": f"settings of {stack} in {project}", "preflight": True}
    try:
        _preflight(found, project, stack)
    except EmsError as error:
        found.went_wrong(error)
    return True


def _program(named: Reference, folder: Path) -> tuple[Path, str] | None:
    """Return the checkout and the environment that a stack's program looks at, None without one."""
    from ems.cli import preflight
    from ems.stack.pulumi_cli import environment_of, project_of
    from ems.stack.sources import PulumiStack

    if not isinstance(named, PulumiStack):
        return None
    project, stack = project_of(folder, named.name), environment_of(named.name)
    return (project, stack) if preflight.there(project, stack) else None


def _preflight(found: Findings, project: Path, stack: str) -> None:
    """Ask the program what stands in the way of its next `up`: settings, quotas, this machine."""
    from ems.cli import preflight

    for each in preflight.run(project, stack):
        if each.level == "error":
            found.problems.append((each.where, each.what, each.next))
        else:
            text = f"{each.where}: {each.what}"
            found.notes.append(f"{text}. Try: {each.next}" if each.next else text)
