"""What deploying an environment takes of each AWS service, action by action.

Only names of actions: on what they are allowed is written in `deploy.py`. Reading is given by
pattern (`ec2:Describe*`), since it changes nothing; all that changes something is listed.
"""

from __future__ import annotations


def _of(service: str, *actions: str) -> tuple[str, ...]:
    return tuple(f"{service}:{each}" for text in actions for each in text.split())


NETWORK = _of(
    "ec2",
    "AcceptVpcPeeringConnection AllocateAddress AssociateRouteTable AttachInternetGateway",
    "AttachVpnGateway AuthorizeSecurityGroupEgress AuthorizeSecurityGroupIngress",
    "CreateCustomerGateway CreateFlowLogs CreateInternetGateway CreateLaunchTemplate",
    "CreateLaunchTemplateVersion CreateNatGateway CreateNetworkInterface CreateRoute",
    "CreateRouteTable CreateSecurityGroup CreateSubnet CreateTags CreateVpc CreateVpcEndpoint",
    "CreateVpcPeeringConnection CreateVpnConnection CreateVpnConnectionRoute CreateVpnGateway",
    "DeleteCustomerGateway DeleteFlowLogs DeleteInternetGateway DeleteLaunchTemplate",
    "DeleteLaunchTemplateVersions DeleteNatGateway DeleteNetworkInterface DeleteRoute",
    "DeleteRouteTable DeleteSecurityGroup DeleteSubnet DeleteTags DeleteVpc DeleteVpcEndpoints",
    "DeleteVpcPeeringConnection DeleteVpnConnection DeleteVpnConnectionRoute DeleteVpnGateway",
    "DetachInternetGateway DetachNetworkInterface DetachVpnGateway DisableVgwRoutePropagation",
    "DisassociateAddress DisassociateRouteTable EnableVgwRoutePropagation ModifyLaunchTemplate",
    "ModifyNetworkInterfaceAttribute ModifySecurityGroupRules ModifySubnetAttribute",
    "ModifyVpcAttribute ModifyVpcEndpoint ModifyVpcPeeringConnectionOptions ModifyVpnConnection",
    "ModifyVpnConnectionOptions ModifyVpnTunnelCertificate ModifyVpnTunnelOptions ReleaseAddress",
    "ReplaceRoute ReplaceRouteTableAssociation RevokeSecurityGroupEgress",
    "RevokeSecurityGroupIngress RunInstances UpdateSecurityGroupRuleDescriptionsEgress",
    "UpdateSecurityGroupRuleDescriptionsIngress",
)
"""RunInstances is what Batch and Auto Scaling ask of whoever names a launch template to them; what
is done to network interfaces, what EFS asks of whoever makes, changes or removes a mount target."""

NAMES = _of("route53", "AssociateVPCWithHostedZone")
"""What EC2 does, in the name of whoever makes an interface endpoint with names of its own. Route 53
belongs to no region."""

