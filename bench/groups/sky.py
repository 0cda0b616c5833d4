"""`pulumi preview` and `up` of `paper`, beside a flat program with as many resources.

Both on the real engine with the provider's stand-in over moto. The flat program is the least that
one could write: a loop over SSM parameters, no component, no settings, nothing that depends on
anything. What EMS adds is its own reading, planning, looking before (which asks AWS) and the order
of things; the stand-in's calls are the same kind on both sides, and it has been asked once before.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench.lineup import Lineup
from bench.measure import Case, Results, Step, Steps
from tests.rigs.sky import install
from tests.rigs.sky.cloud import ACCOUNT, Cloud
from tests.rigs.sky.engine import Engine, Project

FLAT = "flat program"
ENVIRONMENT = "paper"
_PROGRAM = """
import pulumi_aws as aws

region = aws.Provider("here", region="us-west-2")
for number in range({count}):
    aws.ssm.Parameter(
        f"parameter-{{number}}",
        name=f"/bench/parameter-{{number}}",
        type="String",
        insecure_value="a value",
        opts=pulumi.ResourceOptions(provider=region),
    )
"""


def cases(lineup: Lineup) -> list[Case]:
    if not lineup.ems or install.missing():
        return []
    count = Path(lineup.work / "sky-resources")

    def flat(folder: Path, cloud: Cloud) -> Engine:
        source = "import pulumi\n" + _PROGRAM.format(count=int(count.read_text()))
        return Engine(folder / "engine", cloud, Project.inline(source), stack="bench", plain=True)

    def ours(folder: Path, cloud: Cloud) -> Engine:
        engine = Engine(
            folder / "engine", cloud, Project.repository(), stack=ENVIRONMENT, plain=True
        )
        engine.configure({"ems:accounts": [ACCOUNT]})
        if not count.exists():
            count.write_text(str(len(engine.preview().changes)))
        return engine

    return [
        Case("ems", "sky", _steps(ours), repeat_at_most=3),
        Case(FLAT, "sky", _steps(flat), repeat_at_most=3),
    ]


def derive(lineup: Lineup, results: Results) -> None:
    for what in ("preview", "up"):
        ours, flat = results.median(f"sky.{what}", "ems"), results.median(f"sky.{what}", FLAT)
        if ours and flat:
            results.derive(f"sky.{what}.ratio", "ems", ours / flat)


def _steps(start: Callable[[Path, Cloud], Engine]) -> Callable[[Path], Steps]:
    def steps(folder: Path) -> Steps:
        with ExitStack() as stack:
            cloud = stack.enter_context(Cloud())
            engine = stack.enter_context(start(folder, cloud))
            engine.preview()  # moto reads its tables of instance types when first asked: seconds
            variables = engine.environment()
            found = install.folder()
            assert found
            shared = ["--stack", engine.stack, "--non-interactive", "--color", "never"]
            for what, words in (("preview", []), ("up", ["--yes", "--skip-preview"])):
                argv = [str(found / "pulumi"), "-C", str(engine.project_folder), what, *words]
                yield Step(
                    f"sky.{what}",
                    [*argv, *shared],
                    folder,
                    variables,
                    expect="to create" if what == "preview" else "created",
                )

    return steps
