"""Code digests (contract 2): what a task reaches in its project, in a normal form.

`Project.of(file).code_of(function, uses, version)` is the way in. `facts` reads one module into
symbols, `reach` follows them across modules, `memo` keeps what was read.
"""

from .manifest import Code
from .notices import CodeWarning
from .project import Project

__all__ = ["Code", "CodeWarning", "Project"]
