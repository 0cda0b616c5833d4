"""Which word says why a version failed, and with which exit code.

Knows the errors of the worker's parts and Python's own. The words are those of the protocol.
"""

from __future__ import annotations

from .command import TemplateError
from .context import Canceled
from .guard import ForbiddenImport
from .inputs import InputChanged, InputMissing
from .outputs import OutputMissing, OutsideScratch
from .peers import Moved, NobodyCame
from .program import ProgramFailed
from .values import Unkept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

_REASONS = (
    (Canceled, "canceled"),
    (Unkept, "unkept"),
    (InputChanged, "input_changed"),
    (InputMissing, "input_missing"),
    (OutputMissing, "output_missing"),
    (OutsideScratch, "outside_scratch"),
    (SystemExit, "exit"),
    (MemoryError, "out_of_memory"),
    (ForbiddenImport, "import"),
    (NobodyCame, "no_capacity"),
    (Moved, "preempted"),
)
OURS = (
    Unkept,
    InputChanged,
    InputMissing,
    OutputMissing,
    OutsideScratch,
    ProgramFailed,
    TemplateError,
    NobodyCame,
    Moved,
)


def word_for(error: BaseException) -> str:
    """Return the word for why an error ended a version."""
    for kind, word in _REASONS:
        if isinstance(error, kind):
            return word
    if isinstance(error, ProgramFailed):
        return "exit" if error.signal is None else "signal"
    return "import" if getattr(error, "ems_import", False) else "exception"


def exit_code(error: BaseException) -> Optional[int]:
    """Return the exit code that goes with an error, or None."""
    if isinstance(error, ProgramFailed):
        return error.exit
    if not isinstance(error, SystemExit):
        return None
    if error.code is None:
        return 0
    return error.code if isinstance(error.code, int) else 1
