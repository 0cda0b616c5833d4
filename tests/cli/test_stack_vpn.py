from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import boto3
import msgspec
import pytest

from ems.stack.outputs import Lab, StackOutputs
from ems.stack.reading import encode
from tests.cli.conftest import call
from tests.stack import conftest as fixtures
from tests.stack.gateway.labs import KEY_ONE, KEY_TWO, outputs

shared_cloud, cloud, aws = fixtures.shared_cloud, fixtures.cloud, fixtures.aws
CONNECTIONS = "etc/swanctl/conf.d/ems-vpn.conf"
KEYS = "etc/swanctl/conf.d/ems-vpn-keys.conf"


def secret_made(value: str) -> str:
    """Make the secret that AWS makes for a connection, and return its ARN."""
    client = boto3.client("secretsmanager", region_name="us-west-2")
    made = client.create_secret(Name="s2svpn!vpn-0123", SecretString=value)
    return str(made["ARN"])


def with_keys(arn: str) -> StackOutputs:
    found = outputs()
    lab = found.labs["robots"]
    vpn = msgspec.structs.replace(lab.sites["oregon"], keys=arn)
    joined = msgspec.structs.replace(lab, sites={"oregon": vpn})
    return msgspec.structs.replace(found, labs={"robots": joined})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_a_folder_with_keys(home: Path, aws: str) -> None:
    arn = secret_made(json.dumps({"203.0.1.1": KEY_ONE, "203.0.1.2": KEY_TWO}))
    (home / "sky.json").write_text(encode(with_keys(arn)))
    told = call(home, "stack", "vpn", "robots", "--stack", "sky.json")
    assert (told.code, told.err) == (0, "")
    assert told.out == (
        f"wrote 11 files for 2 tunnels to robots-gateway; {KEYS} holds the keys, "
        "go on with README.md\n"
    )
    written = home / "robots-gateway"
    assert "if_id_in = 642" in (written / CONNECTIONS).read_text()
    text = (written / KEYS).read_text()
    assert text.index(KEY_ONE) < text.index("203.0.1.2") < text.index(KEY_TWO)
    assert (written / KEYS).stat().st_mode & 0o777 == 0o600


def test_without_keys_no_credentials_are_needed(home: Path) -> None:
    (home / "sky.json").write_text(encode(outputs()))
    (home / ".ems.yaml").write_text("stack: sky.json\n")
    words = ("stack", "vpn", "robots", "--no-keys", "-d", "gw", "--mode", "policy")
    told = call(home, *words)
    assert told.code == 0
    assert told.out == (
        f"wrote 9 files for 2 tunnels to gw; the keys are missing in {KEYS}, go on with README.md\n"
    )
    assert "local_ts = 10.10.0.0/24,10.11.0.0/16" in (home / "gw" / CONNECTIONS).read_text()
    again = call(home, *words)
    assert again.code == 2
    assert again.err == (
        "emsctl: gw: is not empty. Try: emsctl stack vpn robots -d NEW_FOLDER, or -f to replace "
        "what was written before\n"
    )
    assert call(home, *words, "-f").code == 0


BAD = [
    (("robot",), "robot: no such lab (did you mean 'robots'?) (allowed: robots)"),
    (("robots", "--mode", "routed"), "--mode"),
]


@pytest.mark.parametrize(("words", "said"), BAD)
def test_words_that_are_off(home: Path, words: tuple[str, ...], said: str) -> None:
    (home / "sky.json").write_text(encode(outputs()))
    told = call(home, "stack", "vpn", "--stack", "sky.json", *words)
    assert told.code == 2 and said in told.err
    assert [p.name for p in home.iterdir()] == ["sky.json"]


def test_no_connection_yet(home: Path) -> None:
    lab = Lab(address="198.51.100.1", networks=("10.1.0.0/24",), routing="static", asn=1, sites={})
    found = msgspec.structs.replace(outputs(), labs={"robots": lab})
    (home / "sky.json").write_text(encode(found))
    told = call(home, "stack", "vpn", "robots", "--stack", "sky.json")
    assert (told.code, told.err) == (
        1,
        "emsctl: robots: has no VPN connection yet in environment dev. "
        "Try: pulumi up --stack dev\n",
    )


def test_a_secret_that_is_not_there(home: Path, aws: str) -> None:
    (home / "sky.json").write_text(encode(outputs()))
    told = call(home, "stack", "vpn", "robots", "--stack", "sky.json")
    assert told.code == 1
    assert told.err.startswith("emsctl: keys of robots to oregon: the secret is not there (arn:")
    assert told.err.endswith("Try: pulumi refresh, or emsctl stack vpn robots --no-keys\n")
    assert not (home / "robots-gateway").exists()


def ask_after(aws: str, calls: str) -> None:
    """Let moto ask for permissions after so many calls."""
    told = urllib.request.Request(
        f"{aws}/moto-api/reset-auth", calls.encode(), {"Content-Type": "text/plain"}
    )
    urllib.request.urlopen(told).read()


def test_a_secret_that_one_may_not_read(
    home: Path, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """moto asks for permissions only from users of its IAM: one who may do nothing."""
    arn = secret_made("{}")
    iam = boto3.client("iam", region_name="us-west-2")
    iam.create_user(UserName="guest")
    key = iam.create_access_key(UserName="guest")["AccessKey"]
    ask_after(aws, "0")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    (home / "sky.json").write_text(encode(with_keys(arn)))
    try:
        told = call(home, "stack", "vpn", "robots", "--stack", "sky.json")
    finally:
        ask_after(aws, "inf")
    assert told.code == 1
    assert told.err == (
        f"emsctl: keys of robots to oregon: access denied to the secret (needs "
        f"secretsmanager:GetSecretValue on {arn}). Try: another AWS_PROFILE, or "
        "emsctl stack vpn robots --no-keys\n"
    )


def test_no_credentials(home: Path, aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (home / "sky.json").write_text(encode(outputs()))
    told = call(home, "stack", "vpn", "robots", "--stack", "sky.json")
    assert told.code == 1 and "no AWS credentials were found" in told.err
