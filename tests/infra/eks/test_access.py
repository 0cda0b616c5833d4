"""Who administers a cluster, and who may not deploy one."""

from __future__ import annotations

from typing import Any

import pytest

from infra.eks.access import administrators, check_deployer
from infra.settings.fault import SettingsError
from infra.settings.reading import read
from tests.infra.settings.good import varied

CI = "arn:aws:iam::111122223333:role/ci"
ENGINEER = "arn:aws:iam::111122223333:user/team/engineer"
ADMINS = "sites.oregon.kubernetes.admins"


def _check(deployer: str, *changes: tuple[str, Any]) -> None:
    check_deployer(read(varied(*changes), "dev"), deployer)


def test_who_deploys_in_turn_takes_nobodys_place() -> None:
    assert administrators((CI, ENGINEER), CI) == administrators((CI, ENGINEER), ENGINEER)


def test_with_nobody_named_the_one_that_deploys_gets_in() -> None:
    assert administrators((), CI) == (CI,)
    _check(CI)


def test_one_that_is_named_may_deploy() -> None:
    _check(CI, (ADMINS, [CI, ENGINEER]))
    _check(ENGINEER, (ADMINS, [CI, ENGINEER]))


def test_one_that_could_not_enter_its_clusters_is_refused() -> None:
    other = "arn:aws:iam::111122223333:role/other"
    with pytest.raises(SettingsError) as refused:
        _check(other, (ADMINS, [CI]))
    said = str(refused.value)
    assert f"ems:sites.oregon.kubernetes.admins: {other} deploys" in said
    assert f"(allowed: {CI})" in said
    assert "nothing was changed" in said


def test_without_a_cluster_anybody_may_deploy() -> None:
    _check(CI, ("sites.oregon.kubernetes", None))
