"""CloudWatch's alarms on a metric."""

from __future__ import annotations

from tests.rigs.sky.kind import Call, Kind, Props
from tests.rigs.sky.kinds.described import given, told
from tests.rigs.sky.kinds.forms import tag_changes, tag_list, tag_map

_ALARM = {
    "name": "AlarmName",
    "alarmDescription": "AlarmDescription",
    "comparisonOperator": "ComparisonOperator",
    "evaluationPeriods": "EvaluationPeriods",
    "datapointsToAlarm": "DatapointsToAlarm",
    "metricName": "MetricName",
    "namespace": "Namespace",
    "period": "Period",
    "statistic": "Statistic",
    "threshold": "Threshold",
    "treatMissingData": "TreatMissingData",
    "actionsEnabled": "ActionsEnabled",
    "alarmActions": "AlarmActions",
    "okActions": "OKActions",
    "insufficientDataActions": "InsufficientDataActions",
    "unit": "Unit",
}


def _alarm_put(call: Call, props: Props) -> str:
    for topic in (*props.get("alarmActions", ()), *props.get("okActions", ())):
        # an alarm reaches only topics of its own region; moto takes any
        if topic.split(":")[3] != call.region:
            raise RuntimeError(f"ValidationError: {topic} is not in {call.region}")
    sizes = [{"Name": k, "Value": v} for k, v in (props.get("dimensions") or {}).items()]
    call.cloudwatch.put_metric_alarm(**given(props, **_ALARM), Dimensions=sizes)
    return call.made(props["name"])


def _alarm_create(call: Call, props: Props) -> str:
    name = _alarm_put(call, props)
    _alarm_tag(call, name, {}, props)
    return name


def _alarm(call: Call, name: str) -> Props | None:
    found = call.cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return found[0] if found else None


def _alarm_tag(call: Call, name: str, old: Props, new: Props) -> None:
    alarm = _alarm(call, name)
    wanted, gone = tag_changes(old, new)
    if alarm and gone:
        call.cloudwatch.untag_resource(ResourceARN=alarm["AlarmArn"], TagKeys=gone)
    if alarm and wanted:
        tags_ = tag_list(wanted)
        call.cloudwatch.tag_resource(ResourceARN=alarm["AlarmArn"], Tags=tags_)


def _alarm_read(call: Call, name: str, props: Props) -> Props | None:
    alarm = _alarm(call, name)
    if alarm is None:
        return None
    answer = call.cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])
    return {
        **told(alarm, **_ALARM),
        "dimensions": {item["Name"]: item["Value"] for item in alarm.get("Dimensions", ())},
        "arn": alarm["AlarmArn"],
        "tags": tag_map(answer["Tags"]),
    }


def _alarm_update(call: Call, name: str, old: Props, new: Props) -> None:
    _alarm_put(call, {**new, "name": name})
    _alarm_tag(call, name, old, new)


KINDS = [
    Kind(
        "aws:cloudwatch/metricAlarm:MetricAlarm",
        create=_alarm_create,
        read=_alarm_read,
        update=_alarm_update,
        delete=lambda call, id_, props: call.cloudwatch.delete_alarms(AlarmNames=[id_]),
        replaces={"name": "cloudwatch/metric_alarm.go"},
        name="name",
        defaults={"actionsEnabled": True, "treatMissingData": "missing"},
        sets=("alarmActions", "okActions", "insufficientDataActions"),
        computed=("arn",),
    ),
]
