"""`emsctl stack`: the commands about an environment, each imported when it is called."""

from __future__ import annotations

from ems.cli.lazy import lazy_group

COMMANDS = {
    "show": ("ems.cli.stack_show", "Say what an environment offers."),
    "use": ("ems.cli.stack_use", "Write into .ems.yaml which environment this project uses."),
    "vpn": ("ems.cli.stack_vpn", "Write the configuration of a lab's VPN gateway."),
}
"""Name → module and short help. The command in it is called as it is typed."""


@lazy_group("stack", COMMANDS)
def stack() -> None:
    """Find the sky that a project uses, and say what it offers.

    An environment that somebody made with Pulumi is named in one of three ways: by its Pulumi
    stack (`dev`), inside a checkout; by its parameters in AWS (`ssm:us-west-2/dev`), anywhere with
    AWS credentials; or by a file (`sky.json`), which `emsctl stack show -o json` writes.
    """
