"""A table of its own for the tests of the stand-in: two types over SQS that no environment uses.

Served instead of `kinds/` where SKY_KINDS names this module.
"""

from __future__ import annotations

from typing import Any

from tests.rigs.sky.kind import Call, Kind, Props, remembered

_NUMBERS = {
    "delaySeconds": "DelaySeconds",
    "visibilityTimeoutSeconds": "VisibilityTimeout",
}


def _attributes(props: Props) -> dict[str, str]:
    values = {aws: str(props[ours]) for ours, aws in _NUMBERS.items() if ours in props}
    return values | ({"FifoQueue": "true"} if props.get("fifoQueue") else {})


def _create(call: Call, props: Props) -> str:
    made = call.sqs.create_queue(QueueName=props["name"], Attributes=_attributes(props))
    url = call.made(made["QueueUrl"])
    if props.get("tags"):
        call.sqs.tag_queue(QueueUrl=url, Tags=props["tags"])
    return url


def _read(call: Call, url: str, props: Props) -> Props | None:
    got = call.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    found: dict[str, Any] = {ours: int(got[aws]) for ours, aws in _NUMBERS.items()}
    return {
        **found,
        "name": url.rsplit("/", 1)[-1],
        "arn": got["QueueArn"],
        "url": url,
        "fifoQueue": got.get("FifoQueue") == "true",
        "tags": call.sqs.list_queue_tags(QueueUrl=url).get("Tags", {}),
    }


def _update(call: Call, url: str, old: Props, new: Props) -> None:
    wanted = _attributes({key: new[key] for key in _NUMBERS if key in new})
    policy = _read_policy(call, url, {})
    if policy:  # moto forgets it when other attributes are set
        wanted["Policy"] = policy["policy"]
    call.sqs.set_queue_attributes(QueueUrl=url, Attributes=wanted)
    gone = [key for key in old["tags"] if key not in new.get("tags", {})]
    if gone:
        call.sqs.untag_queue(QueueUrl=url, TagKeys=gone)
    if new.get("tags"):
        call.sqs.tag_queue(QueueUrl=url, Tags=new["tags"])


def _put_policy(call: Call, url: str, policy: str) -> None:
    call.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


def _create_policy(call: Call, props: Props) -> str:
    _put_policy(call, props["queueUrl"], props["policy"])
    return call.made(props["queueUrl"])


def _read_policy(call: Call, url: str, props: Props) -> Props | None:
    got = call.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return {"queueUrl": url, "policy": got["Policy"]} if got.get("Policy") else None


def _count(call: Call, props: Props) -> Props:
    found = call.sqs.list_queues(QueueNamePrefix=props.get("queueNamePrefix", ""))
    return {"queueUrls": found.get("QueueUrls", []), "id": call.region, "region": call.region}


KINDS = [
    Kind(
        "aws:sqs/queue:Queue",
        create=_create,
        read=_read,
        delete=lambda call, url, props: call.sqs.delete_queue(QueueUrl=url),
        update=_update,
        replaces={"name": "sqs/queue.go", "fifoQueue": "sqs/queue.go"},
        name="name",
        name_max=80,
        computed=("arn", "url"),
        secrets=("arn",),
        defaults={"delaySeconds": 0, "visibilityTimeoutSeconds": 30, "fifoQueue": False},
    ),
    Kind(
        "aws:sqs/queuePolicy:QueuePolicy",
        create=_create_policy,
        read=_read_policy,
        delete=lambda call, url, props: _put_policy(call, url, ""),
        update=lambda call, url, old, new: _put_policy(call, url, new["policy"]),
        replaces={"queueUrl": "sqs/queue_policy.go"},
        documents=("policy",),
    ),
    remembered(
        "aws:sqs/redrivePolicy:RedrivePolicy",
        "sqs.NothingOfTheKind",
        replaces={"queueUrl": "sqs/queue_redrive_policy.go"},
        identity=lambda call, props: props["queueUrl"],
        documents=("redrivePolicy",),
    ),
]

CALLS = {"aws:sqs/getQueues:getQueues": _count}
