from __future__ import annotations

import json

from infra.settings import schema
from infra.settings.types import Environment


def test_the_reference_is_up_to_date() -> None:
    """Run `python -m infra.settings.schema` where it is not."""
    assert schema.PAGE.read_text() == schema.page()
    assert schema.SCHEMA.read_text() == schema.schema()


def test_every_key_has_a_sentence() -> None:
    for line in schema.page().splitlines():
        assert not line.endswith("| | |")
        if line.startswith("| `"):
            assert line.count(" | ") == 3, line


def test_the_schema_has_every_key() -> None:
    config = json.loads(schema.schema())["properties"]["config"]
    assert set(config["properties"]) == {f"ems:{key}" for key in Environment.__struct_fields__}
    assert config["required"] == ["ems:accounts", "ems:sites"]
