"""Tags by short names: `tagging.listed`, `tagging.mapped`, `tagging.changed`; see `forms`."""

from tests.rigs.sky.kinds.forms import tag_changes as changed
from tests.rigs.sky.kinds.forms import tag_list as listed
from tests.rigs.sky.kinds.forms import tag_map as mapped

__all__ = ["changed", "listed", "mapped"]
