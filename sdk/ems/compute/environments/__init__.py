"""Environments at places without containers: asked for, made there once, removed by gc.

`Built` is what a backend asks which Python starts a job; `tidy` is what gc asks.
"""

from .built import Built
from .front import Front
from .tidying import Tidied, Tidy, tidy

__all__ = ["Built", "Front", "Tidied", "Tidy", "tidy"]
