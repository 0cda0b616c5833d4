"""What only AWS can say of an environment, asked before anything is made.

    from infra.preflight import preflight
    for warning in preflight(settings):     # raises SettingsError for what stops a deployment
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


def preflight(settings: Environment, clients: Clients = client) -> list[Fault]:
    """Return the warnings; raises SettingsError, with all of them, where there are errors."""
    found = look(settings, clients)
    if stops := errors(found):
        raise SettingsError("preflight", stops)
    return found


def look(settings: Environment, clients: Clients = client) -> list[Fault]:
    """Return what AWS has against an environment, errors first, and the settings' own warnings.

    Asks with the credentials, profile and endpoint that boto3 finds. Never raises for what AWS
    answers: no credentials and no access are faults too.
    """
    warnings = rules.warnings(settings)
    try:
        account = facts.account(clients)
        if wrong := faults.wrong_account(settings, account):
            return [wrong, *warnings]
        found = [*faults.faults(settings, facts.ask(settings, clients)), *warnings]
    except EmsError as error:
        return [Fault(error.subject, error.problem, error.next_step), *warnings]
    return sorted(found, key=lambda fault: fault.level)
