"""Sentences of the reference that the code has no place for; a test holds each table complete."""

from __future__ import annotations

RETURNED: dict[str, dict[str, str]] = {
    "context": {
        "ems.worker.context.Context": "It has these; `version` is hexadecimal (empty outside"
        " a run), `seed` a whole number below 2**31 that depends on the task's arguments alone, and"
        " `attempt` counts from 1"
    },
    "Run": {
        "ems.pipeline.observer.Failure": "Each of `failures`",
        "ems.store.entries.Record": "Each of `records` (`v` is the version, `t0` and `t1` start and"
        " end in Unix time)",
    },
}

REASONS = {
    "exception": "the task raised an exception; its type and message are shown",
    "exit": "the program, or the task's own `sys.exit`, ended with this exit code",
    "signal": "the process was ended by this signal",
    "timed_out": "it ran longer than its `timeout`",
    "out_of_memory": "it took more than its `memory`, or the machine had none left",
    "canceled": "the run was canceled while it was under way",
    "unkept": "its result holds something that can't be kept; the object and attribute are named",
    "input_changed": "a file that it was given changed while the run went on",
    "input_missing": "a file that it was given is gone",
    "output_missing": "a command ended well and did not write one of its outputs",
    "outside_scratch": "it returned a file that does not lie in its scratch folder",
    "environment": "what is installed is not what is declared",
    "import": "it imported a module of the project that its version does not name; see `uses=`",
    "impossible": "it asks for more than this machine has",
    "no_capacity": "a place had no room for it",
    "preempted": "a place took the machine away",
    "bad_image": "its image can't be had or started",
    "lost": "nothing is known any more of where it ran",
    "worker": "the worker ended for a reason of its own",
}

ENVIRONMENT = {
    "lock": "a lock file: `uv.lock`, `poetry.lock`, `pylock.toml`",
    "requirements": "a requirements file, as pip reads it",
    "conda": "a conda environment file",
    "image": "a container image by digest: `name@sha256:…`",
    "modules": "environment modules, each with its version: `[gcc/12.2, cuda/12.4]`",
    "python": 'the minor version of Python, in quotes: `"3.11"`',
}

VARIABLES = {
    "EMS_STORE": "the store; goes before `store:` in `.ems.yaml`, and `emsctl --store` before it",
    "EMS_CACHE": "the folder for what can be made again: the index, digests of files and code,"
    " objects fetched from S3. By default `$XDG_CACHE_HOME/ems`, or `~/.cache/ems`",
    "EMS_STACK": "the sky; goes before `stack:` in `.ems.yaml`",
    "EMS_DEBUG": "if set, errors come with their traceback",
    "NO_COLOR": "if set, terminals get no colours",
    "AWS_…": "for a store on S3: credentials, region, profile and `AWS_ENDPOINT_URL`, as the AWS"
    " tools read them",
}

GIVEN = {
    "OMP_NUM_THREADS, OPENBLAS_NUM_THREADS, MKL_NUM_THREADS, NUMEXPR_NUM_THREADS,"
    " VECLIB_MAXIMUM_THREADS": "the CPUs that the task asked for, so that tasks side by side do not"
    " get in each other's way",
    "PYTHONHASHSEED": "0, so that the order of a set does not change a result",
    "CUDA_VISIBLE_DEVICES": "the GPUs that the task was given; none where it asked for none, on a"
    " machine that has some",
    "PATH": "the folder of EMS's own Python stands first, so that `python` in a command is the one"
    " whose packages are in the version",
    "EMS_VERSION": "for commands: the version, in hexadecimal",
    "EMS_SEED": "for commands: a whole number that depends on the arguments alone",
    "EMS_ATTEMPT": "for commands: which attempt this is, from 1",
    "EMS_CHECKPOINT": "for commands: a folder that a later attempt at the same version finds again",
    "EMS_PYTHON": "for commands: the Python that runs the worker",
    "EMS_CANCEL": "in a job at a place: a file that is there once EMS asks the job to end",
    "EMS_DRIVER": "for a runner that is a job: the target where it runs",
    "EMS_BASE": "for a runner that is a job: where relative paths of targets begin",
    "EMS_GANG": "for members of a gang: what names this try of it, in hexadecimal",
    "EMS_ROLE": "for members of a gang: the name of the role",
    "EMS_ROLE_RANK": "for members of a gang: which of its role it is, from 0",
    "EMS_ROLE_SIZE": "for members of a gang: how many its role has",
    "EMS_RANK": "for members of a gang: which of all members it is, from 0; RANK says the same",
    "EMS_SIZE": "for members of a gang: how many there are; WORLD_SIZE says the same",
    "EMS_PEERS": "for members of a gang: a JSON file with the `role`, `role_rank`, `rank`,"
    " `address` and `port` of each; `ems.peers()` reads it",
    "EMS_PORT": "for members of a gang: a port that was kept free for this one; MASTER_PORT is that"
    " of rank 0",
    "EMS_ADDRESS": "for members of a gang: where the others reach this machine; MASTER_ADDR is that"
    " of rank 0. Set where the job runs, or in its `variables`, it goes before what the machine"
    " finds out",
    "EMS_PORTS": "read by members of a gang: the ports that may be used, `7000-7010`, where a"
    " firewall lets only these through",
    "EMS_CPUS": "for members of a gang: the CPUs that its role asks for",
    "EMS_JOB": "in a container of a place at S3: the address of the job that it is for",
    "EMS_JOBS": "the same for an array: the address of the list that the child chooses from",
    "EMS_COURIER": "for the worker: another process carries its messages out, and it ends then",
    "EMS_SCRATCH": "for workers at S3: the folder for inputs and work, `$TMPDIR` by default",
    "EMS_GRACE_S": "for workers at S3: the seconds between SIGTERM and the end, 30 by default",
    "EMS_WORKER": "a mark by which EMS finds what a task left running, to end it",
}

