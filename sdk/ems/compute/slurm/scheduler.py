"""Slurm's commands at a login node as a scheduler: sbatch, squeue, scancel, sinfo, sacct.

A job is found by its name, which is new with each submission and stands in the job's folder before
sbatch is asked; so a submission that was cut off anywhere can be looked for. Where it can't be
decided whether sbatch took a job, it is handed over again, and the job that begins first keeps the
other from doing anything. The members of a gang are the tasks of one job. How a job ended is told
by squeue, then by accounting where there is some, then by what the batch script left. Knows the
place's folder by its path there, and no files but those that `script.py` and `gang.py` name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ems.compute.backend import Capabilities, Room
from ems.compute.job import JobState, Reason
from ems.compute.remote.link import Done, Link
from ems.compute.remote.order import Native, Order, PlaceError, Refused, Unreachable
from ems.compute.slurm import answers, gang, options, script, states
from ems.compute.slurm.answers import GANG, Config, Left, Queue, Record

_PATIENCE_S = 60.0
"""Slurm's own patience with its controller is ten seconds, and sbatch tries more than once."""
_MANY_NAMES = 500
"""With more, squeue is asked for all jobs of this user: a command line has an end."""


_WITHOUT_IT = Refused(Reason.LOST, "the other members of its gang were started before")


class _Submission(NamedTuple):
    """What sbatch is asked once: orders with the script and the options of their job."""

    name: str
    orders: Sequence[Order]
    words: Sequence[str]
    text: str
    mark: str = ""


