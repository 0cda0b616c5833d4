"""An environment, from its file to its outputs: read, look before, make, publish.

Knows the order of things. What a site consists of stands in `place.py`, what joins places in
`joining.py`, what is exported in `exports.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_aws as aws

from ems.errors import EmsError
from ems.stack.parameters import split
from infra.access.submit import Submit, SubmitArgs, SubmitSite
from infra.data.images import Images, ImagesArgs
from infra.eks import handover
from infra.eks.access import check_deployer
from infra.eks.cluster import Cluster
from infra.exports import export, tree_of
from infra.joining import join
from infra.money.alarms import Alarms, AlarmsArgs
from infra.money.budget import Budget, BudgetArgs
from infra.parameters import Parameters
from infra.place import Place, Region, Setting, make_cluster, make_place
from infra.plan.asn import site_asns
from infra.plan.home import home_of
from infra.plan.iam import jobs
from infra.plan.routes import LabLinks, Topology
from infra.preflight import preflight
from infra.providers import providers_for, tags_of
from infra.settings.types import Environment
from infra.stack_config import settings_of


def deploy() -> None:
    """Make the environment that the stack is named after; a user's mistake ends in its message."""
    try:
        environment = pulumi.get_stack()
        settings = settings_of(environment)
        for fault in preflight(settings, environment=environment):
            pulumi.log.warn(str(fault))
        _make(environment, settings)
    except EmsError as error:
        raise pulumi.RunError(str(error)) from None


def _make(environment: str, settings: Environment) -> None:
    by_region = providers_for((s.region for s in settings.sites.values()), environment, settings)
    at_home = home_of(settings)
    home = by_region[at_home]
    setting = _setting(environment, settings, home)
    check_deployer(settings, setting.deployer)
    regions = {name: _region(name, at, setting) for name, at in by_region.items()}
    places = {
        site: make_place(site, regions[each.region], setting)
        for site, each in settings.sites.items()
    }
    links = join(places, setting)
    submit = _submit(places, setting, home)
    clusters = {
        site: make_cluster(place, setting, submit.role)
        for site, place in places.items()
        if place.settings.kubernetes
    }
    _budget(setting, regions[at_home])
    tree = tree_of(setting, places, clusters, links, submit)
    export(tree)
    _hand_over(clusters)
    Parameters(f"{environment}-outputs", split(tree), pulumi.ResourceOptions(provider=home))


def _setting(environment: str, settings: Environment, home: aws.Provider) -> Setting:
    at = pulumi.InvokeOptions(provider=home)
    caller = aws.get_caller_identity(opts=at)
    # a session's ARN names its role without the path; this finds the role itself
    deployer = aws.iam.get_session_context(arn=caller.arn, opts=at).issuer_arn
    return Setting(
        environment=environment,
        settings=settings,
        account=caller.account_id,
        deployer=deployer,
        topology=Topology(
            sites={name: site.cidr for name, site in settings.sites.items()},
            labs={name: LabLinks(lab.networks, lab.sites) for name, lab in settings.labs.items()},
            join_sites=settings.join_sites,
        ),
        asns=site_asns(
            {name: site.cidr for name, site in settings.sites.items()},
            {name: site.asn for name, site in settings.sites.items()},
            {name: lab.asn for name, lab in settings.labs.items()},
        ),
        tags=tags_of(environment, settings),
    )


def _region(name: str, provider: aws.Provider, setting: Setting) -> Region:
    opts = pulumi.ResourceOptions(provider=provider)
    settings = setting.settings
    alarms = Alarms(
        f"{setting.environment}-{name}-alarms",
        AlarmsArgs(account=setting.account, emails=settings.alarm_emails),
        opts,
    )
    wanted = {
        image for site in settings.sites.values() if site.region == name for image in site.images
    }
    images = Images(
        f"{setting.environment}-{name}-images",
        ImagesArgs(names=sorted(wanted), environment=setting.environment, protect=settings.protect),
        opts,
    )
    return Region(name, provider, alarms.topic_arn, images)


def _submit(places: Mapping[str, Place], setting: Setting, home: aws.Provider) -> Submit:
    return Submit(
        f"{setting.environment}-submit",
        SubmitArgs(
            environment=setting.environment,
            home=home_of(setting.settings),
            account=setting.account,
            sites={name: _offered(place, setting) for name, place in places.items()},
            researchers=setting.settings.access.researchers,
            boundary=setting.boundary,
        ),
        pulumi.ResourceOptions(provider=home),
    )


def _offered(place: Place, setting: Setting) -> SubmitSite:
    batch, region = place.batch, place.region.name
    cluster = f"arn:aws:eks:{region}:{setting.account}:cluster/{setting.environment}-{place.name}"
    return SubmitSite(
        region=region,
        bucket_arn=place.bucket.arn,
        queue_arns={key: queue.arn for key, queue in batch.queues.items()} if batch else {},
        log_group_arn=batch.log_group_arn if batch else None,
        job_role=batch.job_role if batch else None,
        execution_role=batch.execution_role if batch else None,
        repositories=[
            jobs.repositories(setting.environment, region, setting.account, image)
            for image in place.settings.images
        ],
        sagemaker_role=place.sagemaker.role if place.sagemaker else None,
        cluster_arn=cluster if place.settings.kubernetes else None,
    )


def _budget(setting: Setting, region: Region) -> None:
    if setting.settings.budget:
        Budget(
            f"{setting.environment}-budget",
            BudgetArgs(
                settings=setting.settings.budget,
                environment=setting.environment,
                topic_arn=region.topic,
            ),
            pulumi.ResourceOptions(provider=region.provider),
        )


def _hand_over(clusters: Mapping[str, Cluster]) -> None:
    pulumi.export(handover.OUTPUT, {site: cluster.handover for site, cluster in clusters.items()})
