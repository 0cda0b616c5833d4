"""`python -m infra.first_hour --account 111122223333`: the steps, one after the other.

Knows their order, and that what was begun is taken down whatever happens. Each step is somebody
else's: `infra.order`, `job.py`, `emsctl check`, `left.py`, `cost.py`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click

from ems.errors import EmsError, UsageError
from ems.stack.aws import client
from ems.stack.sources import PulumiStack, read
from infra import order
from infra.first_hour import cost, job, left
from infra.money.idle import total_usd
from infra.plan.tags import ENVIRONMENT_TAG
from infra.preflight import facts
from infra.programs import ROOT
from infra.settings.reading import read_file
from infra.settings.types import Environment

_LINGERS_S = 600.0


@dataclass
class Hour:
    """One run of it."""

    environment: str
    settings: Environment
    agreed: bool
    job_limit_s: float
    lingers_s: float
    up_since: float = 0.0
    down_at: float = 0.0
    took: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    @property
    def regions(self) -> set[str]:
        """Where its sites lie."""
        return {site.region for site in self.settings.sites.values()}

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Tell a step and how long it took, also if it fails."""
        click.echo(f"\n── {title}")
        begun = time.monotonic()
        try:
            yield
        finally:
            self.took.append((title, time.monotonic() - begun))
            click.echo(f"── {title}: {self.took[-1][1]:.0f} s")


def _tell(text: str) -> None:
    click.echo(f"   {text}")


def ready(hour: Hour, account: str) -> None:
    """Raise for what would make this something else than a first hour, before anything is made."""
    name, settings = hour.environment, hour.settings
    file = f"stacks/Pulumi.{name}.yaml"
    if account not in settings.accounts:
        told = ", ".join(settings.accounts)
        raise UsageError(
            f"account {account}",
            f"is not in {file} (there: {told})",
            f'ems:accounts: ["{account}"]',
        )
    if settings.protect:
        raise UsageError(f"environment {name!r}", "is protected, and this takes it down again")
    held = facts.account(client)
    if held != account:
        problem = f"is not that of the AWS credentials ({held})"
        raise UsageError(f"account {account}", problem, "another AWS_PROFILE")
    if order.SKY.stacks().get(name):
        step = f"make down ENV={name}, or --environment with another"
        raise UsageError(f"environment {name!r}", "stands already", step)


def bring_up(hour: Hour) -> None:
    """Deploy the environment."""
    hour.up_since = time.monotonic()
    order.bring_up(hour.environment, agreed=True)


def run_job(hour: Hour) -> None:
    """Run a job on one of its queues and print what it says."""
    outputs = read(PulumiStack(hour.environment), ROOT).outputs
    ran = job.run(
        job.choose(outputs),
        hour.environment,
        {**hour.settings.tags, ENVIRONMENT_TAG: hour.environment},
        client,
        _tell,
        hour.job_limit_s,
    )
    click.echo(f"   waited {ran.waited_s:.0f} s, ran {ran.ran_s:.1f} s; it says:")
    for line in ran.log or ("(CloudWatch has no line of it yet)",):
        click.echo(f"     {line}")


def check(hour: Hour) -> None:
    """Let `emsctl check` compare what is there with what is described."""
    emsctl = Path(sys.executable).parent / "emsctl"
    done = subprocess.run([emsctl, "check", "--stack", hour.environment], cwd=ROOT, check=False)
    if done.returncode:
        raise EmsError("emsctl check", "found something broken; it stands above")


def take_down(hour: Hour) -> None:
    """Take the environment down and look for what stays."""
    order.take_down(hour.environment, agreed=True, skip_preview=True)
    hour.down_at = time.monotonic()
    found = left.wait_until_gone(hour.environment, hour.regions, client, hour.lingers_s, _tell)
    for thing in found:
        _tell(f"goes by itself: {thing.arn}, {thing.goes}" if thing.goes else thing.arn)
    stays = [thing for thing in found if not thing.goes]
    if stays:
        problem = f"{len(stays)} things with its tag are still there, listed above"
        raise EmsError(f"environment {hour.environment!r}", problem, "look at each in the console")
    click.echo(f"   nothing is left that carries ems-environment={hour.environment}")


def bill(hour: Hour) -> None:
    """Print what it cost, as far as that can be told now."""
    hours = ((hour.down_at or time.monotonic()) - hour.up_since) / 3600
    lines = [cost.idle(hour.settings, hours)]
    try:
        lines += cost.instances(hour.environment, hour.regions, client)
    except EmsError as error:
        click.echo(f"   instances could not be counted: {error}")
    click.echo("\nwhat it cost, from durations and prices; AWS's own figure comes within a day")
    click.echo(
        "(Cost Explorer, by the tag ems-environment). Disks, requests and logs: cents, not in"
    )
    for line in cost.text(lines):
        click.echo(f"  {line}")
    for title, took_s in hour.took:
        click.echo(f"  {took_s:7.0f} s  {title}")


def go(hour: Hour) -> int:
    """Take all steps; return the exit code. What was begun is offered to be taken down."""
    failed = False
    steps = [("up", bring_up), ("one job", run_job), ("emsctl check", check)]
    try:
        for title, step in steps:
            with hour.step(title):
                step(hour)
    except (EmsError, KeyboardInterrupt) as error:
        failed = True
        click.echo(f"error: {error or 'interrupted'}", err=True)
    again = f"make down ENV={hour.environment}"
    if failed and not (hour.agreed or click.confirm("Take it down now?", default=True)):
        click.echo(f"it stands, and costs. Take it down with: {again}")
        return 1
    try:
        with hour.step("down"):
            take_down(hour)
    except EmsError as error:
        failed = True
        click.echo(f"error: {error}\nsomething may stand, and cost. Again: {again}", err=True)
    bill(hour)
    click.echo(f"\n{'it did not go well' if failed else 'all of it went well'}")
    return 1 if failed else 0


@click.command()
@click.option("--account", required=True, metavar="ID", help="The account that it may use.")
@click.option("--environment", default="dev", show_default=True, metavar="NAME")
@click.option("-y", "--yes", is_flag=True, help="Don't ask; after a failure, take it down.")
@click.option("--job-minutes", default=30, show_default=True, help="How long the job may take.")
@click.option(
    "--left-minutes",
    default=_LINGERS_S / 60,
    show_default=True,
    help="How long to wait until AWS no longer lists what was taken down.",
)
def main(
    account: str, environment: str, yes: bool, job_minutes: float, left_minutes: float
) -> None:
    """Bring an environment up, run one job, check, take it down, and say what it cost."""
    settings = read_file(order.settings_file(environment))
    hour = Hour(environment, settings, yes, job_minutes * 60, left_minutes * 60)
    ready(hour, account)
    usd = total_usd(settings)
    click.echo(
        f"account {account}: environment {environment} ({', '.join(sorted(settings.sites))}) comes"
        f" up, runs one job and goes.\nWhile it stands it costs {usd:.2f} US dollars a month"
        f" ({usd / 730:.4f} an hour), and one instance for some minutes."
    )
    if not yes:
        click.confirm("Go on?", abort=True)
    sys.exit(go(hour))


def entry() -> None:
    """Run the command; what goes wrong before anything is made ends in one line."""
    try:
        main()
    except EmsError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    entry()
