"""The keys of all of a gateway's tunnels, fetched from Secrets Manager with the user's credentials.

Nothing is kept: what is fetched is handed on. Knows ARNs and one call. Does not know a secret's
form (`keys.py`), nor where keys are written.
"""

from __future__ import annotations

import re

from ems.errors import EmsError
from ems.stack import aws
from ems.stack.gateway.keys import keys_of
from ems.stack.gateway.plan import Gateway

_ARN = re.compile(r"arn:[\w-]+:secretsmanager:([\w-]+):\d{12}:secret:\S+", re.ASCII)


def fetch(gateway: Gateway, clients: aws.Clients = aws.client) -> dict[str, str]:
    """Return the key of each tunnel by the address of AWS's end; EmsError if one can't be had."""
    found: dict[str, str] = {}
    for site, arn in gateway.keys.items():
        addresses = [tunnel.remote for tunnel in gateway.tunnels if tunnel.site == site]
        found |= keys_of(_secret(gateway.lab, site, arn, clients), addresses, arn)
    return found


def _secret(lab: str, site: str, arn: str, clients: aws.Clients) -> str:
    subject = f"keys of {lab} to {site}"
    without = f"emsctl stack vpn {lab} --no-keys"
    known = _ARN.fullmatch(arn)
    if known is None:
        raise EmsError(subject, f"the outputs name no secret of Secrets Manager ({arn!r})", without)
    client = clients("secretsmanager", known[1])
    try:
        with aws.asking(subject):
            return str(client.get_secret_value(SecretId=arn)["SecretString"])
    except aws.Denied:
        problem = f"access denied to the secret (needs secretsmanager:GetSecretValue on {arn})"
        raise EmsError(subject, problem, f"another AWS_PROFILE, or {without}") from None
    except aws.Missing:
        problem = f"the secret is not there ({arn})"
        raise EmsError(subject, problem, f"pulumi refresh, or {without}") from None
