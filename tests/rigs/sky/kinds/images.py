"""ECR repositories and what removes their images. There is nothing here to push to: no /v2 API."""

from __future__ import annotations

from tests.rigs.sky.kind import Call, Kind, Props
from tests.rigs.sky.kinds.forms import lower, tag_changes, tag_list, tag_map


def _repository_create(call: Call, props: Props) -> str:
    scanning = props.get("imageScanningConfiguration") or {}
    encryption = (props.get("encryptionConfigurations") or [{}])[0]
    said: Props = {"encryptionType": encryption.get("encryptionType", "AES256")}
    if encryption.get("kmsKey"):
        said["kmsKey"] = encryption["kmsKey"]
    call.ecr.create_repository(
        repositoryName=props["name"],
        imageTagMutability=props["imageTagMutability"],
        imageScanningConfiguration={"scanOnPush": bool(scanning.get("scanOnPush"))},
        encryptionConfiguration=said,
        tags=tag_list(props.get("tags")),
    )
    return call.made(props["name"])


def _repository_read(call: Call, id_: str, props: Props) -> Props | None:
    said = call.ecr.describe_repositories(repositoryNames=[id_])["repositories"][0]
    tags = call.ecr.list_tags_for_resource(resourceArn=said["repositoryArn"])["tags"]
    return {
        "name": said["repositoryName"],
        "imageTagMutability": said["imageTagMutability"],
        "imageScanningConfiguration": lower(said["imageScanningConfiguration"]),
        "encryptionConfigurations": [lower(said["encryptionConfiguration"])],
        "arn": said["repositoryArn"],
        "registryId": said["registryId"],
        "repositoryUrl": said["repositoryUri"],
        "tags": tag_map(tags),
    }


def _repository_update(call: Call, id_: str, old: Props, new: Props) -> None:
    call.ecr.put_image_tag_mutability(
        repositoryName=id_, imageTagMutability=new["imageTagMutability"]
    )
    scanning = new.get("imageScanningConfiguration") or {}
    call.ecr.put_image_scanning_configuration(
        repositoryName=id_,
        imageScanningConfiguration={"scanOnPush": bool(scanning.get("scanOnPush"))},
    )
    wanted, gone = tag_changes(old, new)
    if wanted:
        call.ecr.tag_resource(resourceArn=old["arn"], tags=tag_list(wanted))
    if gone:
        call.ecr.untag_resource(resourceArn=old["arn"], tagKeys=gone)


REPOSITORY = Kind(
    "aws:ecr/repository:Repository",
    create=_repository_create,
    read=_repository_read,
    update=_repository_update,
    delete=lambda call, id_, props: call.ecr.delete_repository(
        repositoryName=id_, force=bool(props.get("forceDelete"))
    ),
    replaces=dict.fromkeys(("name", "encryptionConfigurations"), "ecr/repository.go"),
    name="name",
    defaults={"imageTagMutability": "MUTABLE"},
)


def _lifecycle_create(call: Call, props: Props) -> str:
    call.ecr.put_lifecycle_policy(
        repositoryName=props["repository"], lifecyclePolicyText=props["policy"]
    )
    return call.made(props["repository"])


def _lifecycle_read(call: Call, id_: str, props: Props) -> Props | None:
    said = call.ecr.get_lifecycle_policy(repositoryName=id_)
    return {
        "repository": said["repositoryName"],
        "policy": said["lifecyclePolicyText"],
        "registryId": said["registryId"],
    }


LIFECYCLE = Kind(
    "aws:ecr/lifecyclePolicy:LifecyclePolicy",
    create=_lifecycle_create,
    read=_lifecycle_read,
    delete=lambda call, id_, props: call.ecr.delete_lifecycle_policy(repositoryName=id_),
    replaces=dict.fromkeys(("policy", "repository"), "ecr/lifecycle_policy.go"),
    documents=("policy",),
)

KINDS = [REPOSITORY, LIFECYCLE]
