"""What the provider's stand-in has to know of one resource type.

A table of these, a module for each family of types, lies in `kinds/`; `server.py` serves them to
the engine. Knows no type and no wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Props = dict[str, Any]
"""A resource's properties under Pulumi's names (`cidrBlock`)."""


@dataclass
class Call:
    """One operation on one resource: its clients, region and name."""

    client: Callable[[str, str], Any]
    """Service and region → boto3 client."""
    region: str
    account: str
    name: str = ""
    """The resource's name in the program."""
    id: str | None = None

    def __getattr__(self, service: str) -> Any:
        """Return the boto3 client of a service in the resource's region: `call.ec2`."""
        if service.startswith("_"):
            raise AttributeError(service)
        return self.client(service, self.region)

    def made(self, id_: str) -> str:
        """Say that the thing exists as soon as it does: a later failure leaves it in the state."""
        self.id = id_
        return id_


@dataclass(frozen=True)
class Kind:
    """One resource type: how it is made in the cloud, read back, changed and deleted."""

    token: str
    """`aws:ec2/vpc:Vpc`."""
    create: Callable[[Call, Props], str]
    """Make it and return its id; calls `Call.made` first where more calls follow."""
    read: Callable[[Call, str, Props], Props | None]
    """What the cloud has, inputs and computed properties; None when it is gone. The last argument
    is what the state says, so that a read finds its way (a route its table). An input that the
    cloud doesn't tell is left out, and the state's value holds. `tags` are all tags: in every
    function the provider's default tags are among them."""
    delete: Callable[[Call, str, Props], None]
    update: Callable[[Call, str, Props, Props], None] | None = None
    """From what the cloud has to what is wanted. None: every change but of tags replaces."""
    replaces: Mapping[str, str] = field(default_factory=dict)
    """Input that can't be changed in place → the file of the Terraform AWS provider that says so,
    below internal/service (`ec2/vpc_.go`). A dotted path names a nested one."""
    name: str | None = None
    """The input that the provider fills with a name of its own where the program leaves it out."""
    name_max: int = 255
    """How long such a name may be: the real provider refuses a longer one before it is made."""
    defaults: Props = field(default_factory=dict)
    computed: tuple[str, ...] = ()
    """Outputs that are not known before it is made."""
    renewed: tuple[str, ...] = ()
    """Outputs that every update makes anew, so that its preview does not know them."""
    sets: tuple[str, ...] = ()
    """Inputs that are sets: the order of their items says nothing. Dotted paths, `*` for items."""
    documents: tuple[str, ...] = ()
    """Inputs that are JSON documents: compared by meaning."""
    secrets: tuple[str, ...] = ()
    """Outputs that the engine keeps encrypted."""
    remembered: str = ""
    """The call that moto lacks: the type is then kept in the state alone, not made."""


def remembered(
    token: str,
    lacking: str,
    *,
    outputs: Callable[[Call, Props], Props] = lambda call, props: {},
    replaces: Mapping[str, str] | None = None,
    name: str | None = None,
    identity: Callable[[Call, Props], str] | None = None,
    defaults: Props | None = None,
    sets: tuple[str, ...] = (),
    documents: tuple[str, ...] = (),
) -> Kind:
    """Return a type whose `lacking` call moto has not: what the program says is taken as made.

    `outputs` gives the computed properties and `identity` the id, by default the name or the
    resource's own with a mark. Neither can be seen in the cloud, so no test may read them there.
    """

    def create(call: Call, props: Props) -> str:
        if identity:
            return call.made(identity(call, props))
        return call.made(str(props[name]) if name and name in props else call.name)

    def read(call: Call, id_: str, props: Props) -> Props | None:
        return {**props, **outputs(call, {**props, "id": id_})}

    example = tuple(outputs(Call(lambda s, r: None, "us-east-1", "0" * 12, "x"), _Anything()))
    return Kind(
        token,
        create=create,
        read=read,
        delete=lambda call, id_, props: None,
        update=lambda call, id_, old, new: None,
        replaces=replaces or {},
        name=name,
        defaults=defaults or {},
        computed=example,
        sets=sets,
        documents=documents,
        remembered=lacking,
    )


class _Anything(dict[str, Any]):
    """Properties to learn from which outputs a function gives."""

    def __missing__(self, key: str) -> str:
        return "x"
