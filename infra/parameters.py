"""The outputs in SSM, for researchers without Pulumi: a parameter for each site and component.

Knows that parameters hold plain text. What each is called and holds is `ems.stack.parameters`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws

from ems.stack.parameters import text


class Parameters(pulumi.ComponentResource):
    """The parameters that hold an environment's outputs, or its clusters' part of them.

    `parts`: path → the parameter's part, plain, pending, or plain with pending leaves.
    """

    def __init__(
        self,
        name: str,
        parts: Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("ems:stack:Parameters", name, None, opts)
        for path, part in parts.items():
            known = pulumi.Output.from_input(part)
            aws.ssm.Parameter(
                # the path below the environment's own: `sites/oregon/network`
                f"{name}-{path.split('/', 3)[-1].replace('/', '-')}",
                name=path,
                type="String",
                # `value` would make a secret of what everybody may read
                insecure_value=known.apply(lambda part, path=path: text(path, part)),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({"paths": sorted(parts)})
