from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.errors import EmsError
from ems.stack.gateway.keys import keys_of
from tests.stack.gateway.labs import KEY_ONE, KEY_TWO, arn

ONE, TWO = "203.0.113.11", "203.0.113.12"
FORMS: list[Any] = [
    {ONE: KEY_ONE, TWO: KEY_TWO},
    {"vpnConnectionId": "vpn-1", ONE: {"psk": KEY_ONE}, TWO: {"psk": KEY_TWO}},
    {"tunnels": [{"address": TWO, "preSharedKey": KEY_TWO}, {"address": ONE, "PSK": KEY_ONE}]},
    [{"outside": ONE, "secret": KEY_ONE}, {"outside": TWO, "secret": KEY_TWO}],
]


@pytest.mark.parametrize("form", FORMS)
def test_each_key_by_its_tunnels_address(form: Any) -> None:
    assert keys_of(json.dumps(form), [ONE, TWO], arn("oregon")) == {ONE: KEY_ONE, TWO: KEY_TWO}


OFF: list[tuple[str, str]] = [
    ("Key_of_both_tunnels", "is no JSON"),
    (json.dumps({ONE: KEY_ONE}), f"has no key for {TWO} (it has {ONE})"),
    (json.dumps([KEY_ONE]), f"has no key for {ONE} (it has a list)"),
    (json.dumps({ONE: "short", TWO: KEY_TWO}), f"has no key of AWS's form for {ONE}"),
    (json.dumps({ONE: 'x"\n}\nattack', TWO: KEY_TWO}), f"has no key of AWS's form for {ONE}"),
]


@pytest.mark.parametrize(("secret", "said"), OFF)
def test_a_secret_that_can_not_be_read(secret: str, said: str) -> None:
    with pytest.raises(EmsError) as found:
        keys_of(secret, [ONE, TWO], arn("oregon"))
    assert str(found.value).startswith(f"{arn('oregon')}: the secret {said}")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


@given(json_values)
def test_whatever_a_secret_holds_no_value_is_shown(document: Any) -> None:
    hidden = {"deep": [document, {"psk": "Very.Secret_value"}]}
    with pytest.raises(EmsError) as found:
        keys_of(json.dumps(hidden), [ONE], arn("oregon"))
    assert "Very" not in str(found.value)
