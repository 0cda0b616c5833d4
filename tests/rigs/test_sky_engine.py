"""The real engine on the provider's stand-in: a program's life shows the stand-in's own bugs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.rigs import rig
from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.engine import Engine, EngineError
from tests.rigs.sky.faults import Fault
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud
from tests.rigs.sky.left import left
from tests.rigs.sky.project import Project

__all__ = ["cloud", "engine", "shared_cloud"]
pytestmark = rig("pulumi")
SAMPLE = {"SKY_KINDS": "tests.rigs.sky.sample"}
REGION = "eu-central-1"


def program() -> None:
    import json

    import pulumi
    import pulumi_aws as aws

    config = pulumi.Config()
    west = aws.Provider("west", region="eu-central-1", **config.get_object("provider", {}))
    here = pulumi.ResourceOptions(provider=west)
    queue = aws.sqs.Queue("jobs", opts=here, **config.get_object("queue", {}))

    def document(arn: str) -> str:
        statement = {"Effect": "Allow", "Principal": "*", "Action": ["sqs:*"], "Resource": arn}
        return json.dumps({"Statement": [statement]})

    aws.sqs.QueuePolicy("rule", queue_url=queue.url, policy=queue.arn.apply(document), opts=here)
    aws.sqs.RedrivePolicy("again", queue_url=queue.url, redrive_policy="{}", opts=here)
    pulumi.export("url", queue.url)
    pulumi.export("tags", queue.tags_all)
    pulumi.export("key", config.get_secret("key"))


def queues(cloud: Cloud, region: str = REGION) -> list[str]:
    urls = cloud.client("sqs", region).list_queues().get("QueueUrls", [])
    return sorted(url.rsplit("/", 1)[-1] for url in urls)


def attributes(cloud: Cloud, region: str = REGION) -> dict[str, str]:
    client = cloud.client("sqs", region)
    (url,) = client.list_queues()["QueueUrls"]
    return client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


def start(engine: Start, **settings: Any) -> Engine:
    return engine(program, config=settings, environment=SAMPLE)


def test_a_life(engine: Start, cloud: Cloud) -> None:
    it = start(engine)
    assert it.preview().names("create") == ["again", "jobs", "rule"]
    assert queues(cloud) == []
    assert it.up().names("create") == ["again", "jobs", "rule"]
    (name,) = queues(cloud)
    assert re.fullmatch(r"jobs-[0-9a-f]{7}", name)
    it.nothing_to_do()

    it.configure({"queue": {"visibility_timeout_seconds": 60, "tags": {"a": "b"}}})
    changed = ("tags", "tagsAll.a", "visibilityTimeoutSeconds")
    planned, done = it.preview(), it.up()
    for result in (planned, done):
        assert result.names("update") == ["jobs"]
        assert result.step("jobs").changed == changed
        assert result.names("create", "replace", "delete") == []
    assert queues(cloud) == [name]
    assert attributes(cloud)["VisibilityTimeout"] == "60"

    it.configure({"queue": None})
    assert it.up().names("update") == ["jobs"]
    assert attributes(cloud)["VisibilityTimeout"] == "30"

    assert it.destroy().names("delete") == ["again", "jobs", "rule"]
    assert queues(cloud) == []
    assert it.resources() == []


def test_only_what_must_is_replaced(engine: Start, cloud: Cloud) -> None:
    it = start(engine)
    it.up()
    before = queues(cloud)
    it.configure({"queue": {"name": "fixed"}})
    planned, done = it.preview(), it.up()
    for result in (planned, done):
        assert result.names("replace") == ["again", "jobs", "rule"]
        assert result.step("jobs").replacing == ("name",)
        assert result.step("rule").replacing == ("queueUrl",)
    assert queues(cloud) == ["fixed"] != before
    # the new one can't have the old one's name beside it
    it.configure({"queue": {"name": "fixed", "delay_seconds": 5}})
    assert it.up().names("update") == ["jobs"]


def repository() -> None:
    import pulumi
    import pulumi_aws as aws

    aws.ecr.Repository("images", **pulumi.Config().require_object("repository"))


def order(it: Engine, name: str) -> list[str]:
    """What was done to one resource, in this order."""
    done = [e.op for e in it.journal() if e.name == name and e.when == "done" and e.op != "read"]
    return list(done)


def test_a_fixed_name_is_deleted_before_it_is_made_again(engine: Start) -> None:
    kept = {"name": "fixed", "encryption_configurations": [{"encryption_type": "AES256"}]}
    it = engine(repository, config={"aws:region": REGION, "repository": kept})
    it.up()
    it.configure(
        {"repository": {**kept, "encryption_configurations": [{"encryption_type": "KMS"}]}}
    )
    assert it.preview().names("replace") == ["images"]
    assert it.up().step("images").replacing == ("encryptionConfigurations",)
    assert order(it, "images") == ["create", "delete", "create"]


def test_a_name_of_its_own_is_made_before_the_old_one_goes(engine: Start, cloud: Cloud) -> None:
    it = engine(repository, config={"aws:region": REGION, "repository": {}})
    it.up()
    it.configure({"repository": {"region": "us-west-2"}})
    assert it.up().step("images").replacing == ("region",)
    assert order(it, "images") == ["create", "create", "delete"]
    assert left(cloud, [REGION]) == []
    (line,) = left(cloud, [REGION, "us-west-2"])
    assert line.startswith("us-west-2 ecr images-")
    it.destroy()
    assert left(cloud, [REGION, "us-west-2"]) == []


def test_a_preview_does_not_know_what_is_computed(engine: Start) -> None:
    def unknown() -> None:
        import pulumi
        import pulumi_aws as aws

        queue = aws.sqs.Queue("jobs", name="n")
        queue.arn.apply(lambda arn: pulumi.log.warn(f"arn {arn}"))
        queue.name.apply(lambda name: pulumi.log.warn(f"name {name}"))

    it = engine(unknown, config={"aws:region": REGION}, environment=SAMPLE)
    assert it.preview().warnings == ("name n",)
    assert set(it.up().warnings) == {"name n", f"arn arn:aws:sqs:{REGION}:123456789012:n"}
    assert set(it.preview().warnings) == {"name n", f"arn arn:aws:sqs:{REGION}:123456789012:n"}


def test_what_the_package_does_not_know_is_refused(engine: Start, cloud: Cloud) -> None:
    def misspelled() -> None:
        import pulumi

        class Queue(pulumi.CustomResource):
            pass

        Queue("aws:sqs/queue:Queue", "jobs", {"delaySecond": 1, "name": 3})

    it = engine(misspelled, config={"aws:region": REGION}, environment=SAMPLE)
    failed = it.preview(check=False)
    assert failed.code != 0
    text = "\n".join(message for _, message in failed.errors)
    assert "delaySecond" in text and "did you mean delaySeconds?" in text
    assert "expected str, got int 3" in text
    assert {urn.split("::")[-1] for urn, _ in failed.errors} == {"jobs"}


def test_a_name_that_is_too_long_is_refused_before_it_is_made(engine: Start) -> None:
    source = "import pulumi_aws as aws\naws.sqs.Queue('q' * 75)\n"
    it = engine(source, config={"aws:region": REGION}, environment=SAMPLE)
    assert "longer than 80 characters" in it.preview(check=False).shown()


def test_drift_is_found_and_mended(engine: Start, cloud: Cloud) -> None:
    it = start(engine, queue={"tags": {"a": "b"}})
    it.up()
    client = cloud.client("sqs", REGION)
    (url,) = client.list_queues()["QueueUrls"]
    client.untag_queue(QueueUrl=url, TagKeys=["a"])
    client.tag_queue(QueueUrl=url, Tags={"by": "hand"})
    assert it.preview().changes == ()  # it does not look at the cloud
    looked = it.refresh("--preview-only", "--expect-no-changes", check=False)
    assert (looked.code != 0, looked.names("update")) == (True, ["jobs"])
    assert it.refresh().names("update") == ["jobs"]
    mended = it.up()
    assert mended.names("update") == ["jobs"]
    assert set(mended.step("jobs").changed) == {"tags.a", "tagsAll.a", "tagsAll.by", "tags.by"}
    assert client.list_queue_tags(QueueUrl=url)["Tags"] == {"a": "b"}
    it.nothing_to_do()


def test_what_was_deleted_behind_its_back_is_made_again(engine: Start, cloud: Cloud) -> None:
    it = start(engine)
    it.up()
    client = cloud.client("sqs", REGION)
    (url,) = client.list_queues()["QueueUrls"]
    client.delete_queue(QueueUrl=url)
    assert it.refresh().names("delete") == ["jobs", "rule"]
    it.up()
    assert len(queues(cloud)) == 1
    it.nothing_to_do()


def test_default_tags_reach_what_has_tags(engine: Start, cloud: Cloud) -> None:
    tags = {"env": "dev", "project": "ems"}
    it = start(engine, provider={"default_tags": {"tags": tags}}, queue={"tags": {"env": "mine"}})
    it.up()
    client = cloud.client("sqs", REGION)
    (url,) = client.list_queues()["QueueUrls"]
    expected = {"env": "mine", "project": "ems"}
    assert client.list_queue_tags(QueueUrl=url)["Tags"] == it.outputs()["tags"] == expected
    it.nothing_to_do()
    it.configure({"provider": {"default_tags": {"tags": {"env": "dev"}}}})
    assert it.up().step("jobs").changed == ("tagsAll.project",)
    assert client.list_queue_tags(QueueUrl=url)["Tags"] == {"env": "mine"}


def test_the_wrong_account_is_refused_before_anything_is_made(engine: Start, cloud: Cloud) -> None:
    it = start(engine, provider={"allowed_account_ids": ["111111111111"]})
    for failed in (it.preview(check=False), it.up(check=False)):
        assert failed.code != 0
        assert "AWS account ID not allowed: 123456789012" in failed.shown()
    assert queues(cloud) == []
    it.configure({"provider": {"allowed_account_ids": ["123456789012"]}})
    it.up()


def test_secrets_are_encrypted_in_the_state(engine: Start) -> None:
    it = start(engine)
    it.secret("key", "very-secret")
    it.up()
    for word in (b"very-secret", b"arn:aws:sqs"):  # the table says that an ARN is one
        files = [file for file in (it.folder / "state").rglob("*") if file.is_file()]
        assert files
        assert [file for file in files if word in file.read_bytes()] == []
    assert it.outputs()["key"] == "[secret]"
    assert it.outputs(secrets=True)["key"] == "very-secret"


def test_functions_answer(engine: Start, cloud: Cloud) -> None:
    def asks() -> None:
        import pulumi
        import pulumi_aws as aws

        found = aws.sqs.get_queues(queue_name_prefix="x", region="us-west-2")
        pulumi.export("found", found.queue_urls)

    cloud.client("sqs", "us-west-2").create_queue(QueueName="x-1")
    it = engine(asks, config={"aws:region": REGION}, environment=SAMPLE)
    it.up()
    assert [url.rsplit("/", 1)[-1] for url in it.outputs()["found"]] == ["x-1"]


def test_what_fails_half_made_stays_and_is_gone_on_with(engine: Start, cloud: Cloud) -> None:
    it = start(engine, queue={"visibility_timeout_seconds": 60})
    failed = it.up(faults=[Fault("jobs", after=True, refuse="throttled")], check=False)
    assert failed.code != 0
    assert [urn.split("::")[-1] for urn, _ in failed.errors if urn] == ["jobs"]
    assert "throttled" in failed.shown()
    (name,) = queues(cloud)
    assert it.up().names("create") == ["again", "rule"]
    assert queues(cloud) == [name]
    it.nothing_to_do()


def test_a_refused_resource_gives_its_urn_and_the_next_up_goes_on(
    engine: Start, cloud: Cloud
) -> None:
    it = start(engine)
    with pytest.raises(EngineError, match="create rule: AccessDenied") as caught:
        it.up(faults=[Fault("rule", refuse="AccessDenied")])
    (urn,) = [urn for urn, message in caught.value.result.errors if "AccessDenied" in message]
    assert urn == "urn:pulumi:dev::small::aws:sqs/queuePolicy:QueuePolicy::rule"
    assert it.up().names("create") >= ["rule"]
    it.nothing_to_do()


def test_types_that_no_table_has_are_named(engine: Start) -> None:
    source = "import pulumi_aws as aws\naws.ec2.Vpc('v', cidr_block='10.0.0.0/16')\n"
    it = engine(source, config={"aws:region": REGION}, environment=SAMPLE)
    assert "the stand-in has no resource type aws:ec2/vpc:Vpc" in it.preview(check=False).shown()


def test_a_missing_virtual_environment_is_named(engine: Start, tmp_path: Path) -> None:
    project = Project.inline("import pulumi\n")
    settings = project.files["Pulumi.yaml"].replace("virtualenv: ", "virtualenv: /nowhere")
    files = {**project.files, "Pulumi.yaml": settings}
    it = engine(Project("small", files))
    failed = it.preview(check=False)
    assert failed.code != 0 and "/nowhere" in failed.shown()


def test_a_policy_pack_stops_what_it_forbids(engine: Start, cloud: Cloud, tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    pack.mkdir()
    runtime = json.loads(json.dumps({"name": "python", "options": {"virtualenv": _prefix()}}))
    (pack / "PulumiPolicy.yaml").write_text(json.dumps({"runtime": runtime}))
    (pack / "__main__.py").write_text(
        "from pulumi_policy import *\n"
        "def rule(args, report):\n"
        "    if not args.props.get('tags'):\n"
        "        report(f'{args.name} has no tags')\n"
        "PolicyPack('pack', [ResourceValidationPolicy(name='tags', description='tags',\n"
        "    validate=rule, enforcement_level=EnforcementLevel.MANDATORY)])\n"
    )
    source = "import pulumi_aws as aws\naws.sqs.Queue('jobs')\n"
    it = engine(source, config={"aws:region": REGION}, environment=SAMPLE)
    failed = it.preview("--policy-pack", str(pack), check=False)
    assert failed.code != 0 and "jobs has no tags" in failed.shown()


def _prefix() -> str:
    import sys

    return sys.prefix
