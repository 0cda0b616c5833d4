"""Names, regions and tags as the real provider fills them in; and that nothing else is asked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rigs.sky import names, sample
from tests.rigs.sky.clients import Clients
from tests.rigs.sky.names import Provider
from tests.rigs.sky.wire import DEFAULTS, UNKNOWN, pack, unpack

QUEUE = sample.KINDS[0]
EAST = Provider(region="us-east-1", tags={"env": "dev", "by": "us"})


def fill(inputs: dict[str, Any], old: dict[str, Any] | None = None, seed: bytes = b"1") -> Any:
    return names.fill(QUEUE, inputs, old or {}, "jobs", seed, EAST)


def test_a_name_comes_from_the_seed_and_is_kept() -> None:
    first = fill({})
    assert first["name"].startswith("jobs-") and first[DEFAULTS] == ["name"]
    assert fill({})["name"] == first["name"] != fill({}, seed=b"2")["name"]
    assert fill({}, first, seed=b"2")["name"] == first["name"]


def test_a_name_that_a_program_gave_is_not_kept() -> None:
    given = fill({"name": "mine"})
    assert DEFAULTS not in given
    assert fill({}, given)["name"] != "mine"


def test_only_a_name_that_a_program_gave_collides() -> None:
    own, given = fill({}), fill({"name": "mine"})
    assert not names.would_collide(QUEUE, own, own)
    assert names.would_collide(QUEUE, given, {**given, "fifoQueue": True})
    assert not names.would_collide(QUEUE, given, {**given, "name": "other"})
    assert not names.would_collide(QUEUE, given, {**given, "region": "us-west-2"})


def test_a_prefix_is_ended_when_the_thing_is_made() -> None:
    inputs = fill({"namePrefix": "p-"})
    assert "name" not in inputs
    assert names.from_prefix(QUEUE, inputs, "x")["name"] == "p-x"
    assert names.from_prefix(QUEUE, fill({"name": "n"}), "x")["name"] == "n"


def test_the_region_is_the_provider_s_unless_given() -> None:
    assert fill({})["region"] == "us-east-1"
    assert fill({"region": "eu-west-1"})["region"] == "eu-west-1"


def test_tags_of_the_provider_are_told_apart_from_the_resource_s() -> None:
    inputs = fill({"tags": {"by": "me", "a": "b"}})
    assert inputs["tagsAll"] == {"env": "dev", "by": "me", "a": "b"}
    assert names.seen(inputs)["tags"] == inputs["tagsAll"]
    found = names.told_apart({"tags": inputs["tagsAll"]}, inputs, EAST, QUEUE)
    assert (found["tags"], found["tagsAll"]) == (inputs["tags"], inputs["tagsAll"])
    # the same key and value as the provider's, said by the resource too, is the resource's
    twice = fill({"tags": {"env": "dev"}})
    assert names.told_apart({"tags": twice["tagsAll"]}, twice, EAST, QUEUE)["tags"] == {
        "env": "dev"
    }
    assert fill({"tags": {"a": UNKNOWN}})["tagsAll"] == UNKNOWN


def test_settings_of_the_provider_come_as_documents() -> None:
    read = names.settings(
        {"region": "eu-west-1", "defaultTags": '{"tags": {"a": "b"}}', "allowedAccountIds": '["1"]'}
    )
    assert read == Provider("eu-west-1", {"a": "b"}, ("1",))
    with pytest.raises(PermissionError, match="AWS account ID not allowed: 2"):
        read.refuse("2")
    Provider(forbidden=("2",)).refuse("1")
    with pytest.raises(PermissionError):
        Provider(forbidden=("2",)).refuse("2")


def test_secrets_are_marked_for_the_state_and_opened_again() -> None:
    packed = pack({"key": "k", "plain": 1}, ("key",))
    assert "4dabf18193072939515e22adb298388d" in packed["key"]  # pyright: ignore
    assert unpack(packed) == {"key": "k", "plain": 1}


@pytest.mark.parametrize("endpoint", ["https://ec2.us-east-1.amazonaws.com", "http://10.0.0.1", ""])
def test_nothing_but_this_machine_is_asked(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with pytest.raises(RuntimeError, match="allowed: a moto server on this machine"):
        Clients(endpoint)
