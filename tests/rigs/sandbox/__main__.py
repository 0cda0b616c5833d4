"""`python -m tests.rigs.sandbox up|status|env|down [--folder DIR]`: a whole sky on this machine."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

from ems.stack import ssm
from ems.stack.outputs import StackOutputs
from tests.rigs.sandbox import deploying, parts
from tests.rigs.sandbox.parts import Failure
from tests.rigs.sandbox.place import STACK, Place, alone, shown
from tests.rigs.sandbox.surroundings import REGION, shell
from tests.rigs.sky import install
from tests.rigs.sky.clients import Clients

_MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"digest": f"sha256:{0:064}"},
        "layers": [],
    }
)


def up(place: Place) -> None:
    """Bring the sky up, or up to date; what is not whole is begun anew."""
    begun = time.monotonic()
    _engine()
    with alone(place):
        _begin_anew_if(place, _why_anew(place))
        endpoint, cluster = _parts(place)
        deploying.copy(place)
        since = time.monotonic()
        fresh = "" if deploying.resources(place) else " (half a minute)"
        _say(f"deploying the environment{fresh}; the engine's own words: {shown(place.log('up'))}")
        deploying.deploy(place, endpoint, clusters=cluster)
        _images(endpoint)
        _say(f"{deploying.resources(place)} resources in {_since(since)}, {_since(begun)} in all")
        _tell(place, endpoint)
    print(
        "\nnext:\n"
        '  eval "$(make -s sandbox-env)"\n'
        f"  emsctl stack use ssm:{REGION}/{STACK}\n"
        "  emsctl stack show\n"
        "and a pipeline there: docs/how-to/pipeline-on-batch.md"
    )


def down(place: Place) -> None:
    """End every process of the sky, and remove it."""
    ended = parts.end(place)
    if place.folder.exists():
        with alone(place):
            ended += parts.end(place)
            shutil.rmtree(place.folder)
        _say(f"{ended} processes ended, {shown(place.folder)} removed")
    else:
        gone = f"{ended} processes ended; there was no {shown(place.folder)}"
        _say(gone if ended else "there is none")


def status(place: Place) -> None:
    """Say what stands; Failure where nothing does."""
    endpoint = _endpoint(place)
    of_cluster = "runs" if parts.cluster_runs(place) else "none"
    _say(f"moto at {endpoint}; cluster: {of_cluster}; {deploying.resources(place)} resources")
    _tell(place, endpoint)


def env(place: Place) -> None:
    """Print the commands that bring a shell inside."""
    print("\n".join(shell(place, _endpoint(place), os.environ)))


def _engine() -> None:
    """Build the engine if it is not here."""
    if packages := install.missing():
        if "package" in packages:
            raise Failure(f"{packages}. Try: make test, which installs what is pinned")
        _say("the Pulumi engine is not here yet: building it takes about four minutes, once")
        install.install()
        install._on_path.cache_clear()


def _why_anew(place: Place) -> str:
    """Say why what is there can't be gone on with; empty where it can, or where nothing is."""
    if at_work := parts.running(place, "work"):
        _say(f"an earlier `up` is still at work ({parts.numbered(at_work)}); waiting for its end")
        if not parts.ended(place, "work", 300):
            return "an earlier `up` did not end"
    if not deploying.resources(place) and not parts.running(place):
        return ""
    if not parts.endpoint(place):
        if not deploying.resources(place):
            return "an earlier `up` did not get far"
        return "the moto server is gone, and with it all that was made"
    if place.cluster.exists() and not parts.cluster_runs(place):
        return "the cluster is gone, or was not finished"
    return deploying.abandoned(place)


def _begin_anew_if(place: Place, why: str) -> None:
    if why:
        _say(f"{why}: beginning anew")
    if why or not parts.running(place):
        parts.end(place)
        place.clear()


def _parts(place: Place) -> tuple[str, bool]:
    """Start what does not run yet; return the cloud's address, and whether there is a cluster."""
    begun = time.monotonic()
    starting = None
    lacking = parts.no_cluster(place)
    if not lacking and not parts.cluster_runs(place):
        starting = parts.start_cluster(place)
    endpoint = parts.endpoint(place)
    if endpoint:
        _say(f"moto runs at {endpoint}")
    else:
        endpoint = parts.start_cloud(place)
        _say(f"moto at {endpoint} ({_since(begun)})")
    if starting:
        parts.finish_cluster(place, starting)
        _say(f"a Kubernetes API server for the cluster ({_since(begun)})")
    elif lacking:
        _say(f"left out, what goes through the Kubernetes API: {lacking}")
    return endpoint, not lacking


def _endpoint(place: Place) -> str:
    endpoint = parts.endpoint(place)
    if not endpoint:
        raise Failure("it does not run. Try: make sandbox")
    return endpoint


def _tell(place: Place, endpoint: str) -> None:
    stands = _outputs(endpoint)
    print()
    for name, site in stands.sites.items():
        queues = ", ".join(site.batch.queues) if site.batch else "none"
        cluster = f"; cluster {site.kubernetes.cluster}" if site.kubernetes else ""
        print(f"  {name:9} {site.region:11} queues: {queues}{cluster}")
    for name, lab in stands.labs.items():
        print(f"  {name:9} {'a lab':11} VPN to {', '.join(lab.sites)}")


def _images(endpoint: str) -> None:
    """Let every site's repository for jobs have an image, whose content nobody looks at."""
    for site in _outputs(endpoint).sites.values():
        client = Clients(endpoint)("ecr", site.region)
        for address in site.images.repositories.values():
            name = address.partition("/")[2]
            with contextlib.suppress(client.exceptions.ImageAlreadyExistsException):
                client.put_image(repositoryName=name, imageManifest=_MANIFEST, imageTag=STACK)


def _outputs(endpoint: str) -> StackOutputs:
    return ssm.read(Clients(endpoint)("ssm", REGION), REGION, STACK).outputs


def _since(begun: float) -> str:
    return f"{time.monotonic() - begun:.1f} s"


def _say(text: str) -> None:
    print(f"sandbox: {text}", flush=True)


def main() -> int:
    """Run one command; what goes wrong is said in a few lines."""
    commands = {"up": up, "status": status, "env": env, "down": down}
    parser = argparse.ArgumentParser(prog="python -m tests.rigs.sandbox", description=__doc__)
    parser.add_argument("command", choices=commands)
    parser.add_argument("--folder", type=Path, help="where it lies; by default .sandbox")
    options = parser.parse_args()
    place = Place(options.folder.resolve()) if options.folder else Place()
    try:
        commands[options.command](place)
    except Failure as failure:
        print(f"sandbox: {failure}", file=sys.stderr)
        return 1
    except OSError as error:
        path = shown(Path(error.filename or place.folder))
        why = "is not a folder" if isinstance(error, FileExistsError) else error.strerror or error
        print(f"sandbox: {path}: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("sandbox: interrupted. Try: make sandbox, which goes on from there", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
