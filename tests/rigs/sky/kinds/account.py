"""Cost Explorer, of which moto has almost nothing: anomaly monitors and their subscriptions, and
tags by which costs are told apart.

They are kept in the state alone. Of Cost Explorer's own rules the one that a program may break is
here: who hears of an anomaly at once, and who once a day.
"""

from __future__ import annotations

import hashlib

from tests.rigs.sky.kind import Call, Props, remembered


def _arn(call: Call, props: Props, what: str) -> str:
    mark = hashlib.sha256(str(props["name"]).encode()).hexdigest()[:12]
    return f"arn:aws:ce::{call.account}:{what}/{mark}"


def _subscribe(call: Call, props: Props) -> str:
    kinds = {each["type"] for each in props["subscribers"]}
    wanted = {"SNS"} if props["frequency"] == "IMMEDIATE" else {"EMAIL"}
    if kinds != wanted:
        raise ValueError(
            f"a subscription {props['frequency']} takes {wanted.pop()} subscribers only"
        )
    return _arn(call, props, "anomalysubscription")


KINDS = [
    remembered(
        "aws:costexplorer/anomalyMonitor:AnomalyMonitor",
        "costexplorer.CreateAnomalyMonitor",
        outputs=lambda call, props: {"arn": _arn(call, props, "anomalymonitor")},
        identity=lambda call, props: _arn(call, props, "anomalymonitor"),
        replaces=dict.fromkeys(
            ("monitorDimension", "monitorSpecification", "monitorType"), "ce/anomaly_monitor.go"
        ),
        name="name",
        documents=("monitorSpecification",),
    ),
    remembered(
        "aws:costexplorer/anomalySubscription:AnomalySubscription",
        "costexplorer.CreateAnomalySubscription",
        outputs=lambda call, props: {"arn": _arn(call, props, "anomalysubscription")},
        identity=_subscribe,
        replaces={"name": "ce/anomaly_subscription.go"},
        name="name",
        sets=("subscribers",),
    ),
    remembered(
        "aws:costexplorer/costAllocationTag:CostAllocationTag",
        "costexplorer.UpdateCostAllocationTagsStatus",
        outputs=lambda call, props: {"type": "UserDefined"},
        identity=lambda call, props: str(props["tagKey"]),
    ),
]