BUCKETS = _of(
    "s3",
    "CreateBucket DeleteBucket DeleteBucketPolicy DeleteObject DeleteObjectVersion",
    "PutBucketOwnershipControls PutBucketPolicy PutBucketPublicAccessBlock PutBucketTagging",
    "PutBucketVersioning PutEncryptionConfiguration PutLifecycleConfiguration TagResource",
    "UntagResource Get* List*",
)
FILES = _of(
    "elasticfilesystem",
    "CreateAccessPoint CreateFileSystem CreateMountTarget DeleteAccessPoint DeleteFileSystem",
    "DeleteFileSystemPolicy DeleteMountTarget ModifyMountTargetSecurityGroups PutBackupPolicy",
    "PutFileSystemPolicy PutLifecycleConfiguration TagResource UntagResource UpdateFileSystem",
    "UpdateFileSystemProtection Describe* ListTagsForResource",
)
IMAGES = _of(
    "ecr",
    "BatchDeleteImage CreateRepository DeleteLifecyclePolicy DeleteRepository",
    "PutImageScanningConfiguration PutImageTagMutability PutLifecyclePolicy TagResource",
    "UntagResource",
    "Describe* GetLifecyclePolicy GetRepositoryPolicy ListImages ListTagsForResource",
)
LOGS = _of(
    "logs",
    "CreateLogGroup DeleteLogGroup DeleteRetentionPolicy PutRetentionPolicy TagResource",
    "UntagResource ListTagsForResource",
)
LOG_DELIVERY = _of(
    "logs",
    "CreateLogDelivery DeleteLogDelivery GetLogDelivery ListLogDeliveries UpdateLogDelivery",
    "DescribeLogGroups DescribeResourcePolicies PutResourcePolicy",
)
QUEUES = _of(
    "batch",
    "CreateComputeEnvironment CreateJobQueue CreateSchedulingPolicy DeleteComputeEnvironment",
    "DeleteJobQueue DeleteSchedulingPolicy SetCapacityTags TagResource UntagResource",
    "UpdateComputeEnvironment UpdateJobQueue UpdateSchedulingPolicy",
)
CLUSTERS = _of(
    "eks",
    "AssociateAccessPolicy CreateAccessEntry CreateAddon CreateCluster",
    "CreatePodIdentityAssociation DeleteAccessEntry DeleteAddon DeleteCluster",
    "DeletePodIdentityAssociation",
    "DisassociateAccessPolicy TagResource UntagResource UpdateAccessEntry UpdateAddon",
    "UpdateClusterConfig UpdateClusterVersion UpdatePodIdentityAssociation",
    "AccessKubernetesApi Describe* List*",
)
ALARMS = _of(
    "cloudwatch",
    "DeleteAlarms PutMetricAlarm TagResource UntagResource ListTagsForResource",
)
TOPICS = _of(
    "sns",
    "CreateTopic DeleteTopic SetTopicAttributes Subscribe TagResource Unsubscribe UntagResource",
    "GetSubscriptionAttributes SetSubscriptionAttributes GetTopicAttributes ListTagsForResource",
    "ListSubscriptionsByTopic",
)
KEYS = _of(
    "kms",
    "DisableKeyRotation EnableKeyRotation PutKeyPolicy ScheduleKeyDeletion TagResource",
    "UntagResource UpdateKeyDescription CreateAlias DeleteAlias UpdateAlias CreateGrant",
    "DescribeKey GetKeyPolicy GetKeyRotationStatus ListResourceTags",
)
PARAMETERS = _of(
    "ssm",
    "AddTagsToResource DeleteParameter DeleteParameters GetParameter GetParameters",
    "GetParametersByPath ListTagsForResource PutParameter RemoveTagsFromResource",
)
BUDGETS = _of("budgets", "ModifyBudget TagResource UntagResource ViewBudget ListTagsForResource")
BACKUPS = _of(
    "backup",
    "CreateBackupPlan CreateBackupSelection CreateBackupVault DeleteBackupPlan",
    "DeleteBackupSelection DeleteBackupVault TagResource UntagResource UpdateBackupPlan",
    "Describe* Get* ListTags",
)
SECRETS = _of("secretsmanager", "CreateSecret DeleteSecret DescribeSecret TagResource")
"""Site-to-site VPN keeps the keys of its tunnels in the account of whoever makes it. Reading a
secret's value is not among these."""

LOOK = (
    "cloudwatch:DescribeAlarms",
    "ec2:Describe*",
    "ec2:GetEbsDefaultKmsKeyId",
    "ec2:GetLaunchTemplateData",
    "ec2:GetManagedPrefixListEntries",
    "batch:Describe*",
    "batch:ListTagsForResource",
    "eks:DescribeClusterVersions",
    "iam:GetAccountSummary",
    "iam:ListRoles",
    "kms:CreateKey",
    "kms:ListAliases",
    "ecr:GetAuthorizationToken",
    "pricing:GetProducts",
    "servicequotas:GetAWSDefaultServiceQuota",
    "servicequotas:GetServiceQuota",
    "servicequotas:ListServiceQuotas",
    "sns:ListTopics",
    "ssm:DescribeParameters",
    "sts:GetCallerIdentity",
    "tag:GetResources",
)
"""What can't be bounded by resource: it changes nothing, or what it makes has no name before."""

ROLES_MADE = _of("iam", "CreateRole PutRolePermissionsBoundary")
ROLES_GRANTED = _of("iam", "AttachRolePolicy DeleteRolePolicy DetachRolePolicy PutRolePolicy")
ROLES_KEPT = _of(
    "iam",
    "DeleteRole TagRole UntagRole UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription",
    "GetRole GetRolePolicy ListAttachedRolePolicies ListInstanceProfilesForRole",
    "ListRolePolicies ListRoleTags",
)
PROFILES = _of(
    "iam",
    "AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile",
    "ListInstanceProfileTags RemoveRoleFromInstanceProfile TagInstanceProfile",
    "UntagInstanceProfile",
)
POLICIES = _of(
    "iam",
    "CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy",
    "GetPolicyVersion ListPolicyTags ListPolicyVersions SetDefaultPolicyVersion TagPolicy",
    "UntagPolicy",
)
