"""Targets of a stack: what its sites run, as one would write it into `.ems.yaml`.

    batch-oregon: {batch: oregon}
    kubernetes-oregon: {kubernetes: arn:…, namespace: ems, volume: {claim: data}, folder: …}

A target is called by its kind and its site, and the first one of a kind by the kind alone, too:
`on="batch"`. The first is by the site's name; for Batch, of those that have more than spot
instances. `defaults:` of `.ems.yaml` gives what a stack does not know, by kind. Pure. Knows a
stack's outputs and the words of four kinds. Does not know how outputs are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import msgspec

from ems.compute.kinds import Kind, kinds
from ems.compute.targets import Lack, Target, is_name
from ems.errors import UsageError, did_you_mean
from ems.stack.outputs import Site, StackOutputs

Keys = dict[str, Any]


class _Source(NamedTuple):
    """How a kind's keys come from a site: None where the site does not run it."""

    keys: Callable[[str, Site], Keys | None]
    wants_image: bool
    any_job: Callable[[Site], bool] = lambda _: True
    """Whether the site takes jobs that say nothing of spot instances."""


def derive(
    outputs: StackOutputs, stack: str, defaults: Mapping[str, Any], where: str = "defaults"
) -> dict[str, Target]:
    """Return the targets of a stack by all their names; UsageError for defaults that can't be.

    Those whose kind is not installed are left out.
    """
    loaders = kinds()
    own = {word: _checked(word, keys, loaders, where) for word, keys in defaults.items()}
    found: dict[str, Target] = {}
    for word, source in _SOURCES.items():
        if word not in loaders:
            continue
        made: list[Target] = []
        first: Target | None = None
        for name, site in sorted(outputs.sites.items()):
            keys = source.keys(name, site)
            if keys is not None:
                at = _Place(word, f"site {name} of stack {stack}", source.wants_image)
                keys = {**keys, **own.get(word, {})}
                made.append(_target(at, name, keys, loaders[word](), stack))
                first = first or (made[-1] if source.any_job(site) else None)
        if made:
            found[word] = first or made[0]
        found |= {each.name: each for each in made}
    return found


class _Place(NamedTuple):
    word: str
    told: str
    wants_image: bool

    def lack(self, key: str, example: str, problem: str) -> Lack:
        """Return that a key must be set before jobs go there unasked."""
        return Lack(
            f"{problem}, at {self.told} (`defaults: {{{self.word}: {{{key}: {example}}}}}` in "
            ".ems.yaml says it)",
            f"set {key}: under `defaults: {self.word}:` in .ems.yaml",
        )


def _target(at: _Place, site: str, keys: Keys, kind: Kind, stack: str) -> Target:
    long = f"{at.word}-{site}"
    name = long if is_name(long) else at.word
    try:
        settings = msgspec.convert(keys, kind.settings)
    except msgspec.ValidationError as error:
        missing = _missing(keys, kind)
        if not missing:
            lack = Lack(f"{error}, at {at.told}", "targets: in .ems.yaml, with all of its keys")
        else:
            lack = at.lack(missing, _EXAMPLES.get(missing, "…"), f"nothing says its `{missing}`")
        return Target(name, kind, None, stack, lack)
    if at.wants_image and not getattr(settings, "image", "…"):
        lack = at.lack(
            "image", _EXAMPLES["image"], "nothing says the `image` of jobs that name none"
        )
        return Target(name, kind, settings, stack, lack)
    return Target(name, kind, settings, stack)


def _missing(keys: Keys, kind: Kind) -> str:
    """Return the first key that a kind must have, and that is not there."""
    fields = msgspec.structs.fields(kind.settings)
    return next((each.name for each in fields if each.required and each.name not in keys), "")


def _checked(word: str, keys: Any, loaders: Mapping[str, Callable[[], Kind]], where: str) -> Keys:
    if word not in loaders:
        near = did_you_mean(word, list(loaders))
        allowed = ", ".join(sorted(loaders))
        raise UsageError(where, f"{word!r} is no kind of place{near} (allowed: {allowed})")
    if not isinstance(keys, dict):
        raise UsageError(
            f"{where}: {word}", "is no mapping of keys", f"{word}: {{image: worker:1}}"
        )
    said = cast("Keys", keys)
    known = [each.name for each in msgspec.structs.fields(loaders[word]().settings)]
    for key in said:
        if key not in known:
            near = did_you_mean(key, known)
            problem = f"unknown key {key!r}{near} (known: {', '.join(known)})"
            raise UsageError(f"{where}: {word}", problem)
    return said


# -- what a site runs -----------------------------------------------------------------------------


def _batch(name: str, site: Site) -> Keys | None:
    return {"batch": name} if site.batch is not None and site.batch.queues else None


def _on_demand(site: Site) -> bool:
    queues = site.batch.queues.values() if site.batch is not None else ()
    return any(queue.market == "on-demand" for queue in queues)


def _kubernetes(_: str, site: Site) -> Keys | None:
    """The context is the one that `aws eks update-kubeconfig` writes: it has the cluster's ARN.

    (docs.aws.amazon.com/cli/latest/reference/eks/update-kubeconfig.html, `--alias`, 2026-11-22)
    """
    cluster = site.kubernetes
    if cluster is None or cluster.workspace is None:
        return None
    inside = cluster.workspace
    keys: Keys = {
        "kubernetes": cluster.arn,
        "namespace": inside.namespace,
        "service_account": inside.service_account,
    }
    return {**keys, "volume": {"claim": inside.claim}} if inside.claim else keys


def _ray(_: str, site: Site) -> Keys | None:
    """A standing cluster; without one there is no address that jobs could be sent to."""
    inside = site.kubernetes.workspace if site.kubernetes is not None else None
    if inside is None or inside.ray is None or not inside.ray.address:
        return None
    return {"ray": inside.ray.address}


def _sagemaker(name: str, site: Site) -> Keys | None:
    return {"sagemaker": name} if site.sagemaker is not None else None


_SOURCES: Mapping[str, _Source] = {
    "batch": _Source(_batch, wants_image=True, any_job=_on_demand),
    "kubernetes": _Source(_kubernetes, wants_image=True),
    "ray": _Source(_ray, wants_image=False),
    "sagemaker": _Source(_sagemaker, wants_image=True),
}
_EXAMPLES: Mapping[str, str] = {"image": '"worker:TAG"', "folder": "/mnt/ems"}
