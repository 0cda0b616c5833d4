"""What a site's bucket is called: a rule of its own, since settings are checked by it.

Knows no Pulumi, and nothing of the bucket but its name.
"""

from __future__ import annotations

from ems.errors import UsageError

LONGEST = 63
"""What S3 allows for a bucket's name, suffix included."""


def bucket_name(environment: str, site: str, account: str, region: str) -> str:
    """Return the name of a site's bucket; UsageError where it gets longer than S3 allows.

    The suffix puts it into the account's own namespace in that region: a name that follows from a
    rule and lies in the global namespace belongs to whoever took it first. A test pins it: another
    name would be another, empty bucket.
    """
    suffix = f"-{account}-{region}-an"
    prefix = f"ems-{environment}-{site}"
    if len(prefix + suffix) > LONGEST:
        room = LONGEST - len(f"ems--{suffix}")
        raise UsageError(
            f"site {site!r} of environment {environment!r}",
            f"its bucket's name would have {len(prefix + suffix)} characters (allowed: {LONGEST}; "
            f"in {region}: {room} for both names together, these have "
            f"{len(environment) + len(site)})",
            "a shorter name of the site",
        )
    return prefix + suffix
