"""Any program as a task: its arguments, its code and its outputs, with no change to it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.lab import Lab, ran

NASTY = [
    "plain",
    "",
    " two  spaces ",
    "it's",
    'say "hi"',
    "$(touch hacked)",
    "`touch hacked`",
    "$HOME ${PATH}",
    "a\nb\n",
    "tab\there",
    "Grüße 🤖 \u2028",
    "--leading",
    "-",
    "*.py",
    "~",
    "a;b&&c|d>e<f",
    "back\\slash\\n",
    "%s {x} {{y}} {out.o}",
    "#no comment",
    "!history",
    "'; touch hacked; '",
]

SHOW = """
    import json
    import sys

    with open(sys.argv[1], "w") as out:
        json.dump(sys.argv[2:], out)
    """


def test_arguments_arrive_as_they_are(lab: Lab) -> None:
    lab.write("tool.py", SHOW)
    lab.write("nasty.json", json.dumps(NASTY))
    lab.write(
        "pipeline.py",
        """
        import json

        import ems

        EACH = "{x} mid={x} 'quoted {x}'"
        DOUBLE = EACH + ' "double {x}"'
        PLAIN = " ".join(EACH.replace("x", each) for each in "abc")
        SHELL = " ".join(DOUBLE.replace("x", each) for each in "abc")

        show = ems.command(
            "python -SE tool.py {out.o} " + PLAIN + " {many} {{braces}} {n}",
            code="tool.py", outputs={"o": "seen.json"},
        )
        shell = ems.command(
            "X=1 python -SE tool.py {out.o} " + SHELL + " {many} | cat && true",
            code="tool.py", outputs={"o": "seen.json"},
        )
        named = ems.command("python tool.py {out.o} {f} {fs}", code=["tool.py"],
                            outputs={"o": "o"})

        @ems.task
        def nasty(path):
            return json.load(open(path))

        @ems.task
        def load(file):
            return json.load(open(file))

        @ems.pipeline
        def main():
            texts = json.load(open("nasty.json"))
            threes = [dict(zip("abc", texts[at : at + 3])) for at in range(0, len(texts), 3)]
            every = nasty(ems.File("nasty.json"))
            file = ems.File("nasty.json")
            return {
                "words": [load(show(**each, many=[each["c"], "x"], n=1.5)["o"])
                          for each in threes],
                "shell": [load(shell(**each, many=[each["a"], "x"])["o"]) for each in threes],
                "list": load(show(a=every[3], b=1, c=0.5, many=every, n=-2)["o"]),
                "empty": load(show(a=None, b=True, c={"k": ["v"]}, many=[], n=2)["o"]),
                "files": load(named(f=file, fs=[file, file])["o"]),
            }
        """,
    )
    result = lab.ems_run().result
    assert len(NASTY) % 3 == 0
    for number in range(len(NASTY) // 3):
        three = NASTY[3 * number : 3 * number + 3]
        plain = [form % text for text in three for form in ("%s", "mid=%s", "quoted %s")]
        assert result["words"][number] == [*plain, three[2], "x", "{braces}", "1.5"]
        forms = ("%s", "mid=%s", "quoted %s", "double %s")
        inside = [form % text for text in three for form in forms]
        assert result["shell"][number] == [*inside, three[0], "x"]
    assert result["list"][:4] == ["it's", "mid=it's", "quoted it's", "1"]
    assert result["list"][9:] == [*NASTY, "{braces}", "-2"]
    assert result["empty"] == [
        "None", "mid=None", "quoted None", "True", "mid=True", "quoted True",
        '{"k": ["v"]}', 'mid={"k": ["v"]}', 'quoted {"k": ["v"]}', "{braces}", "2",
    ]  # fmt: skip
    assert len(result["files"]) == 3
    assert all(json.loads(Path(path).read_text()) == NASTY for path in result["files"])
    assert not list(lab.root.rglob("hacked"))


TRAIN = """
    import sys
    import lib.net
    seed, data, out = sys.argv[1:4]
    with open(out, "w") as stream:
        stream.write(lib.net.name() + seed + open(data).read())
    print("trained")
    """


def test_a_program_reruns_when_its_own_files_change(lab: Lab) -> None:
    lab.write("train.py", TRAIN)
    lab.write("lib/net.py", "def name():\n    return 'net'\n")
    lab.write("lib/deep/more.txt", "one")
    lab.write("unrelated.py", "x = 1\n")
    lab.write("data.txt", "D")
    lab.write(
        "pipeline.py",
        """
        import ems

        train = ems.command(
            "python train.py {seed} {data} {out.model}",
            code=["train.py", "lib/**"], outputs={"model": "runs/model.pt"}, cpus=1,
        )

        @ems.task
        def read(model):
            return [open(model).read(), model.name]

        @ems.pipeline
        def main(seed: int = 1):
            return read(train(seed=seed, data=ems.File("data.txt"))["model"])
        """,
    )
    first = lab.ems_run()
    assert first.result == ["net1D", "model.pt"]
    assert "trained" in str(first.records["train"].log)
    assert ran(lab.ems_run()) == []
    lab.write("unrelated.py", "x = 2\n")
    lab.edit("pipeline.py", ("cpus=1", "cpus=2, memory='1', retries=1, name='other'"))
    assert ran(lab.ems_run()) == []
    lab.write("lib/deep/more.txt", "two")
    assert ran(lab.ems_run()) == ["other"]
    lab.edit("lib/net.py", ("'net'", "'web'"))
    again = lab.ems_run()
    assert ran(again) == ["other", "read"] and again.result[0] == "web1D"
    lab.write("data.txt", "E")
    assert ran(lab.ems_run()) == ["other", "read"]
    lab.edit("pipeline.py", ("{seed} {data}", "{seed}  {data}"))
    assert ran(lab.ems_run()) == ["other"]


def test_programs_that_fail_or_leave_out_an_output(lab: Lab) -> None:
    lab.write(
        "pipeline.py",
        """
        import ems

        lazy = ems.command("echo said so {x}", outputs={"model": "model.pt", "log": "log.txt"})
        exits = ems.command("sh -c 'echo last words; echo err >&2; exit 7' {x}")
        dies = ems.command("sh -c 'kill -9 $$' {x}")
        absent = ems.command("no-such-program-anywhere {x}")
        nolist = ems.command("echo a{x}")

        @ems.pipeline
        def main():
            return [lazy(x=1)["model"], exits(x=1), dies(x=1), absent(x=1), nolist(x=[1])]
        """,
    )
    run = lab.run("-k", code=100)
    assert set(run.how.values()) == {"failed"}
    told = {f["task"]: f for f in run.failures}
    text = {name: "\n".join(f["text"]) for name, f in told.items()}
    assert told["echo[0]"]["reason"] == "output_missing" and "model.pt" in text["echo[0]"]
    assert "said so 1" in text["echo[0]"]
    (seven,) = [f for f in told.values() if f["exit_code"] == 7]
    assert seven["reason"] == "exit" and "exit code 7" in seven["text"][0]
    assert "last words" in "\n".join(seven["text"]) and "err" in "\n".join(seven["text"])
    (killed,) = [f for f in told.values() if f["signal"] == 9]
    assert "signal 9" in killed["text"][0]
    assert "no-such-program-anywhere" in text["no-such-program-anywhere"]
    assert "list inside a word" in text["echo[1]"]
