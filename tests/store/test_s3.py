"""S3: conditional puts that race, what is denied or missing, where settings come from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ems.errors import StoreError, UsageError
from ems.store import s3
from ems.store.root import open_root
from ems.store.s3 import profile

_RACER = """
import sys
from ems.store.root import open_root
root = open_root(sys.argv[1], create=True)
print(sum(root.put_new(f"log/{n:03}", sys.argv[2].encode()) for n in range(60)))
"""


def test_of_two_processes_one_creates_each_key(s3_url: str) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _RACER, s3_url, name], stdout=subprocess.PIPE, text=True
        )
        for name in "ab"
    ]
    won = [int(racer.communicate()[0]) for racer in racers]
    assert sum(won) == 60
    root = open_root(s3_url, create=False)
    owners = [root.get(s.key) for s in root.list("log/")]
    assert [owners.count(b"a"), owners.count(b"b")] == won


def test_a_bucket_that_is_not_there(s3_server: str) -> None:
    root = open_root("s3://nowhere/x", create=True)
    for act in (
        lambda: root.get("a"),
        lambda: root.put("a", b""),
        lambda: root.put_new("a", b""),
        lambda: list(root.list("log/")),
    ):
        with pytest.raises(StoreError, match="no such bucket"):
            act()


def test_a_url_without_a_bucket() -> None:
    with pytest.raises(UsageError, match="names no bucket"):
        open_root("s3://", create=True)


def test_a_server_that_does_not_answer(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setitem(s3._RETRY_S, "first", 0)
    with pytest.raises(StoreError, match="s3://lab/x"):
        open_root("s3://lab/x", create=True).get("a")


def test_settings_of_a_profile(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = a\n[lab]\naws_access_key_id = b\n"
        "aws_secret_access_key = c%d\n"
    )
    (tmp_path / "config").write_text("[default]\nregion = x\n[profile lab]\nregion = y\n")
    assert profile({}, tmp_path) == {"access_key_id": "a", "region": "x"}
    assert profile({"AWS_PROFILE": "lab"}, tmp_path) == {
        "access_key_id": "b",
        "secret_access_key": "c%d",
        "region": "y",
    }
    own = {"AWS_ACCESS_KEY_ID": "k", "AWS_REGION": "r", "AWS_ENDPOINT_URL_S3": "http://s3"}
    assert profile(own, tmp_path) == {"endpoint": "http://s3"}
    assert profile({}, tmp_path / "none") == {}


def test_a_broken_profile_is_named(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("nonsense")
    with pytest.raises(UsageError, match="credentials"):
        profile({}, tmp_path)
