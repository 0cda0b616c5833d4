from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.errors import UsageError
from ems.stack.gateway import folder
from ems.stack.gateway.plan import MODES, Mode
from tests.stack.gateway.labs import KEY_ONE, KEY_TWO, gateway, places

KEYS = {"203.0.1.1": KEY_ONE, "203.0.1.2": KEY_TWO}
Kind = tuple[Mode, Literal["static", "bgp"]]
KINDS: list[Kind] = [("route", "static"), ("route", "bgp"), ("policy", "static")]


@pytest.mark.parametrize(("mode", "routing"), KINDS)
def test_which_files_there_are(mode: Mode, routing: Literal["static", "bgp"]) -> None:
    found = set(folder.files(gateway(routing=routing), mode, KEYS))
    common = {
        folder.CONNECTIONS, folder.KEYS, folder.DAEMON, folder.SYSCTL, folder.FIREWALL,
        folder.KEEP, folder.UNIT, folder.README, folder.IGNORE,
    }  # fmt: skip
    own = {
        ("route", "static"): {folder.TUNNELS, folder.ROUTES},
        ("route", "bgp"): {folder.TUNNELS, folder.FRR},
        ("policy", "static"): set[str](),
    }[mode, routing]
    assert found == common | own
    assert found <= set(folder.ALL)


@given(places(), st.sampled_from(KINDS))
def test_keys_are_in_one_file_alone(sites: dict[str, int], kind: Kind) -> None:
    mode, routing = kind
    planned = gateway(sites, routing)
    keys = {tunnel.remote: f"Key.of_{n:03}_x" for n, tunnel in enumerate(planned.tunnels)}
    found = folder.files(planned, mode, keys)
    for path, file in found.items():
        held = [key for key in keys.values() if key in file.text]
        assert held == (list(keys.values()) if path == folder.KEYS else [])
    assert found[folder.KEYS].mode == 0o600


@given(places(), st.sampled_from(KINDS))
def test_without_keys_their_place_is_named_and_nothing_stands_for_them(
    sites: dict[str, int], kind: Kind
) -> None:
    mode, routing = kind
    planned = gateway(sites, routing)
    text = folder.files(planned, mode, {})[folder.KEYS].text
    assert all(arn in text for arn in planned.keys.values())
    bare = [line.strip() for line in text.splitlines() if not line.strip().startswith("#")]
    assert bare == ["secrets {", "}"]


@given(places(), st.sampled_from(KINDS))
def test_every_tunnel_is_in_every_file_that_is_about_tunnels(
    sites: dict[str, int], kind: Kind
) -> None:
    mode, routing = kind
    planned = gateway(sites, routing)
    found = folder.files(planned, mode, {})
    for tunnel in planned.tunnels:
        assert f"remote_addrs = {tunnel.remote}\n" in found[folder.CONNECTIONS].text
        assert f"| {tunnel.remote} |" in found[folder.README].text
        if mode == "route":
            line = f"interface {tunnel.interface} {tunnel.if_id} {tunnel.inside} "
            assert line in found[folder.TUNNELS].text
            assert f"if_id_out = {tunnel.if_id}\n" in found[folder.CONNECTIONS].text
        if routing == "bgp":
            assert f"neighbor {tunnel.neighbor} remote-as {tunnel.site_asn}\n" in (
                found[folder.FRR].text
            )


@pytest.mark.parametrize(("mode", "routing"), KINDS)
def test_scripts_are_for_a_plain_shell(
    tmp_path: Path, mode: Mode, routing: Literal["static", "bgp"]
) -> None:
    found = folder.files(gateway({"oregon": 1, "ohio": 2}, routing), mode, KEYS)
    folder.write(tmp_path, found)
    scripts = [path for path, file in found.items() if file.text.startswith("#!")]
    assert len(scripts) == (1 if mode == "policy" else 3 if routing == "static" else 2)
    for path in scripts:
        subprocess.run(["sh", "-n", tmp_path / path], check=True)
        assert os.access(tmp_path / path, os.X_OK)


def test_nobody_else_can_read_the_keys(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder.write(tmp_path / "new", folder.files(gateway(), "route", KEYS))
    finally:
        os.umask(before)
    assert (tmp_path / "new" / folder.KEYS).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new" / folder.CONNECTIONS).stat().st_mode & 0o777 == 0o644


def test_written_again_nothing_of_another_mode_is_left(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for mode in MODES:
        found = folder.files(gateway(), mode, KEYS)
        folder.write(tmp_path, found)
        there = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
        assert there == {*found, "notes.txt"}


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    folder.refuse_full(tmp_path, "robots")
    folder.refuse_full(tmp_path / "new", "robots")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match=r"is not empty. Try: emsctl stack vpn robots -d NEW"):
        folder.refuse_full(tmp_path, "robots")
    with pytest.raises(UsageError, match="is no folder"):
        folder.refuse_full(tmp_path / "file", "robots")
