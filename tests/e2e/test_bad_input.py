"""Bad input: one clear line, exit code 2, no traceback, and nothing started."""

from __future__ import annotations

from tests.e2e.lab import Lab

GOOD = """
    import ems

    @ems.task
    def one():
        return {"rows": [1]}

    @ems.task
    def use(x):
        return x

    @ems.pipeline
    def main(workers: int = 1, name: str = "x", rate: float = 0.5):
        return use(one())
    """


def test_files_and_pipelines_that_are_not_there(lab: Lab) -> None:
    lab.write("pipeline.py", GOOD)
    lab.write("notes.txt", "x")
    lab.write("none.py", "import ems\n\ndef main():\n    pass\n")
    lab.write(
        "two.py",
        """
        import ems

        @ems.pipeline
        def first():
            pass

        @ems.pipeline
        def second():
            pass
        """,
    )
    missing = lab.bad("run", "pipelin.py")
    assert "pipelin.py" in missing and "no such file" in missing and "pipeline.py" in missing
    assert "folder" in lab.bad("run", ".")
    assert "notes.txt" in lab.bad("run", "notes.txt")
    assert "none.py" in (none := lab.bad("run", "none.py")) and "no pipeline" in none
    two = lab.bad("run", "two.py")
    assert "first" in two and "second" in two and "two.py:first" in two
    wrong = lab.bad("run", "pipeline.py:mein")
    assert "mein" in wrong and "did you mean 'main'" in wrong
    assert "FILE" in lab.bad("run")
    assert not (lab.root / ".ems").exists()
    lab.write("my-file.py", GOOD)
    assert "my-file.py" in (name := lab.bad("run", "my-file.py")) and "letters" in name


def test_parameters_that_do_not_fit(lab: Lab) -> None:
    lab.write("pipeline.py", GOOD.replace("def main(", "def main(needed: int, "))
    lab.write("list.yaml", "- 1\n")
    lab.write("broken.yaml", "a: [1\nb: }\n")
    lab.write("unknown.yaml", "needed: 1\nwrokers: 2\n")
    lab.write("typed.yaml", "needed: 1\nworkers: many\n")

    def bad(*words: str) -> str:
        done = lab.here("run", "pipeline.py", *words)
        assert done.code == 2 and done.out == ""
        return done.error

    assert "needed" in bad()
    unknown = bad("-p", "needed=1", "-p", "wokers=2")
    assert "'wokers'" in unknown and "did you mean 'workers'" in unknown and "rate" in unknown
    for value in ("many", "1.5", "[1]", "true", ""):
        line = bad("-p", "needed=1", "-p", f"workers={value}")
        assert "workers" in line and "int" in line, value
    assert "rate" in bad("-p", "needed=1", "-p", "rate=fast")
    assert "'workers'" in bad("-p", "workers")
    assert "missing.yaml" in bad("--params", "missing.yaml")
    assert "mapping" in bad("--params", "list.yaml")
    assert "broken.yaml" in bad("--params", "broken.yaml")
    assert "did you mean 'workers'" in bad("--params", "unknown.yaml")
    assert "'many'" in bad("--params", "typed.yaml")
    assert "-j" in bad("-p", "needed=1", "-j", "0")
    assert "--jbos" in bad("--jbos", "2")
    assert "tabel" in bad("-o", "tabel")
    assert "did you mean 'one'" in bad("-p", "needed=1", "--rerun", "onee")
    assert "nothing" in bad("-p", "needed=1", "--until", "nothing")
    assert "did you mean 'run'" in lab.bad("rnu", "pipeline.py")


