"""The dependency layer: tasks, graph, versions, results and order.

Knows nothing of instance types, queues and clouds. The package is callable, since `ems.pipeline` is
also the decorator: Python binds a subpackage to its name in the parent, whatever the parent says.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Decorator(ModuleType):
    def __call__(self, fn: Any = None, /, **options: Any) -> Any:
        """Make a function a pipeline; see `ems.pipeline.pipeline.pipeline`."""
        from ems.pipeline.pipeline import pipeline

        return pipeline(fn, **options)


sys.modules[__name__].__class__ = _Decorator