class SlurmScheduler:
    """Jobs of one cluster, by commands over `link`; `root` is the folder as jobs see it.

    `site` are the target's own options (partition, account, …), `preemptible` those for jobs that
    may be taken back. `modules` are loaded for each job before its own.
    """

    kind = "slurm"

    def __init__(
        self,
        link: Link,
        root: str,
        *,
        targets: Sequence[str] = (),
        partition: str = "",
        site: Sequence[str] = (),
        preemptible: Sequence[str] = (),
        modules: Sequence[str] = (),
        most_jobs: int = 1000,
    ) -> None:
        self.capabilities = Capabilities(
            durable=True,
            gpus=True,
            most_jobs=most_jobs,
            modules=True,
            targets=tuple(targets),
            gangs=True,
        )
        self._link, self._root, self._partition = link, root, partition
        self._site, self._preemptible = tuple(site), tuple(preemptible)
        self._modules = tuple(modules)
        self._records: dict[str, Record] = {}
        self._config: Config | None = None

    # -- handing over -----------------------------------------------------------------------------

    def start(self, orders: Sequence[Order]) -> list[Refused | None]:
        """Hand jobs over; those that are alike go as one array, a gang as one job."""
        refused = _unresolved(orders)
        asked = [order for order in orders if order.id not in refused]
        files = self._files([order.id for order in asked])
        fresh = {order.id: order for order in self._not_there(asked, files)}
        made: list[_Submission] = []
        for members in _gangs(asked):
            absent = [fresh.pop(order.id) for order in members if order.id in fresh]
            if len(absent) == len(members):
                made.append(self._gang(members))
            else:
                refused |= dict.fromkeys((order.id for order in absent), _WITHOUT_IT)
        made += map(self._array, self._groups(list(fresh.values())))
        for each in made:
            refusal = self._submit(each, files)
            if refusal is not None:
                refused |= dict.fromkeys((order.id for order in each.orders), refusal)
        return [refused.get(order.id) for order in orders]

    def _not_there(self, orders: Sequence[Order], files: Mapping[str, Left]) -> list[Order]:
        """Return the orders that Slurm has never had, as far as can be known."""
        unsure: dict[str, Record] = {}
        fresh: list[Order] = []
        for order in orders:
            found = files[order.id]
            if found.record is None:
                fresh.append(order)
            elif not (found.record.job or found.started or found.exit):
                unsure[order.id] = found.record
        if unsure:
            queue = self._queue(unsure.values())
            gone = {id for id, record in unsure.items() if queue.find(record) is None}
            fresh += [order for order in orders if order.id in gone]
        return fresh

    def _groups(self, orders: Sequence[Order]) -> list[list[Order]]:
        """Return the orders in arrays of those that differ in nothing but id, name and folder."""
        groups: dict[str, list[Order]] = {}
        for order in orders:
            parent = order.folder.rpartition("/")[0]
            key = repr(order._replace(id="", name="", folder=parent))
            groups.setdefault(key, []).append(order)
        most = self._known_config().most_in_array if len(groups) < len(orders) else 1
        most = max(1, most - 1)  # the largest index is one below, and 0 turns arrays off
        return [g[at : at + most] for g in groups.values() for at in range(0, len(g), most)]

    def _array(self, alike: Sequence[Order]) -> _Submission:
        first, name = alike[0], _name(alike[0])
        words = options.words(first, name, self._root, len(alike), self._site_of(first))
        return _Submission(name, alike, words, script.batch(alike, self._modules))

    def _gang(self, members: Sequence[Order]) -> _Submission:
        whole = gang.gang(members)
        name = _name(whole.orders[0])
        sites = [self._site_of(part[0]) for part in whole.parts]
        words = options.together(whole.parts, name, self._root, sites)
        return _Submission(name, whole.orders, words, gang.batch(whole, self._modules), GANG)

    def _site_of(self, order: Order) -> tuple[str, ...]:
        return (*self._site, *(self._preemptible if order.spot else ()))

    def _submit(self, made: _Submission, files: Mapping[str, Left]) -> Refused | None:
        ids = [f"{order.id} {_first_line(files[order.id].record)}" for order in made.orders]
        stdin, kept = "\n".join((*ids, "", made.text)), script.kept(made.orders)
        done = self._sh(
            script.SUBMIT, self._root, made.name, made.mark, kept, *made.words, stdin=stdin
        )
        said = done.err.decode("utf-8", "replace")
        if done.code == 0:
            job = done.out.decode().strip()
            for index, order in enumerate(made.orders):
                self._records[order.id] = Record(made.name, index, job, bool(made.mark))
            return None
        if done.code in (script.BUSY, script.TAKEN) or states.absent(said):
            raise Unreachable(f"slurm on {self._link.where}", done.said())
        if done.code == 74:
            raise PlaceError(self._root, f"can't be written on {self._link.where}: {done.said()}")
        if done.code == 127:
            raise PlaceError("sbatch", f"is not installed on {self._link.where}")
        self._sh(script.UNDO, self._root, stdin="".join(f"{order.id}\n" for order in made.orders))
        return Refused(*states.refusal(said))

    # -- asking -----------------------------------------------------------------------------------

    def look(self, ids: Sequence[str]) -> Mapping[str, Native]:
        """Return what is known of jobs; one that can never start is taken out of the queue."""
        files = self._files([each for each in ids if not self._complete(each)])
        self._take_note(files)
        records = {each: self._records[each] for each in ids if each in self._records}
        queue = self._queue(records.values()) if records else Queue("")
        found: dict[str, Native] = {}
        hopeless = ""
        for id, record in records.items():
            queued = queue.find(record)
            if queued is not None:
                found[id] = queued.native
                if queued.native.reason is Reason.IMPOSSIBLE:
                    hopeless += f"{id} {queued.word} {queued.native.detail}\n"
        if hopeless:
            self._sh(script.GIVE_UP, self._root, stdin=hopeless)
        unsure = [
            each for each in ids
            if each not in found or found[each].state.ended or records[each].gang
        ]  # fmt: skip
        return found | self._by_files(unsure, found) if unsure else found

    def _by_files(self, ids: Sequence[str], queued: Mapping[str, Native]) -> dict[str, Native]:
        """Return what files and accounting say of jobs that have ended, or are in no queue."""
        made: dict[str, Native] = {}
        unknown: dict[str, Record] = {}
        for id, files in self._files(ids).items():
            before = self._records.get(id)
            self._take_note({id: files})
            record = self._records.get(id)
            if id in queued and record == before:
                better = _of_member if record is not None and record.gang else _better
                made[id] = better(queued[id], files.exit)
            elif id in queued:
                made[id] = Native(JobState.RUNNING)  # it is another job's, which is looked at next
            elif files.exit is not None:
                made[id] = files.exit
            elif record is not None and record.job:
                unknown[id] = record
        return made | self._by_accounting(unknown)

    def _by_accounting(self, records: Mapping[str, Record]) -> dict[str, Native]:
        if not records or not self._known_config().accounting:
            return {}
        jobs = ",".join(sorted({record.job for record in records.values()}))
        text = self._ask("sacct", "-n", "-P", "-X", f"--format={answers.ACCOUNT}", f"--jobs={jobs}")
        found = answers.accounted(text)
        words = {id: (f"{r.job}_{r.at}", r.job) for id, r in records.items()}
        return {
            id: found.get(task) or found[job]
            for id, (task, job) in words.items()
            if task in found or job in found
        }

    def _queue(self, records: Iterable[Record]) -> Queue:
        names = sorted({record.name for record in records})
        whose = "--me" if len(names) > _MANY_NAMES else f"--name={','.join(names)}"
        return Queue(self._ask("squeue", "-h", "-r", "-t", "all", "-O", answers.QUEUE, whose))

    def _files(self, ids: Sequence[str]) -> dict[str, Left]:
        """Return what jobs' own files say; one request for all."""
        if not ids:
            return {}
        paths = "".join(f"{id}/{name}\n" for id in ids for name in answers.FILES)
        done = self._sh(script.READ, self._root, stdin=paths)
        return answers.left(done.out.decode("utf-8", "replace"), ids)

    def _complete(self, id: str) -> bool:
        return id in self._records and bool(self._records[id].job)

    def _take_note(self, files: Mapping[str, Left]) -> None:
        for id, each in files.items():
            if each.record is not None:
                self._records[id] = each.record

    # -- ending -----------------------------------------------------------------------------------

    def stop(self, ids: Sequence[str], grace_s: float) -> None:
        """End jobs: waiting ones at once; a running one's batch script ends it after the grace."""
        self._take_note(self._files([each for each in ids if not self._complete(each)]))
        records = {each: self._records[each] for each in ids if each in self._records}
        queue = self._queue(records.values()) if records else Queue("")
        lines: list[str] = []
        for id, record in records.items():
            queued = queue.find(record)
            if queued is not None and not queued.native.state.ended:
                runs = queued.native.state is JobState.RUNNING
                how = ("gang" if record.gang else "runs") if runs else "waits"
                word = queued.steps if how == "gang" else queued.word
                lines.append(f"{how} {id} {word}\n")
        if not lines:
            return
        done = self._sh(script.STOP, self._root, f"{grace_s:g}", stdin="".join(lines))
        said = done.err.decode("utf-8", "replace")
        if done.code and states.absent(said):
            raise Unreachable(f"slurm on {self._link.where}", done.said())
        if done.code and "permission" in said.lower():
            raise PlaceError(f"slurm on {self._link.where}", done.said())

    def forget(self, ids: Sequence[str]) -> None:
        """Slurm forgets by itself; the job's files go with its folder."""
        for each in ids:
            self._records.pop(each, None)

    # -- the cluster ------------------------------------------------------------------------------

    def nodes(self) -> list[answers.Nodes]:
        """Return the nodes of the partition that jobs go to."""
        text = self._ask("sinfo", "-h", "-O", answers.NODES)
        return answers.of_partition(answers.nodes(text), self._partition)

    def room(self) -> Room:
        """Return what could start now."""
        return answers.room(self.nodes())

    def version(self) -> str:
        """Return the release of the controller."""
        self._config = None
        return f"slurm {self._known_config().version}"

    def close(self) -> None:
        """Let go of the link; jobs go on."""
        self._link.close()

    def _known_config(self) -> Config:
        if self._config is None:
            self._config = answers.config(self._ask("scontrol", "show", "config"))
        return self._config

    # -- commands ---------------------------------------------------------------------------------

    def _sh(self, text: str, *words: str, stdin: str = "") -> Done:
        return self._link.run(["sh", "-c", text, "ems", *words], stdin.encode(), _PATIENCE_S)

    def _ask(self, *words: str) -> str:
        done = self._link.run(words, b"", _PATIENCE_S)
        if done.code:
            said = done.err.decode("utf-8", "replace")
            subject = f"slurm on {self._link.where}"
            raise (Unreachable if states.absent(said) else PlaceError)(subject, done.said())
        return done.out.decode("utf-8", "replace")


