"""EKS. moto makes clusters, and keeps of them their network, logs and tags; all else is remembered.

No cluster of moto runs anything: what goes through the Kubernetes API is tested elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.rigs.sky.kind import Call, Kind, Props, remembered
from tests.rigs.sky.kinds import forms

_ALL_LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")
_NETWORK = {
    "subnetIds": "subnetIds",
    "securityGroupIds": "securityGroupIds",
    "endpointPublicAccess": "endpointPublicAccess",
    "endpointPrivateAccess": "endpointPrivateAccess",
    "publicAccessCidrs": "publicAccessCidrs",
}


def _logging(props: Props) -> Props:
    wanted = set(props.get("enabledClusterLogTypes") or ())
    on = [kind for kind in _ALL_LOGS if kind in wanted]
    off = [kind for kind in _ALL_LOGS if kind not in wanted]
    return {"clusterLogging": [{"types": on, "enabled": True}, {"types": off, "enabled": False}]}


def _network(props: Props) -> Props:
    given = props["vpcConfig"]
    return {theirs: given[ours] for ours, theirs in _NETWORK.items() if given.get(ours) is not None}


def _create(call: Call, props: Props) -> str:
    network = props.get("kubernetesNetworkConfig", {})
    call.eks.create_cluster(
        name=props["name"],
        roleArn=props["roleArn"],
        resourcesVpcConfig=_network(props),
        kubernetesNetworkConfig={"serviceIpv4Cidr": network["serviceIpv4Cidr"]}
        if network.get("serviceIpv4Cidr")
        else {},
        logging=_logging(props),
        tags=props.get("tags") or {},
        **({"version": props["version"]} if props.get("version") else {}),
    )
    return call.made(props["name"])


def _read(call: Call, name: str, props: Props) -> Props | None:
    """What moto keeps. It can't upgrade a cluster, so that the version is as the state says."""
    found = call.eks.describe_cluster(name=name)["cluster"]
    config = found["resourcesVpcConfig"]
    enabled = [one for one in found["logging"]["clusterLogging"] if one["enabled"]]
    return {
        "name": found["name"],
        "arn": found["arn"],
        "endpoint": found["endpoint"],
        "certificateAuthority": {"data": found["certificateAuthority"]["data"]},
        "roleArn": found["roleArn"],
        "status": found["status"],
        "vpcConfig": {
            ours: config[theirs] for ours, theirs in _NETWORK.items() if theirs in config
        },
        "enabledClusterLogTypes": [kind for one in enabled for kind in one["types"]],
        "tags": found.get("tags", {}),
    }


def _update(call: Call, name: str, old: Props, new: Props) -> None:
    call.eks.update_cluster_config(
        name=name, resourcesVpcConfig=_network(new), logging=_logging(new)
    )
    wanted, gone = forms.tag_changes(old, new)
    arn = old["arn"]
    if wanted:
        call.eks.tag_resource(resourceArn=arn, tags=wanted)
    if gone:
        call.eks.untag_resource(resourceArn=arn, tagKeys=gone)


def _arn(what: str, *keys: str) -> Callable[[Call, Props], str]:
    def arn(call: Call, props: Props) -> str:
        path = "/".join(str(props[key]) for key in keys)
        return f"arn:aws:eks:{call.region}:{call.account}:{what}/{path}"

    return arn


def _joined(separator: str, *keys: str) -> Callable[[Call, Props], str]:
    return lambda call, props: separator.join(str(props[key]) for key in keys)


def _addon_outputs(call: Call, props: Props) -> Props:
    return {"arn": _arn("addon", "clusterName", "addonName")(call, props)}


def _association_outputs(call: Call, props: Props) -> Props:
    id_ = props["id"]
    arn = f"arn:aws:eks:{call.region}:{call.account}:podidentityassociation"
    return {"associationId": id_, "associationArn": f"{arn}/{props['clusterName']}/{id_}"}


def _association_id(call: Call, props: Props) -> str:
    return f"a-{props['clusterName']}-{props['namespace']}-{props['serviceAccount']}"


def _in(file: str, *inputs: str) -> dict[str, str]:
    return dict.fromkeys(inputs, f"eks/{file}")


KINDS = [
    Kind(
        "aws:eks/cluster:Cluster",
        create=_create,
        read=_read,
        update=_update,
        delete=lambda call, name, props: call.eks.delete_cluster(name=name),
        replaces=_in(
            "cluster.go",
            "name",
            "roleArn",
            "bootstrapSelfManagedAddons",
            "accessConfig.bootstrapClusterCreatorAdminPermissions",
            "computeConfig.nodeRoleArn",
            "kubernetesNetworkConfig.ipFamily",
            "kubernetesNetworkConfig.serviceIpv4Cidr",
        ),
        name="name",
        name_max=100,
        computed=("arn", "endpoint", "certificateAuthority", "status"),
        sets=(
            "enabledClusterLogTypes",
            "computeConfig.nodePools",
            "vpcConfig.subnetIds",
            "vpcConfig.securityGroupIds",
            "vpcConfig.publicAccessCidrs",
        ),
    ),
    remembered(
        "aws:eks/addon:Addon",
        "eks.CreateAddon",
        identity=_joined(":", "clusterName", "addonName"),
        outputs=_addon_outputs,
        replaces=_in("addon.go", "addonName", "clusterName"),
        sets=("podIdentityAssociations",),
    ),
    remembered(
        "aws:eks/accessEntry:AccessEntry",
        "eks.CreateAccessEntry",
        identity=_joined(":", "clusterName", "principalArn"),
        outputs=lambda call, props: {
            "accessEntryArn": _arn("access-entry", "clusterName", "principalArn")(call, props)
        },
        replaces=_in("access_entry.go", "clusterName", "principalArn", "type"),
        defaults={"type": "STANDARD"},
        sets=("kubernetesGroups",),
    ),
    remembered(
        "aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
        "eks.AssociateAccessPolicy",
        identity=_joined("#", "clusterName", "principalArn", "policyArn"),
        replaces=_in(
            "access_policy_association.go",
            "accessScope",
            "clusterName",
            "policyArn",
            "principalArn",
        ),
        sets=("accessScope.namespaces",),
    ),
    remembered(
        "aws:eks/podIdentityAssociation:PodIdentityAssociation",
        "eks.CreatePodIdentityAssociation",
        identity=_association_id,
        outputs=_association_outputs,
        replaces=_in("pod_identity_association.go", "clusterName", "namespace", "serviceAccount"),
    ),
]
