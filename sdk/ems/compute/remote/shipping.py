"""What a parcel needs at another place, and the parcel as that place sees it.

Knows the worker's parcels: where a parcel from here names folders and files of this machine, the
same parcel there names the place's own. Does not know how anything travels.
"""

# trees are JSON: their inside is Any
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ems.compute.remote.site import Folders
from ems.worker.values import OBJECT_TAGS

Locate = Callable[[str], Path]
"""Digest → a file here that holds it; fetched first where it is elsewhere."""


def needs(
    parcel: Mapping[str, Any], locate: Locate, *, within: bool = True
) -> dict[str, Path | None]:
    """Return every object that a parcel's worker will look up, with its file here.

    None stands for one that the store has: nothing is fetched for it. Only a folder's listing is,
    by `locate`, whose errors are passed on; without `within` a folder of the store counts as one.
    """
    found: dict[str, Path | None] = {}
    places: Mapping[str, Any] = parcel.get("places") or {}
    named: list[tuple[str, bool]] = list(_named(parcel))
    for digest, is_folder in dict.fromkeys(named):
        place = places.get(digest)
        path = Path(place if isinstance(place, str) else place[0]) if place is not None else None
        if is_folder and (path is not None or within):
            found |= _of_folder(digest, path, locate)
        else:
            found[digest] = path
    return found


def _named(parcel: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield (digest, whether it stands for a folder) of all that a parcel names."""
    code: Mapping[str, Any] = parcel.get("code") or {}
    yield from ((digest, False) for digest in (code.get("files") or {}).values())
    for task in parcel["tasks"]:
        yield from ((digest, False) for digest in (task.get("files") or {}).values())
    for version in parcel["versions"]:
        yield from _in_tree(version.get("args") or {})


def _in_tree(tree: Any) -> Iterator[tuple[str, bool]]:
    if isinstance(tree, list):
        for item in tree:
            yield from _in_tree(item)
    elif isinstance(tree, dict):
        for key, item in tree.items():
            if key in OBJECT_TAGS:
                yield item[0], key == "$dir"
            else:
                yield from _in_tree(item)


def _of_folder(digest: str, path: Path | None, locate: Locate) -> dict[str, Path | None]:
    """Return a folder's listing and the files in it."""
    listing = locate(digest)
    found: dict[str, Path | None] = {digest: listing}
    for relative, _, inner, _ in json.loads(listing.read_bytes()):
        found[inner] = path / relative if path is not None else None
    return found


def localized(
    parcel: Mapping[str, Any],
    root: str,
    seconds: float | None,
    gib: float | None,
    *,
    requeue: bool = False,
    folders: Folders | None = None,
) -> dict[str, Any]:
    """Return a parcel that names the folders of a place instead of this machine's.

    `seconds` and `gib` limit its tasks where they bring no limit of their own. `requeue`: the place
    starts the job again by itself when it is preempted, so that is no end of it. `folders` are
    those at the place, where they are not all below its root.
    """
    folders = folders or Folders.below(root)
    made = dict(parcel)
    if requeue:
        made["requeue"] = True
    limits = {"timeout_s": seconds or None, "memory_gib": gib or None}
    made["tasks"] = [
        {**task, **{key: task.get(key) or limit for key, limit in limits.items()}}
        for task in parcel["tasks"]
    ]
    code: Mapping[str, Any] = parcel.get("code") or {}
    if code:
        made["code"] = {key: code[key] for key in ("files", "modules", "search") if key in code}
    made["places"] = {}
    made["objects"] = list(folders.objects)
    made["outbox"] = folders.outbox
    made["scratch"] = f"{root}/scratch"
    made["attempts"] = folders.attempts
    return made
