"""The graph that is being written down in this process, if any.

One at a time: a pipeline's body runs in one thread. Tasks read it on every call, so it is a plain
module variable and not a context variable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ems.pipeline.graph import Graph

graph: Graph | None = None
