"""`emsctl stack vpn`: the configuration of a lab's VPN gateway, as a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ems.cli import stack_source
from ems.cli.context import settings_of, warn
from ems.cli.texts import plural

if TYPE_CHECKING:
    from ems.stack.gateway.plan import Mode


@click.command()
@click.argument("lab", metavar="LAB")
@click.option("--stack", "reference", metavar="REF", help="Another environment than the project's")
@click.option(
    "-d",
    "--directory",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where to write  [default: LAB-gateway]",
)
@click.option(
    "--mode",
    type=click.Choice(["route", "policy"]),
    default="route",
    help="Tunnels with interfaces, or chosen by addresses  [default: route]",
)
@click.option("--no-keys", is_flag=True, help="Say where the keys are instead of writing them")
@click.option("-f", "--force", is_flag=True, help="Replace what was written before")
@click.pass_context
def vpn(
    ctx: click.Context,
    lab: str,
    reference: str | None,
    folder: Path | None,
    mode: Mode,
    no_keys: bool,
    force: bool,
) -> None:
    """Write the configuration of a lab's VPN gateway.

    The folder has what a Linux machine with strongSwan needs for both tunnels to each site, and
    a README with the steps. `route` makes an XFRM interface a tunnel and keeps both up (with FRR
    where the lab routes by BGP); `policy` does without interfaces and keeps the second in reserve.

    The keys are read from Secrets Manager with your AWS credentials and written into one file
    that only its owner can read.
    """
    from ems.stack.gateway import folder as files
    from ems.stack.gateway.plan import check_mode, gateway_of
    from ems.stack.gateway.secret import fetch

    target = folder or Path(f"{lab}-gateway")
    found = stack_source.read(stack_source.named(settings_of(ctx), reference))
    for note in found.notes:
        warn(note)
    gateway = gateway_of(found.outputs, lab)
    check_mode(gateway, mode)
    if not force:
        files.refuse_full(target, lab)
    written = files.files(gateway, mode, {} if no_keys else fetch(gateway))
    files.write(target, written)
    tunnels = plural(len(gateway.tunnels), "tunnel")
    print(f"wrote {plural(len(written), 'file')} for {tunnels} to {target}; {_next(no_keys)}")


def _next(no_keys: bool) -> str:
    """Return what is to be done now."""
    from ems.stack.gateway.folder import KEYS, README

    if no_keys:
        return f"the keys are missing in {KEYS}, go on with {README}"
    return f"{KEYS} holds the keys, go on with {README}"
