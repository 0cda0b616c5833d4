"""Which queues a site gets: stable keys, limits; what a family's name says, against AWS's data."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.ec2.models.instance_types import INSTANCE_TYPES

from ems.errors import UsageError
from ems.stack.outputs import Queue
from infra.plan import queues
from infra.plan.queues import LIMIT, family, plan, problems
from infra.settings.types import Batch, GeneralQueue, InstanceQueue, Market

REAL: dict[str, Any] = dict(INSTANCE_TYPES)
"""What AWS's DescribeInstanceTypes says, as moto carries it."""
USABLE = sorted(
    name for name in REAL if (said := family(name.split(".")[0])) and not said.refused and said.spot
)

types = st.sampled_from(USABLE)
MARKETS: tuple[Market, ...] = ("spot", "on-demand")
markets = st.lists(st.sampled_from(MARKETS), min_size=1, max_size=2, unique=True)


@st.composite
def settings(draw: st.DrawFn, most: int = LIMIT // 2) -> Batch:
    chosen = draw(st.lists(types, max_size=most - 1, unique=True))
    made = tuple(InstanceQueue(type=name, markets=tuple(draw(markets))) for name in chosen)
    return Batch(
        queues=made,
        general=draw(st.sampled_from([None, GeneralQueue()])) if made else GeneralQueue(),
    )


def test_every_instance_type_that_aws_has_is_known_by_its_family() -> None:
    assert len(REAL) == 1395
    for name, real in REAL.items():
        said = family(name.split(".")[0])
        assert said, name
        if said.refused:
            continue
        assert said.architecture in real["ProcessorInfo"]["SupportedArchitectures"], name
        makers = {gpu["Manufacturer"] for gpu in real.get("GpuInfo", {}).get("Gpus", [])}
        assert makers == ({"NVIDIA"} if said.gpu else set()), name
        assert not any(f"{kind}Info" in real for kind in ("Fpga", "Neuron", "InferenceAccelerator"))
        # a family may be sold as spot without every size of it: AWS is asked for that before `up`
        if "spot" in real["SupportedUsageClasses"]:
            assert said.spot, name
        elif said.spot:
            assert name == "t2.nano"


def test_what_no_image_runs_on_is_refused_with_the_reason() -> None:
    refused = {name.split(".")[0] for name in REAL if _family(name).refused}
    assert refused == {
        *("a1", "g5g", "p3dn"),
        *("dl2q", "f2", "inf1", "inf2", "trn1", "trn1n", "trn2", "trn2u", "vt1"),
        *("mac-m3ultra", "mac-m4", "mac-m4max", "mac-m4pro", "mac1", "mac2"),
        *("mac2-m1ultra", "mac2-m2", "mac2-m2pro"),
    }
    for name in ("p3", "g3", "g4ad"):
        assert _family(name).refused
    (problem,) = problems(Batch(queues=(InstanceQueue(type="p3.2xlarge"),)))
    assert problem.path == "queues[0].type"
    assert problem.text == (
        "no job runs on p3.2xlarge: Amazon Linux 2023 with NVIDIA's driver does not run there"
    )


def test_what_the_names_of_known_families_say() -> None:
    said = {name: _family(name) for name in ("c7i", "m8g", "g5", "p5en", "gr6", "c7i-flex", "x2gd")}
    assert {name for name, each in said.items() if each.gpu} == {"g5", "p5en", "gr6"}
    assert {name for name, each in said.items() if each.architecture == "arm64"} == {"m8g", "x2gd"}
    assert said["g5"].image_type == "ECS_AL2023_NVIDIA"
    assert said["m8g"].image_type == "ECS_AL2023"
    assert family("C7i") is None and family("optimal") is None and family("") is None


def test_the_usual_queues() -> None:
    made = plan(
        Batch(
            queues=(
                InstanceQueue(type="c7i.4xlarge", markets=("on-demand", "spot"), max_vcpus=64),
                InstanceQueue(type="g5.2xlarge", max_vcpus=32),
            ),
            general=GeneralQueue(families=("r7i", "c7i")),
        )
    )
    assert [each.key for each in made] == [
        "c7i-4xlarge-on-demand",
        "c7i-4xlarge-spot",
        "g5-2xlarge-spot",
        "general",
    ]
    on_demand, spot, gpu, general = made
    assert (on_demand.resource_type, on_demand.strategy) == ("EC2", "BEST_FIT_PROGRESSIVE")
    assert (spot.resource_type, spot.strategy) == ("SPOT", "SPOT_PRICE_CAPACITY_OPTIMIZED")
    assert gpu.gpu and gpu.image_type == "ECS_AL2023_NVIDIA"
    assert general.kind == "general" and general.instance_types == ("c7i", "r7i")


@given(settings())
def test_each_pair_is_there_once_and_under_a_strategy_that_changes_in_place(made: Batch) -> None:
    found = plan(made)
    wanted = {queues.key_of(q.type, market) for q in made.queues for market in q.markets}
    assert {each.key for each in found} == wanted | ({"general"} if made.general else set())
    for each in found:
        assert each.strategy in ("BEST_FIT_PROGRESSIVE", "SPOT_PRICE_CAPACITY_OPTIMIZED")
        assert each.gpu == (each.image_type == "ECS_AL2023_NVIDIA")
        assert each.max_vcpus > 0


@given(settings(), types, st.randoms())
def test_another_queue_or_another_order_changes_none_that_stands(
    made: Batch, more: str, shuffle: Any
) -> None:
    before = {each.key: each for each in plan(made)}
    mixed = list(made.queues)
    shuffle.shuffle(mixed)
    kept = [each for each in mixed if each.type != more]
    after = {each.key: each for each in plan(Batch(queues=(InstanceQueue(type=more), *kept)))}
    for key, each in before.items():
        if each.kind == "type" and each.instance_types != (more,):
            assert after[key] == each


@given(settings())
def test_each_plan_says_what_the_outputs_want(made: Batch) -> None:
    for each in plan(made):
        said = Queue(
            name="made",
            kind=each.kind,
            instance_types=each.instance_types,
            market=each.market,
            architecture=each.architecture,
            max_vcpus=each.max_vcpus,
            fair_share=made.fair_share,
            gpu=each.gpu,
        )
        assert said.gpu == each.gpu


@pytest.mark.parametrize(("count", "general", "fits"), [(20, False, True), (20, True, False)])
def test_twenty_pairs_at_most(count: int, general: bool, fits: bool) -> None:
    made = Batch(
        queues=tuple(InstanceQueue(type=name) for name in USABLE[:count]),
        general=GeneralQueue() if general else None,
    )
    found = [each.text for each in problems(made)]
    assert found == ([] if fits else ["21 pairs of queue and compute environment (allowed: 20)"])


def test_all_that_is_wrong_is_said_at_once() -> None:
    spot: tuple[Market, ...] = ("spot",)
    made = Batch(
        queues=(
            InstanceQueue(type="hpc7a.96xlarge", markets=spot),
            InstanceQueue(type="c7i.large", markets=()),
            InstanceQueue(type="c7i.xlarge", markets=("spot", "spot")),
            InstanceQueue(type="nonsense.large"),
        ),
        general=GeneralQueue(families=("c7i", "g5", "m8g")),
    )
    said = [(each.path, each.text) for each in problems(made)]
    assert said == [
        ("queues[0].type", "hpc7a.96xlarge is never sold as spot (allowed: on-demand)"),
        ("queues[1].markets", "is empty (allowed: spot, on-demand)"),
        ("queues[2]", "c7i.xlarge spot stands at queues[2] already"),
        (
            "queues[3].type",
            "'nonsense.large' names no instance family (allowed: such as c7i, g5, m8g)",
        ),
        ("general.families", "m8g is arm64, and the queue's architecture is x86_64"),
        (
            "general.families",
            "g5 has a GPU and others have none: jobs without one would pay for it"
            " (allowed: one kind in a queue)",
        ),
    ]
    with pytest.raises(UsageError, match=r"never sold as spot.*queues\[1\]"):
        plan(made)


def test_a_batch_without_any_queue_is_refused() -> None:
    assert [each.path for each in problems(Batch(general=None))] == ["queues"]
    assert [each.path for each in problems(Batch(general=GeneralQueue(families=())))] == [
        "general.families"
    ]


def _family(name: str) -> queues.Family:
    said = family(name.split(".", maxsplit=1)[0])
    assert said, name
    return said
