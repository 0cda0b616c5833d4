"""Rules between the keys of one job, and of what a schema can't say of a value.

Knows amounts, templates of commands and environments' keys. Reads no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from ems import units
from ems.compute.jobfile.fault import Fault, Steps
from ems.compute.jobfile.types import Asked, Environment, JobSpec, Role
from ems.errors import UsageError, did_you_mean
from ems.worker.command import Template, TemplateError
from ems.worker.meeting import TOLD

MOST_MEMBERS = 512
"""How many members a gang may have: each hears of every other one."""


def check(spec: JobSpec, steps: Steps) -> Iterator[Fault]:
    """Yield what is wrong with a job whose values have the right forms."""
    if not spec.roles or spec.command is None:  # else each role is looked at with its own outputs
        yield from _command(spec.command, spec, spec.outputs, (*steps, "command"))
    yield from _asked(spec.resources, (*steps, "resources"))
    yield from _environment(spec.environment, (*steps, "environment"))
    if spec.timeout is not None:
        yield from _read(lambda: units.seconds(spec.timeout or 0), (*steps, "timeout"))
    yield from _targets(spec.on, (*steps, "on"))
    yield from _read(lambda: units.seconds(spec.meet), (*steps, "meet"))
    yield from _paths(spec.outputs, steps)
    both = spec.variables.keys() & spec.secrets.keys()
    for name in sorted(both):
        yield Fault((*steps, "secrets", name), "stands under `variables`, too")
    yield from _roles(spec, steps)


def words(command: str | Sequence[str], outputs: dict[str, str]) -> tuple[str, ...]:
    """Return the words to run; TemplateError for text that can't be split or filled in."""
    if not isinstance(command, str):
        return tuple(command)
    template = Template(command)
    unknown = [name for name in template.arguments if not name.startswith("out.")]
    if unknown:
        raise TemplateError(
            f"{{{unknown[0]}}} stands for nothing here; {{out.NAME}} is an output's path, and "
            "{{ and }} are braces"
        )
    for name in template.outputs:
        if name not in outputs:
            near = did_you_mean(name, list(outputs))
            raise TemplateError(f"{{out.{name}}} is no output of the job{near}")
    return tuple(template.fill({f"out.{name}": path for name, path in outputs.items()}))


def _command(
    command: str | Sequence[str] | None, spec: JobSpec, outputs: Mapping[str, str], steps: Steps
) -> Iterator[Fault]:
    if command is None:
        if not spec.roles or any(role.command is None for role in spec.roles):
            what = "is not set (allowed: a list of words, or one line of text)"
            yield Fault(steps, what, "command: python train.py")
        return
    try:
        found = words(command, dict(outputs))
    except TemplateError as error:
        yield Fault(steps, str(error))
        return
    if not found[0].strip():
        yield Fault(steps, "its first word is empty")
    if any("\0" in word for word in found):
        yield Fault(steps, "holds a null character, which no program can be given")


def _asked(asked: Asked, steps: Steps) -> Iterator[Fault]:
    read: list[tuple[str, Callable[[], object]]] = [
        ("cpus", lambda: units.count(asked.cpus, "cpus")),
        ("memory", lambda: units.gib(asked.memory, "memory")),
        ("gpus", lambda: units.whole(asked.gpus, "gpus")),
        ("disk", lambda: units.gib(asked.disk, "disk")),
    ]
    off = False
    for key, call in read:
        for fault in _read(call, (*steps, key)):
            off = True
            yield fault
    if asked.gpu_kind and not off and not units.whole(asked.gpus)[0]:
        yield Fault((*steps, "gpu_kind"), "is set, and no GPU is asked for", "gpus: 1")
    limits = asked.limits
    pairs = (
        ("cpus", limits.cpus, asked.cpus, units.count),
        ("memory", limits.memory, asked.memory, units.gib),
    )
    for key, most, least, reader in pairs:
        if most is None or off:
            continue
        try:
            below = reader(most, key)[0] < reader(least, key)[0]
        except UsageError as error:
            yield Fault((*steps, "limits", key), error.problem, error.next_step)
            continue
        if below:
            said = f"{most} is less than the {least} that the job asks for"
            yield Fault((*steps, "limits", key), said)


