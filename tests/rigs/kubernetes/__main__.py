"""`python -m tests.rigs.kubernetes up FOLDER`: see `cluster.main`."""

import sys

from tests.rigs.kubernetes.cluster import main

sys.exit(main(sys.argv[1:]))
