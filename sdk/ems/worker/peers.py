"""Who else is in the gang of this process, as its member's list tells.

Knows the file at EMS_PEERS and no network. A program without EMS reads the same file itself.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, NamedTuple

    class Peer(NamedTuple):
        """A member of a gang: its role, the place in it and in the gang, and where it listens."""

        role: str
        role_rank: int
        rank: int
        address: str
        port: int

else:

    class Peer(namedtuple("Peer", ("role", "role_rank", "rank", "address", "port"))):
        """A member of a gang: its role, the place in it and in the gang, and where it listens.

        `role_rank` and `rank` count from 0. The port was kept free for this member: it listens
        there if its program does.
        """

        __slots__ = ()


class NoGang(RuntimeError):
    """This process is no member of a gang."""


class NobodyCame(Exception):
    """The other members of a gang were not there within its limit."""


class Moved(Exception):
    """A member was started again, and can't be reached where the others were told."""


def peers() -> List[Peer]:
    """Return all members of the gang that this process is one of, itself included, by rank.

    The own one is that with the rank EMS_RANK. Raises NoGang (a RuntimeError) outside a gang.
    """
    import json
    import os

    path = os.environ.get("EMS_PEERS")
    if not path:
        raise NoGang(
            "ems.peers: this process is no member of a gang (EMS_PEERS is not set); it is one in "
            "the command of a job with `roles`"
        )
    with open(path, encoding="utf-8") as stream:
        rows = json.load(stream)
    return [
        Peer(row["role"], row["role_rank"], row["rank"], row["address"], row["port"])
        for row in rows
    ]