RUNS = {
    "done": "everything asked for is there",
    "failed": "a task failed; with `--keep-going`, what did not need it is done",
    "unfinished": "no task failed and not everything is done: SIGTERM or a lost terminal ended it,"
    " or EMS itself had to",
    "canceled": "a person ended it, by Ctrl-C; what finished is kept",
    "running": "its runner is alive",
    "died": "its runner is gone without a word; what it finished is kept",
}

CALLS = {
    "ran": "it was computed in this run",
    "cached": "its version was known",
    "failed": "it failed for good, after its retries",
    "skipped": "something that it needs failed",
    "pending": "the run ended before it was its turn",
    "left out": "`--until` left it out",
}

MANIFEST = {
    "schema": "of this document; 1",
    "version": "64 hexadecimal digits; commands take the first few",
    "task": "the task's name",
    "state": "`recorded`, `failed` or `revoked` (its result was found damaged and counts no more)",
    "run": "the run that computed it",
    "spec": "what it was made of: see below",
    "args": "the arguments by name, as trees; a result of another task is `$of` with its version",
    "out": "the result as a tree; null where it failed",
    "content": "the digest of the result, which is what later versions are made of",
    "files": "the objects that the result needs: `[digest, bytes]`",
    "asked": "the resources that were asked for",
    "usd": "what it cost; 0 on this machine",
    "reason": "why it failed, a word of [these](settings.md#reasons-of-a-failure), or empty",
    "signal": "the signal that ended it, or null",
    "error": "of a failure: type, message, traceback; or null",
    "exit": "the exit status, or null",
    "log": "what it wrote to standard output and error",
    "metrics": "what it reported: a list of `{step, t, metrics}`",
    "started": "Unix time, seconds",
    "ended": "Unix time, seconds",
    "seconds": "how long it took",
    "used": "`cpu_s`, CPU seconds; `rss_mib`, peak memory",
    "place": "backend and machine",
    "who": "the user who ran it",
    "attempts": "every attempt at it, oldest first: see below",
}

SPEC = {
    "digest": "the object that holds this",
    "schema": "of this part; 1",
    "kind": "`python` or `command`",
    "name": "the task's name",
    "entry": "module and function",
    "key": "the digest of kind, parameters, code, environment, template and outputs: what a version"
    " has of its spec",
    "params": "the names of the parameters, in order",
    "code": "part by part, the digests of the code that it reaches: `module:name` of a symbol,"
    " `file:path` of a file",
    "env": "the Python version and the packages that it reaches, with their versions",
    "template": "of a command: its words",
    "outputs": "of a command: the path of each output",
    "modules": "the modules that a worker may import, and their files",
    "sources": "the object with the normal form of each part, which `emsctl why` compares",
    "search": "the folders, below the project's, that modules are found in",
    "bundle": "the project's files that it is run with: path and digest",
}

ATTEMPT = {
    "state": "`recorded` (the one that counts), `failed` or `superseded`",
    "reason": "why it failed, or empty",
    "run": "the run it was made in",
    "gen": "how often this version was claimed when it ran; above 1 after a takeover",
    "try": "of a failure: 1 for the first try in its run, 2 for its first retry",
    "who": "the user who ran it",
    "place": "backend and machine",
    "started": "Unix time, seconds",
    "ended": "Unix time, seconds",
    "seconds": "how long it took",
}

TREES = {
    "$file": "`[digest, bytes, name]` of a file",
    "$dir": "`[digest, bytes, name]` of a folder",
    "$of": "`[version, steps]`: (a part of) another task's result",
    "$object": "`[digest, bytes]` of a tree that is too long to stand here",
    "$npy, $torch": "`[digest, bytes, …]` of an array, as an npy file",
    "$arrow": "`[digest, bytes, kind]` of a frame or table, as an Arrow file",
    "$pickle": "`[digest, bytes]`, of tasks with `pickle=True` only",
    "$tuple, $set, $frozenset": "their items",
    "$dict": "pairs, where keys are no plain words",
    "$data, $named": "a dataclass or named tuple: its class, and `$fields`",
    "$enum": "class and name of a member",
    "$bytes, $bytearray": "base64",
    "$float": "`nan`, `inf` or `-inf`",
    "$complex, $decimal, $uuid, $path": "text",
    "$date, $datetime, $time": "ISO 8601",
    "$timedelta": "`[days, seconds, microseconds]`",
    "$range": "`[start, stop, step]`",
    "$npscalar": "`[dtype, text]` of a NumPy scalar",
}

JOB = """`job.json` or `job.yaml` holds one job, or a list, and `emsctl job submit` takes it;
`ems.submit_job` takes the same keys as a mapping. Every fault is named with its key and line, and
nothing is submitted where there is one. Editors that know JSON schema complete and check the file
by [job.schema.json](job.schema.json).

```yaml
name: train
command: python train.py --seed 3 --out {out.model}
resources: {cpus: 4+, memory: 16, gpus: 1}
environment: {requirements: requirements.txt}
secrets: {WANDB_API_KEY: env:WANDB_API_KEY}
inputs: {train.py: train.py, data: ../data}
outputs: {model: model.pt}
on: [robots, cluster]
timeout: 2h
retries: 2
```

A job on `local` lives as long as the command that submitted it. Gangs (`roles`) can be written
down, and no place runs them yet.
"""