IN_FILE: dict[str, tuple[str, list[str]]] = {
    "syntax": ("def broken(:\n    pass\n", ["pipeline.py:1", "syntax"]),
    "unfinished": ("import ems\n\nx = (1,\n", ["pipeline.py:3", "syntax"]),
    "indentation": ("import ems\n  x = 1\n", ["pipeline.py:2", "ind"]),
    "null": ("import ems\nx = '\0'\n", ["pipeline.py"]),
    "import": ("import ems\nimport no_such_module\n", ["pipeline.py:2", "no_such_module"]),
    "name": ("import ems\n\nprint(undefined)\n", ["pipeline.py:3", "undefined"]),
    "lines": ("import ems\nraise ValueError('two\\nlines')\n", ["pipeline.py:2", "two lines"]),
    "exit": ("import ems\nimport sys\nsys.exit(5)\n", ["pipeline.py:3", "5"]),
    "helper": ("import ems\nimport helper\n", ["helper.py:2", "syntax"]),
    "memory": (
        "import ems\n@ems.task(memory='4096')\ndef f(): pass\n", ["pipeline.py:2", "4096", "GiB"]
    ),
    "memory unit": ("import ems\n@ems.task(memory='4 XB')\ndef f(): pass\n", ["4 XB", "GiB"]),
    "timeout": ("import ems\n@ems.task(timeout='10 parsecs')\ndef f(): pass\n", ["10 parsecs"]),
    "cpus": ("import ems\n@ems.task(cpus=-1)\ndef f(): pass\n", ["cpus", "-1"]),
    "gpus": ("import ems\n@ems.task(gpus=0.5)\ndef f(): pass\n", ["gpus", "0.5"]),
    "retries": ("import ems\n@ems.task(retries=-1)\ndef f(): pass\n", ["retries", "-1"]),
    "retries type": ("import ems\n@ems.task(retries='2')\ndef f(): pass\n", ["retries", "'2'"]),
    "task argument": (
        "import ems\n\n@ems.task(memroy=4)\ndef f(): pass\n",
        ["pipeline.py:3", "'memroy'", "did you mean 'memory'"],
    ),
    "pipeline argument": (
        "import ems\n@ems.pipeline(nmae='x')\ndef f(): pass\n", ["'nmae'", "did you mean 'name'"]
    ),
    "command argument": (
        "import ems\nc = ems.command('x', output={})\n", ["'output'", "did you mean 'outputs'"]
    ),
    "command output": ("import ems\nc = ems.command('x {out.o}', outputs={'p': 'q'})\n", ["out.o"]),
    "command placeholder": ("import ems\nc = ems.command('x {1}')\n", ["{1}", "{name}"]),
    "command brace": ("import ems\nc = ems.command('x {a')\n", ["pipeline.py:2", "x {a"]),
    "command quote": ("import ems\nc = ems.command('x \"open')\n", ["pipeline.py:2", "open"]),
    "command path": (
        "import ems\nc = ems.command('x', outputs={'o': '../o'})\n", ["../o", "scratch"]
    ),
    "uses outside": (
        "import ems\n@ems.task(uses='../x')\ndef f(): pass\n"
        "@ems.pipeline\ndef main():\n    f()\n", ["../x"]
    ),
}  # fmt: skip


def test_files_that_cant_be_read(lab: Lab) -> None:
    lab.write("helper.py", "x = 1\ny = = 2\n")
    wrong: list[str] = []
    for case, (text, words) in IN_FILE.items():
        (lab.root / "pipeline.py").write_text(text)
        done = lab.here("run", "pipeline.py")
        lines = done.err.strip().splitlines()
        fits = done.code == 2 and len(lines) == 1 and "Traceback" not in done.err
        if not fits or not all(word in done.err for word in words):
            wrong.append(f"{case}: {words}: exit {done.code}: {done.err}")
    assert not wrong, "\n".join(wrong)


IN_PIPELINE: dict[str, tuple[str, list[str]]] = {
    "if": ("if one():\n        use(1)", ["`if`", "the result of one"]),
    "while": ("while one()['rows']:\n        use(1)", ["one['rows']"]),
    "for": ("for row in one()['rows']:\n        use(row)", ["looped", "ems.map"]),
    "comprehension": ("[use(row) for row in one()]", ["looped", "ems.map"]),
    "unpacking": ("a, b = one()", ["unpacked"]),
    "len": ("range(len(one()))", ["length"]),
    "in": ("1 in one()", ["looked up"]),
    "format": ('f"{one()}"', ["text"]),
    "str": ("str(one())", ["text"]),
    "print": ("print(one())", ["text"]),
    "arithmetic": ("one() + 1", ["computed"]),
    "compare": ("one() == 1", ["compared"]),
    "open": ("open(one())", ["computed"]),
    "call": ("one()()", ["called"]),
    "slice": ("one()[1:]", ["item"]),
    "range": ("range(one())", ["computed"]),
    "arguments": ("use(1, 2)", ["use", "2"]),
    "keyword": ("use(y=1)", ["'y'", "it has x"]),
    "missing": ("use()", ["use", "x"]),
    "twice": ("use(1, x=2)", ["two values", "'x'"]),
    "file": ("use(ems.File('nope.csv'))", ["nope.csv", "no such file", "'x'"]),
    "folder": ("use(ems.Dir('nope'))", ["nope", "'x'"]),
    "file folder": ("use(ems.File('.'))", ["'x'"]),
    "object": ("use({'a': [object()]})", ["'x'['a'][0]", "object"]),
    "function": ("use(lambda: 1)", ["'x'", "function"]),
    "path": ("import pathlib; use(pathlib.Path('pipeline.py'))", ["ems.File", "'x'"]),
    "after": ("use(1, after=3)", ["after=3"]),
    "map": ("ems.map(use, 3)", ["ems.map", "3"]),
    "fold": ("ems.fold(use, one(), 0)", ["use", "state"]),
    "order": ("ems.files('*', order='size')", ["'size'", "'arrival'"]),
    "command keywords": ("tool(1)", ["tool", "keywords", "a"]),
    "command missing": ("tool()", ["a"]),
    "error": ("{}['key']", ["KeyError: 'key'"]),
    "cycle": ("main()", ["main → main"]),
    "long cycle": ("second()", ["main → second → third → main"]),
    "endless": ("endless(0)", ["pipeline.py:", "calls itself"]),
    "result": ("return object()", ["result", "object"]),
}  # fmt: skip

