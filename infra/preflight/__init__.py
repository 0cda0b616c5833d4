"""What only AWS can say of an environment, asked before anything is made.

    from infra.preflight import preflight
    for warning in preflight(settings, environment="dev"):   # raises SettingsError for what stops
        ...

`facts.py` asks and changes nothing, `faults.py` compares; `python -m infra.preflight --stack dev`
also looks at this machine's tools.
"""

from __future__ import annotations

from ems.errors import EmsError
from ems.stack.aws import Clients, client
from infra.preflight import facts, faults
from infra.settings import rules
from infra.settings.fault import Fault, SettingsError, errors
from infra.settings.types import Environment

__all__ = ["look", "preflight"]


def preflight(
    settings: Environment, clients: Clients = client, *, environment: str = ""
) -> list[Fault]:
    """Return the warnings; raises SettingsError, with all of them, where there are errors."""
    found = look(settings, clients, environment=environment)
    if stops := errors(found):
        raise SettingsError("preflight", stops)
    return found


def look(settings: Environment, clients: Clients = client, *, environment: str = "") -> list[Fault]:
    """Return what AWS has against an environment, errors first, and the settings' own warnings.

    `environment` is its name: what carries it in its tags is its own from an earlier `up`, and
    stands in nothing's way. Without it, so is whatever any environment has made.
    Asks with the credentials, profile and endpoint that boto3 finds. Never raises for what AWS
    answers: no credentials and no access are faults too.
    """
    warnings = rules.warnings(settings)
    try:
        caller = facts.caller(clients)
        if wrong := faults.wrong_account(settings, caller.account):
            return [wrong, *warnings]
        asked = facts.ask(settings, clients, environment)
        unbound = faults.no_boundary(settings, caller)
        found = [*([unbound] if unbound else []), *faults.faults(settings, asked), *warnings]
    except EmsError as error:
        return [Fault(error.subject, error.problem, error.next_step), *warnings]
    return sorted(found, key=lambda fault: fault.level)
