"""Runs N empty pods by the batch API and its own client, and asks until all of them succeeded.

KUBECONFIG NAMESPACE IMAGE FOLDER ROOT COMMAND each|indexed N
"""

import os
import sys
import time
from typing import Any

from kubernetes import client, config  # pyright: ignore[reportMissingTypeStubs]

_LOOK_S = 0.2


def _job(name: str, n: int, image: str, folder: str, root: str, command: str) -> dict[str, Any]:
    container = {
        "name": "main", "image": image, "command": [command], "imagePullPolicy": "Never",
        "volumeMounts": [{"name": "ems", "mountPath": root}],
        "resources": {"requests": {"cpu": "1"}},
    }  # fmt: skip
    pod = {
        "restartPolicy": "Never", "containers": [container],
        "volumes": [{"name": "ems", "hostPath": {"path": folder}}],
    }  # fmt: skip
    spec: dict[str, Any] = {"template": {"spec": pod}, "backoffLimit": 0}
    if n > 1:
        spec |= {"completions": n, "parallelism": n, "completionMode": "Indexed"}
    return {"metadata": {"name": name, "labels": {"bench": "bare"}}, "spec": spec}


def main() -> None:
    file, namespace, image, folder, root, command, way, number = sys.argv[1:]
    n = int(number)
    config.load_kube_config(file)  # pyright: ignore[reportUnknownMemberType]
    batch: Any = client.BatchV1Api()
    name = f"bare-{os.getpid()}"
    groups = [n] if way == "indexed" else [1] * n
    for at, size in enumerate(groups):
        made = _job(f"{name}-{at}", size, image, folder, root, command)
        batch.create_namespaced_job(namespace, made)
    done = 0
    while done < n:
        time.sleep(_LOOK_S)
        jobs = batch.list_namespaced_job(namespace, label_selector="bench=bare").items
        done = sum(each.status.succeeded or 0 for each in jobs)
        assert not any(each.status.failed for each in jobs), "a pod failed"
    for at in range(len(groups)):
        batch.delete_namespaced_job(f"{name}-{at}", namespace, propagation_policy="Background")


if __name__ == "__main__":
    main()