def _better(queued: Native, left: Native | None) -> Native:
    """Return how a job ended by both words.

    The script knows the worker's exit, and why EMS took a job out of the queue; Slurm all else.
    """
    given_up = left is not None and left.reason is Reason.IMPOSSIBLE
    plain = given_up or queued.reason in (Reason.EXIT, Reason.SIGNAL)
    return left._replace(place=queued.place) if plain and left is not None else queued


def _of_member(queued: Native, left: Native | None) -> Native:
    """Return how a member of a gang is, by both words; Slurm has one for all of its members.

    Its own tells of itself alone, and first; what only says that it was ended is told better by
    Slurm, where it knows why.
    """
    if left is None:
        return queued
    ended_by_slurm = queued.state.ended and queued.reason not in (
        None, Reason.EXIT, Reason.SIGNAL, Reason.CANCELED
    )  # fmt: skip
    was_ended = left.reason in (Reason.SIGNAL, Reason.CANCELED, Reason.LOST)
    return queued if ended_by_slurm and was_ended else left._replace(place=queued.place)


def _unresolved(orders: Sequence[Order]) -> dict[str, Refused]:
    """Refuse those whose secrets can't be resolved, and the gangs that they are members of."""
    refused: dict[str, Refused] = {}
    for order in orders:
        if problem := script.problem_of(order.secrets):
            refused[order.id] = Refused(Reason.IMPOSSIBLE, problem)
    for members in _gangs(orders):
        said = next((refused[order.id] for order in members if order.id in refused), None)
        if said is not None:
            refused |= dict.fromkeys((order.id for order in members), said)
    return refused


def _gangs(orders: Sequence[Order]) -> list[list[Order]]:
    """Return the orders that start together; a gang's only member here is a job like others."""
    found: dict[str, list[Order]] = {}
    for order in orders:
        if order.member is not None:
            found.setdefault(order.member.gang, []).append(order)
    return [members for members in found.values() if len(members) > 1]


def _name(order: Order) -> str:
    return f"{order.name}.{os.urandom(6).hex()}"


def _first_line(record: Record | None) -> str:
    return record.first_line if record is not None else ""
