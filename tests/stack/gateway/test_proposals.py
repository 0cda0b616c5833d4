from __future__ import annotations

from ems.stack.gateway.proposals import (
    AWS_REKEY_MARGIN_S,
    DPD_TIMEOUT_S,
    MSS,
    MTU,
    PHASE1_LIFETIME_S,
    PHASE2_LIFETIME_S,
    STRONG,
)
from ems.stack.gateway.swanctl import (
    REKEY_PHASE1_S,
    REKEY_PHASE2_S,
    REKEY_SPREAD_S,
    given_up_after_s,
)

# EC2's API, VpnTunnelOptionsSpecification: what may be asked for.
AWS_ENCRYPTION = {"AES128", "AES256", "AES128-GCM-16", "AES256-GCM-16"}
AWS_INTEGRITY = {"SHA1", "SHA2-256", "SHA2-384", "SHA2-512"}
AWS_GROUPS = {2, 5, *range(14, 25)}


def test_what_aws_is_asked_for() -> None:
    assert STRONG.aws_encryption() == ["AES256", "AES256-GCM-16"]
    assert STRONG.aws_integrity() == ["SHA2-384", "SHA2-512"]
    assert STRONG.aws_groups() == [19, 20, 21]
    assert set(STRONG.aws_encryption()) < AWS_ENCRYPTION
    assert set(STRONG.aws_integrity()) < AWS_INTEGRITY
    assert set(STRONG.aws_groups()) < AWS_GROUPS


def test_what_the_gateway_offers() -> None:
    assert STRONG.ike() == [
        "aes256gcm16-prfsha384-prfsha512-ecp384-ecp521-ecp256",
        "aes256-sha384-sha512-ecp384-ecp521-ecp256",
    ]
    assert STRONG.esp() == [
        "aes256gcm16-ecp384-ecp521-ecp256",
        "aes256-sha384-sha512-ecp384-ecp521-ecp256",
    ]


def test_the_gateway_renews_keys_before_aws_would_and_before_they_end() -> None:
    earliest_of_aws = PHASE1_LIFETIME_S - 2 * AWS_REKEY_MARGIN_S
    assert REKEY_PHASE1_S < earliest_of_aws < PHASE1_LIFETIME_S
    assert REKEY_SPREAD_S < REKEY_PHASE2_S < PHASE2_LIFETIME_S - 2 * AWS_REKEY_MARGIN_S


def test_a_silent_end_is_given_up_no_later_than_aws_would() -> None:
    assert 20 < given_up_after_s() < DPD_TIMEOUT_S


def test_segments_fit_the_interfaces() -> None:
    """20 bytes of IP and 20 of TCP; and ESP's own fit a link of 1500, whatever was agreed on."""
    assert MSS == MTU - 20 - 20
    ip, nat_t, esp_header, cbc_iv, padding, next_header, sha512 = 20, 8, 8, 16, 15, 2, 32
    assert MTU + ip + nat_t + esp_header + cbc_iv + padding + next_header + sha512 <= 1500
