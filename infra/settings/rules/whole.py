"""Rules for the environment as a whole: its name, home, accounts, access, tags, money and lists.

Knows AWS's limits on names, tags and policies. Does not know sites' networks or what runs there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ems.errors import UsageError, did_you_mean
from infra.data.naming import bucket_name
from infra.settings.fault import Fault, Step, at
from infra.settings.types import Environment

SANDBOX = "sandbox"
SANDBOX_ACCOUNT = "123456789012"
"""The account of moto, which the sandbox runs on; no one's at AWS."""
MOST_TAGS = 40
"""Of the 50 that AWS allows on a resource; the rest is for ours and AWS's own."""
MOST_POLICIES = 10
"""Managed policies of one role, by AWS's default quota: the researchers' role has one a site."""
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,14}[a-z0-9])?", re.ASCII)


def faults(settings: Environment, environment: str) -> Iterator[Fault]:
    """Return what is off with the environment as a whole."""
    if not _NAME.fullmatch(environment):
        yield Fault(
            "the environment's name",
            f"'{environment}' is part of every name (allowed: lower-case letters, digits and "
            "hyphens, 16 at most, a letter first)",
        )
    else:
        yield from _buckets(settings, environment)
    if environment == SANDBOX and settings.accounts != (SANDBOX_ACCOUNT,):
        yield Fault(
            at("accounts"),
            f"the sandbox runs on this machine, never in an account (allowed: {SANDBOX_ACCOUNT})",
        )
    yield from _home(settings)
    yield from _access(settings)
    yield from _tags(settings)
    yield from _money(settings)
    yield from _lists(settings)
    for name, site in settings.sites.items():
        if site.storage.backup and not site.storage.file_system:
            where = at("sites", name, "storage", "backup")
            yield Fault(where, "there is no file system to back up (allowed: false)")


def _home(settings: Environment) -> Iterator[Fault]:
    regions = sorted({site.region for site in settings.sites.values()})
    if not settings.home:
        if len(regions) > 1:
            yield Fault(
                at("home"),
                f"is not set, and sites lie in {len(regions)} regions (allowed: the one that stays "
                f"when others go, of {', '.join(regions)})",
            )
    elif settings.home not in regions:
        near = did_you_mean(settings.home, regions)
        what = f"'{settings.home}' is no site's region{near}"
        yield Fault(at("home"), f"{what} (allowed: {', '.join(regions)})")


def _buckets(settings: Environment, environment: str) -> Iterator[Fault]:
    """All accounts' numbers are of one length, so any stands for the one that it will be."""
    for name, site in settings.sites.items():
        try:
            bucket_name(environment, name, SANDBOX_ACCOUNT, site.region)
        except UsageError as long:
            yield Fault(at("sites", name), long.problem, long.next_step)


def _access(settings: Environment) -> Iterator[Fault]:
    if settings.access.researchers and len(settings.sites) > MOST_POLICIES:
        yield Fault(
            at("access", "researchers"),
            f"their role takes a policy for each of {len(settings.sites)} sites (allowed: "
            f"{MOST_POLICIES} sites by IAM's quota; or nobody here, and the policies attached to "
            "roles of your own)",
        )
    account = settings.boundary.split(":")[4] if settings.boundary else ""
    if account and settings.accounts and account not in settings.accounts:
        yield Fault(
            at("boundary"),
            f"is a policy of account {account}, and only an account's own can bound its roles "
            f"(allowed: {', '.join(settings.accounts)})",
        )


def _tags(settings: Environment) -> Iterator[Fault]:
    for key in settings.tags:
        for prefix, whose in (("aws:", "AWS's"), ("ems-", "EMS's")):
            if key.lower().startswith(prefix):
                what = f"'{prefix}…' are {whose} own (allowed: another key)"
                yield Fault(at("tags", key), what)
    if len(settings.tags) > MOST_TAGS:
        yield Fault(at("tags"), f"has {len(settings.tags)} (allowed: {MOST_TAGS} at most)")


def _money(settings: Environment) -> Iterator[Fault]:
    if settings.budget and not settings.budget.emails and not settings.alarm_emails:
        yield Fault(
            at("budget", "emails"),
            "is empty, so nobody hears of the budget",
            "name who is to be written to",
            level="warning",
        )


def _lists(settings: Environment) -> Iterator[Fault]:
    lists: list[tuple[tuple[Step, ...], Sequence[str]]] = [
        (("accounts",), settings.accounts),
        (("alarm_emails",), settings.alarm_emails),
        (("access", "researchers"), settings.access.researchers),
    ]
    if settings.budget:
        lists.append((("budget", "emails"), settings.budget.emails))
    for name, site in settings.sites.items():
        lists.append((("sites", name, "images"), site.images))
        if site.vpc:
            lists.append((("sites", name, "vpc", "route_tables"), site.vpc.route_tables))
        if site.kubernetes:
            lists.append((("sites", name, "kubernetes", "admins"), site.kubernetes.admins))
            from_where = ("sites", name, "kubernetes", "public_access_from")
            lists.append((from_where, site.kubernetes.public_access_from))
    for steps, values in lists:
        for place, value in enumerate(values):
            if value in values[:place]:
                what = f"'{value}' stands there twice (allowed: each once)"
                yield Fault(at(*steps, place), what)
