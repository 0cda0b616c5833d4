"""The places that the computation layer is measured at, each real and with its bare ways."""

from __future__ import annotations

from bench.places.batch import BATCH
from bench.places.clusters import KUBERNETES, RAY, SLURM
from bench.places.ground import Place
from bench.places.processes import LOCAL, SSH

PLACES: tuple[Place, ...] = (LOCAL, SSH, SLURM, KUBERNETES, RAY, BATCH)
