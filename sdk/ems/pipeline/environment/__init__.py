"""What code runs in (contract 3): declared, hashed as far as code reaches, verified there.

`Environment.of(project, declared).parts(packages)` is the way in.
"""

from .environment import Environment

__all__ = ["Environment"]
