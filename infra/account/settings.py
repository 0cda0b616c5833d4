"""What an account can have: the types behind infra/account/Pulumi.<stack>.yaml, and their reading.

Knows every key, its default and the rules between them. Does not know what is made of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Literal

from msgspec import Meta
from msgspec import inspect as kinds

from infra.settings.fault import NAMESPACE as ENVIRONMENTS
from infra.settings.fault import Fault, SettingsError
from infra.settings.shape import Fitting, Unfit
from infra.settings.types import AccountId, Email, Name, Settings

NAMESPACE = "ems-account"

ServiceRole = Literal["batch", "elasticloadbalancing", "spot"]
"""The services whose own role must be there before their first use: Batch makes several things at
once that all need it; a cluster can't make the one of load balancers within its boundary, which
lets no role make others; and nobody makes the one of spot instances unless asked to."""


class Account(Settings, frozen=True):
    """An AWS account; the file's keys are `ems-account:<field>`."""

    account: AccountId
    """The account. Any other is refused."""
    region: str
    """Where the state of all stacks lies."""
    repository: Annotated[
        str,
        Meta(pattern=r"^[\w.-]+/[\w.-]+$", description="ORGANISATION/REPOSITORY on GitHub"),
    ]
    environments: Annotated[tuple[Name, ...], Meta(min_length=1)]
    """The environments that are deployed from the repository, each by a role of its own."""
    subject_prefix: Annotated[
        str, Meta(pattern=r"^(repo:[^:*?\s]+)?$", description="`repo:` and what follows, no `*`")
    ] = ""
    """How GitHub's tokens name the repository, if not `repo:ORGANISATION/REPOSITORY`: those made or
    renamed after 2026-06-18 have numbers in it (`repo:lab-123/sky-456`). What a token says shows in
    a workflow that prints it (docs.github.com, "OpenID Connect reference")."""
    oidc_provider: str = ""
    """The ARN of GitHub's OIDC provider, if the account has it already: there can be one only."""
    regions: tuple[str, ...] = ()
    """Where environments may make anything; none: everywhere."""
    existing_service_roles: tuple[ServiceRole, ...] = ()
    """Those that the account has already; IAM refuses to make them again."""
    cost_tags: bool = False
    """Tell costs apart by environment. Only in the account that pays, and only once billing has
    seen the tag, up to a day after the first environment came up."""
    anomaly_emails: tuple[Email, ...] = ()
    """Who hears, once a day, of costs out of the ordinary; nobody: no monitor is made."""
    anomaly_usd: Annotated[int, Meta(ge=1)] = 20
    """How much out of the ordinary."""
    anomaly_monitor: str = ""
    """The ARN of the account's monitor of all services, if it has one already (new accounts do)."""
    protect: bool = True
    """`destroy` is refused until this is turned off."""

    @property
    def subject(self) -> str:
        """How tokens name the repository."""
        return self.subject_prefix or f"repo:{self.repository}"


def read(values: Mapping[str, str], stack: str) -> Account:
    """Return the settings; raises SettingsError with all that is wrong.

    `values` are the engine's: by full key, each a string; what is more than a string is JSON.
    """
    kind = kinds.type_info(Account)
    assert isinstance(kind, kinds.StructType)
    fitting, found = Fitting(), None
    try:
        found = fitting.fit(kind, _plain(values, kind), ())
    except Unfit:
        pass
    faults = [replace(each, where=_renamed(each.where)) for each in fitting.faults]
    if found is not None:
        faults += _rules(found)
    if faults:
        raise SettingsError(f"settings of account {stack!r}", faults)
    assert found is not None  # without it there is a fault
    return found


def _plain(values: Mapping[str, str], kind: kinds.StructType) -> dict[str, object]:
    text = {each.name for each in kind.fields if _is_text(each.type)}
    found: dict[str, object] = {}
    for key, value in values.items():
        space, _, name = key.partition(":")
        if space == NAMESPACE:
            found[name] = value if name in text else _decoded(value)
    return found


def _is_text(kind: object) -> bool:
    inner = kind.type if isinstance(kind, kinds.Metadata) else kind
    return isinstance(inner, kinds.StrType)


def _decoded(value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _renamed(where: str) -> str:
    return f"{NAMESPACE}:{where.removeprefix(f'{ENVIRONMENTS}:')}"


def _rules(settings: Account) -> Iterator[Fault]:
    where = f"{NAMESPACE}:environments"
    for index, name in enumerate(settings.environments):
        if name in settings.environments[:index]:
            yield Fault(f"{where}[{index}]", f"{name!r} stands there already")
        if name == "ems":
            yield Fault(
                f"{where}[{index}]", "'ems' begins what guards the others (allowed: another)"
            )
        for other in settings.environments:
            if other.startswith(f"{name}-"):
                # what belongs to `dev` is told by `dev-`, with which `dev-2` begins as well
                what = f"{name!r} and {other!r}: the role of the first would reach the second"
                yield Fault(f"{where}[{index}]", f"{what} (allowed: names apart, such as dev2)")