def _environment(environment: Environment, steps: Steps) -> Iterator[Fault]:
    files = [
        key for key in ("lock", "requirements", "conda") if getattr(environment, key) is not None
    ]
    for key in files[1:]:
        yield Fault((*steps, key), f"says the same as `{files[0]}`; one of them is allowed")


def _targets(on: str | Sequence[str], steps: Steps) -> Iterator[Fault]:
    names = [on] if isinstance(on, str) else list(on)
    if len(names) > 1 and "auto" in names:
        yield Fault(steps, "`auto` is every target there is: it stands alone")
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Fault(steps, f"{name!r} stands twice")


def _paths(outputs: Mapping[str, str], steps: Steps) -> Iterator[Fault]:
    taken: dict[str, str] = {}
    for name, path in outputs.items():
        plain = path.rstrip("/")
        if plain in taken:
            said = f"{path!r} is where output {taken[plain]!r} lies"
            yield Fault((*steps, "outputs", name), said)
        taken[plain] = name
    for name, path in outputs.items():
        outer = next((other for other in taken if path.startswith(f"{other}/")), None)
        if outer is not None and taken[outer] != name:
            said = f"{path!r} lies in output {taken[outer]!r}, which is kept as a whole"
            yield Fault((*steps, "outputs", name), said)


def _roles(spec: JobSpec, steps: Steps) -> Iterator[Fault]:
    if not spec.roles:
        return
    if spec.outputs:
        said = "of a gang stand with the role that writes them"
        yield Fault((*steps, "outputs"), said, f"roles: [{{name: …, outputs: {{{_first(spec)}}}}}]")
    if spec.resources != Asked():
        said = "of a gang stand with each role: what stands here would be nobody's"
        yield Fault((*steps, "resources"), said, "roles: [{name: …, resources: …}]")
    yield from _given(spec.variables, {}, (*steps, "variables"))
    seen: set[str] = set()
    for place, role in enumerate(spec.roles):
        inside = (*steps, "roles", place)
        if role.name in seen:
            said = f"{role.name!r} stands twice"
            yield Fault((*inside, "name"), said, "another name, or one role with a `count`")
        seen.add(role.name)
        yield from _role(spec, role, inside)
    size = sum(role.count for role in spec.roles)
    if size > MOST_MEMBERS:
        said = f"are {size} members together (allowed: up to {MOST_MEMBERS})"
        yield Fault((*steps, "roles"), said, "a list of jobs, for work that need not meet")


def _role(spec: JobSpec, role: Role, inside: Steps) -> Iterator[Fault]:
    command = role.command if role.command is not None else spec.command
    where = (*inside, "command") if role.command is not None else (*inside, "name")
    if command is not None and (role.command is not None or not spec.outputs):
        yield from _command(command, spec, role.outputs, where)
    yield from _asked(role.resources, (*inside, "resources"))
    if role.on is not None:
        yield from _targets(role.on, (*inside, "on"))
    yield from _paths(role.outputs, inside)
    yield from _given(role.variables, spec.secrets, (*inside, "variables"))


def _given(
    variables: Mapping[str, object], secrets: Mapping[str, object], steps: Steps
) -> Iterator[Fault]:
    """Yield the variables that members are given by EMS, and those that are secrets."""
    for name in sorted(variables.keys() & TOLD):
        yield Fault((*steps, name), "is what EMS tells each member, and can't be set")
    for name in sorted(variables.keys() & secrets.keys()):
        yield Fault((*steps, name), "stands under the job's `secrets`, too")


def _first(spec: JobSpec) -> str:
    name, path = next(iter(spec.outputs.items()))
    return f"{name}: {path}"


def _read(call: Callable[[], object], steps: Steps) -> Iterator[Fault]:
    try:
        call()
    except UsageError as error:
        yield Fault(steps, error.problem, error.next_step)