BODY = """
import ems

@ems.task
def one():
    return {"rows": [1]}

@ems.task
def use(x):
    return x

tool = ems.command("tool {a}")

@ems.pipeline
def third():
    main()

@ems.pipeline
def second():
    return third()

@ems.pipeline
def endless(n):
    return endless(n + 1)

@ems.pipeline
def main():
    #
"""
LINE = len(BODY.splitlines()) + 1


def test_pipelines_that_decide_or_call_what_they_cant(lab: Lab) -> None:
    wrong: list[str] = []
    for case, (body, words) in IN_PIPELINE.items():
        (lab.root / "pipeline.py").write_text(f"{BODY}    {body}\n")
        done = lab.here("run", "pipeline.py")
        lines = done.err.strip().splitlines()
        fits = done.code == 2 and len(lines) == 1 and "Traceback" not in done.err
        located = [f"pipeline.py:{LINE}"] if case not in ("long cycle", "endless", "result") else []
        if not fits or not all(word in done.err for word in words + located):
            wrong.append(f"{case}: {words}: exit {done.code}: {done.err}")
    assert not wrong, "\n".join(wrong)


def test_settings(lab: Lab) -> None:
    lab.write("pipeline.py", GOOD)
    for text, words in {
        "stoer: x\n": [".ems.yaml:1", "'stoer'", "did you mean 'store'"],
        "jobs: 2\nworkers: 3\n": [".ems.yaml:2", "'workers'", "known: store"],
        "jobs: none\n": [".ems.yaml:1", "jobs", "'none'"],
        "jobs: 0\n": ["jobs", "0"],
        "store: [a]\n": ["store"],
        "environment: x\n": ["environment", "mapping"],
        "environment: {requirements: nope.txt}\n": ["nope.txt"],
        "environment: {requirments: x}\n": ["requirments", "did you mean 'requirements'"],
        "- a\n": [".ems.yaml", "mapping"],
        "a: [\n": [".ems.yaml:", "YAML"],
        "jobs: 1\njobs: 2\n": [".ems.yaml:2", "line 1"],
    }.items():
        lab.write(".ems.yaml", text)
        line = lab.here("run", "pipeline.py").error
        assert all(word in line for word in words), (text, line)


def test_runs_and_versions_that_are_not_there(lab: Lab) -> None:
    lab.write("pipeline.py", GOOD)
    lab.run()
    lab.run()
    wrong: list[str] = []
    for words in (
        ("show", "abcdef"), ("show", "20200101-000000-xxxx"), ("show", "last~7"),
        ("show", "not-a-thing"), ("logs", "abcdef"), ("logs", "nothing"),
        ("export", "abcdef", "there"), ("why", "nothing", "use"), ("why", "last", "uze"),
        ("diff", "last", "nothing"), ("diff", "last~9", "last"), ("show", ""), ("logs", "last~9"),
    ):  # fmt: skip
        done = lab.here(*words)
        fits = done.code == 2 and len(done.err.strip().splitlines()) == 1
        named = words[1] if words[0] != "diff" and words[1] != "last" else words[-1]
        known = named in done.err or words[1] in done.err
        if not (fits and known) or "Traceback" in done.err:
            wrong.append(f"{words}: exit {done.code}: {done.err}")
    assert not wrong, "\n".join(wrong)
