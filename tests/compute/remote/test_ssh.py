"""ssh as EMS uses it: against a real server, and against none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ems.compute.remote.order import PlaceError, Unreachable
from ems.compute.remote.ssh import SshLink
from ems.errors import EmsError
from tests.rigs import rig
from tests.rigs.sshd import Host

pytestmark = rig("sshd")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with Host(tmp_path_factory.mktemp("ssh") / "host") as made:
        yield made


@pytest.fixture
def link(host: Host) -> Iterator[SshLink]:
    made = SshLink(host.name, host.options)
    yield made
    made.close()


def test_bytes_words_and_exit_codes_go_through(link: SshLink) -> None:
    data = bytes(range(256)) * 4096
    assert link.run(["cat"], data) == (0, data, b"")
    words = ["a b", "", "'", '"', "$HOME", "*", "ünï", "a\nb", "\\"]
    done = link.run(["printf", "%s|", *words])
    assert done.out.decode() == "".join(f"{word}|" for word in words)
    done = link.run(["sh", "-c", "echo no >&2; exit 7"])
    assert (done.code, done.said()) == (7, "no")
    assert link.run(["sh", "-c", "echo ours >&2; exit 255"]).code == 255


def test_a_command_that_is_not_there(link: SshLink) -> None:
    with pytest.raises(PlaceError, match=r"squeak: is not installed on robot"):
        link.run(["squeak", "--version"])


def test_many_commands_share_a_connection(host: Host, link: SshLink) -> None:
    link.run(["true"])
    with ThreadPoolExecutor(8) as threads:
        parents = set(threads.map(lambda _: link.run(["sh", "-c", "echo $PPID"]).out, range(16)))
    clients = host.host.sh("ps -eo args | grep -c '[s]shd: root@notty' || true")
    assert int(clients) == 1
    assert len(parents) == 1


def test_closing_leaves_nothing(host: Host) -> None:
    link = SshLink(host.name, host.options)
    link.run(["true"])
    folder = Path(next(word for word in link.command([]) if "ControlPath" in word).split("=")[1])
    assert folder.exists()
    assert folder.parent.stat().st_mode & 0o077 == 0
    link.close()
    assert not folder.parent.exists()
    assert _connections(host) == 0


def _connections(host: Host) -> int:
    until = time.monotonic() + 5
    while (count := int(host.host.sh("ps -eo args | grep -c '[s]shd: root@' || true"))) > 0:
        if time.monotonic() > until:
            return count
        time.sleep(0.05)
    return 0


def test_a_login_that_is_refused_says_what_to_try(host: Host) -> None:
    options = [each for each in host.options if not each.startswith("IdentityFile")]
    error = _error(host.name, [*options, "IdentityFile=/dev/null"])
    assert type(error) is EmsError
    assert str(error) == (
        "robot: refuses the login: root@robot: Permission denied (publickey). "
        "Try: ssh-copy-id robot, or ssh robot"
    )


def test_an_unknown_host_key_and_one_that_changed(host: Host, tmp_path: Path) -> None:
    options = [each for each in host.options if not each.startswith("UserKnown")]
    error = _error(host.name, [*options, "UserKnownHostsFile=/dev/null"])
    assert type(error) is EmsError
    assert "host key is not known here. Try: ssh robot, or ssh-keyscan robot >>" in str(error)
    other = (host.folder / "key.pub").read_text().split()
    (tmp_path / "known").write_text(f"robot {other[0]} {other[1]}\n")
    error = _error(host.name, [*options, f"UserKnownHostsFile={tmp_path}/known"])
    assert type(error) is EmsError
    assert "ssh-keygen -R robot" in str(error)


def test_what_can_be_tried_again_later_is_unreachable() -> None:
    error = _error("nowhere.invalid", [])
    assert isinstance(error, Unreachable)
    assert "no address is known" in str(error)
    error = _error("127.0.0.1", ["Port=1"])
    assert isinstance(error, Unreachable)
    assert "Connection refused" in str(error)


def test_settings_that_ssh_can_not_read() -> None:
    error = _error("127.0.0.1", ["Prot=1"])
    assert not isinstance(error, Unreachable)
    assert "Bad configuration option: prot" in str(error)


@pytest.mark.parametrize("host", ["", "-oProxyCommand=x", "a b"])
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(EmsError, match="is no host"):
        SshLink(host)


def test_a_place_that_does_not_answer_in_time(link: SshLink) -> None:
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"did not answer within 0.5 s"):
        link.run(["sleep", "20"], timeout_s=0.5)
    assert time.monotonic() - began < 15
    assert link.run(["echo", "again"]).out == b"again\n"


def test_a_cut_cable_is_noticed_and_a_joined_one_used_again(host: Host, link: SshLink) -> None:
    link.run(["true"])
    host.cut()
    try:
        began = time.monotonic()
        with pytest.raises(Unreachable):
            link.run(["true"])
        assert time.monotonic() - began < 12
    finally:
        host.mend()
    assert link.run(["echo", "again"]).out == b"again\n"


def _error(host: str, options: list[str]) -> EmsError:
    link = SshLink(host, options)
    with pytest.raises(EmsError) as caught:
        link.run(["true"])
    link.close()
    return caught.value
