"""Jobs of the batch API as a scheduler of EMS.

Nothing is kept here that can't be read from the cluster again: a job's id is the name of its Job
or stands in the arguments of an Indexed one, and what was decided about it in the annotations.
Knows which calls are made. What objects are stands in `manifests`, what they mean in `states`.

Two processes that hand over the same job in the same moment, one alone and one in an array, would
start it twice; leases above (one runner a version) keep them apart.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

from ems.compute.backend import Capabilities, Room
from ems.compute.job import JobState, Reason
from ems.compute.kubernetes import manifests, members, quantities, states
from ems.compute.kubernetes.api import Api, ApiError, Object, path
from ems.compute.kubernetes.members import Member
from ems.compute.kubernetes.settings import KubernetesSettings
from ems.compute.remote.order import Native, Order, PlaceError, Refused

MOST_JOBS = 10_000
OLDEST = (1, 29)
"""The first release that has `backoffLimitPerIndex` and `podReplacementPolicy` unasked."""
_MOST_NAMED = 100
"""Above so many, all of EMS's in the namespace are listed: a selector has to fit in a URL."""
_STUCK_S = 2.0
"""A pod is made and gets its node in less, or there is a reason."""
_ROOM_S = 10.0
"""Nodes and pods of the whole cluster are a big answer; they are asked for this often at most."""
_NO_HURRY_S = 3600.0
_CANCELED = Native(JobState.CANCELED, Reason.CANCELED, "was canceled")


class Kubernetes:
    """The Jobs of one namespace, for the target `name`."""

    kind = "kubernetes"

    def __init__(self, name: str, settings: KubernetesSettings, api: Api) -> None:
        self.capabilities: Capabilities = Capabilities(
            durable=True, gpus=True, images=True, most_jobs=MOST_JOBS, targets=(name,)
        )
        self._settings, self._api = settings, api
        self._homes: dict[str, str] = {}
        self._new_enough = False
        self._room = Room()
        self._room_until = 0.0

    @property
    def namespace(self) -> str:
        """Return where its Jobs are."""
        return self._settings.namespace or self._api.namespace()

    # -- start ------------------------------------------------------------------------------------

    def start(self, orders: Sequence[Order]) -> list[Refused | None]:
        """Make Jobs; alike orders go into one. An id that has a Job already is left alone."""
        self.verify_version()
        refused = {each.id: manifests.refusal(each, self._settings) for each in orders}
        wanted = {each.id: each for each in orders if refused[each.id] is None}
        there = self._members(list(wanted))
        new = [order for id, order in wanted.items() if id not in there]
        for group in manifests.together(new):
            refusal = self._create(group)
            refused |= {each.id: refusal for each in group}
        return [refused[each.id] for each in orders]

    def verify_version(self) -> None:
        """Raise PlaceError for a cluster that would drop a field, and so try failed jobs again."""
        if self._new_enough:
            return
        said = self.version()
        if not new_enough(said):
            allowed = ".".join(map(str, OLDEST))
            raise PlaceError(said, f"is too old: Kubernetes {allowed} or later is needed")
        self._new_enough = True

    def _create(self, group: Sequence[Order]) -> Refused | None:
        made = manifests.job(group, self._settings)
        home = made["metadata"]["name"]
        try:
            self._api.create(path("jobs", self.namespace), made)
        except ApiError as error:
            if error.status == 409:
                self._verify(home)
            elif refusal := _refusal(error):
                return refusal
            else:
                raise self._problem(error) from None
        self._homes |= {each.id: home for each in group}
        return None

    def _verify(self, home: str) -> None:
        """Make sure that a Job which is there already is there to stay."""
        meta = self._get_job(home)["metadata"]
        if meta.get("labels", {}).get(manifests.JOB) != home:
            raise PlaceError(f"job {home}", f"is in {self.namespace} already, and is not of EMS")
        if meta.get("deletionTimestamp"):
            raise PlaceError(f"job {home}", f"is still being deleted in {self.namespace}")

    # -- look -------------------------------------------------------------------------------------

    def look(self, ids: Sequence[str]) -> Mapping[str, Native]:
        """Return what Jobs and pods say; what can never start is given up at once."""
        there = self._members(ids)
        pods = self._pods(there.values())
        by_job = _by_job(there.values(), pods)
        said = {
            id: members.judge(each, by_job[each.home].get(each.index)) for id, each in there.items()
        }
        found = {id: native for id, native in said.items() if native is not None}
        silent = [id for id in there if id not in found]
        stuck = [id for id in silent if _age(there[id].job) > _STUCK_S]
        found |= {id: Native(JobState.SUBMITTED) for id in silent}
        if stuck:
            found |= self._stuck({id: there[id] for id in stuck}, by_job)
        found |= self._mounting(there, found, by_job)
        self._give_up(there, found, by_job)
        return found

    def _stuck(
        self, stuck: Mapping[str, Member], by_job: Mapping[str, Mapping[int, Object]]
    ) -> dict[str, Native]:
        """Return why there are no pods."""
        said = self._warnings("FailedCreate")
        found: dict[str, Native] = {}
        for id, each in stuck.items():
            uid = each.job["metadata"]["uid"]
            native = states.of_event(said[uid]) if uid in said else None
            if native is not None and (not native.state.ended or not by_job[each.home]):
                found[id] = native
            else:
                found[id] = Native(JobState.SUBMITTED, waiting=states.waits(each.job))
        return found

    def _mounting(
        self,
        there: Mapping[str, Member],
        found: Mapping[str, Native],
        by_job: Mapping[str, Mapping[int, Object]],
    ) -> dict[str, Native]:
        """Return why pods that have a node don't begin: volumes that can't be mounted."""
        slow: dict[str, str] = {}
        for id, native in found.items():
            pod = by_job[there[id].home].get(there[id].index)
            if pod and native.place and native.state is JobState.SUBMITTED and _age(pod) > _STUCK_S:
                slow[id] = pod["metadata"]["uid"]
        said = self._warnings("FailedMount") if slow else {}
        return {
            id: found[id]._replace(waiting=states.cut(said[uid]))
            for id, uid in slow.items()
            if uid in said
        }

    def _warnings(self, reason: str) -> dict[str, str]:
        """Return the last warning of a kind by object's uid; none where events may not be read."""
        fields = f"type=Warning,reason={reason}"
        try:
            events = self._api.list(path("events", self.namespace), fields=fields)
        except ApiError as error:
            if error.status == 403:
                return {}
            raise self._problem(error) from None
        events.sort(key=lambda each: each.get("lastTimestamp") or each.get("eventTime") or "")
        return {each["involvedObject"].get("uid", ""): each.get("message", "") for each in events}

    def _give_up(
        self,
        there: Mapping[str, Member],
        found: Mapping[str, Native],
        by_job: Mapping[str, Mapping[int, Object]],
    ) -> None:
        """End what will never start, and write down why: its pods would wait for ever."""
        hopeless: dict[str, dict[int, Native]] = {}
        for id, native in found.items():
            member = there[id]
            pod = by_job[member.home].get(member.index)
            unfinished = states.waits_for_ever(member.job, member.index, pod)
            if native.state is JobState.FAILED and unfinished and member.verdict is None:
                hopeless.setdefault(member.home, {})[member.index] = native
        for home, verdicts in hopeless.items():
            job = next(each.job for each in there.values() if each.home == home)
            self._decide(job, verdicts)
            self._delete_pods(job, verdicts, by_job[home], _NO_HURRY_S)

    # -- stop, forget -----------------------------------------------------------------------------

    def stop(self, ids: Sequence[str], grace_s: float) -> None:
        """End jobs; what they were stays written in their Jobs."""
        there = self._members(ids)
        by_job = _by_job(there.values(), self._pods(there.values()))
        for job, indexes in _by_home(there.values()):
            pods = by_job[job["metadata"]["name"]]
            live = [index for index in indexes if not _over(job, index, pods.get(index))]
            if live:
                self._decide(job, dict.fromkeys(live, _CANCELED))
                self._delete_pods(job, live, pods, grace_s)

    def _decide(self, job: Object, verdicts: Mapping[int, Native]) -> None:
        self._patch(job, members.verdicts(job, verdicts))

    def _delete_pods(
        self, job: Object, indexes: Iterable[int], pods: Mapping[int, Object], grace_s: float
    ) -> None:
        """Delete the pods of some indexes, where the Job's own end does not do it as well."""
        chosen = set(indexes)
        whole = len(members.decided(job) | chosen) == len(manifests.ids_of(job))
        for index, pod in pods.items():
            own = pod["spec"].get("terminationGracePeriodSeconds", 30)
            if index in chosen and not (whole and own <= grace_s):
                # zero would not wait for the kubelet to confirm: two might run at once
                grace = max(1, min(int(grace_s), own))
                where = path("pods", self.namespace, pod["metadata"]["name"])
                self._delete(where, {"gracePeriodSeconds": grace})

    def forget(self, ids: Sequence[str]) -> None:
        """Delete Jobs with their pods; an array goes when all of it is forgotten."""
        for job, indexes in _by_home(self._members(ids).values()):
            gone = members.forgotten(job) | set(indexes)
            if len(gone) == len(manifests.ids_of(job)):
                where = path("jobs", self.namespace, job["metadata"]["name"])
                self._delete(where, {"propagationPolicy": "Background"})
            else:
                self._patch(job, members.forgetting(indexes))
        for each in ids:
            self._homes.pop(each, None)

    # -- room, version ----------------------------------------------------------------------------

    def room(self) -> Room:
        """Return what is free on nodes and of quotas; unknown where nodes are hidden, or grow."""
        if time.monotonic() > self._room_until:
            self._room = self._asked_room()
            self._room_until = time.monotonic() + _ROOM_S
        return self._room

    def _asked_room(self) -> Room:
        quotas = self._visible(path("resourcequotas", self.namespace)) or ()
        nodes = None if self._grows() else self._visible("/api/v1/nodes")
        live = "status.phase!=Succeeded,status.phase!=Failed"
        pods = None if nodes is None else self._visible("/api/v1/pods", live)
        if nodes is None or pods is None:
            return quantities.within(Room(), quotas)
        return quantities.within(quantities.room(nodes, pods), quotas)

    def _visible(self, where: str, fields: str = "") -> list[Object] | None:
        """Return objects that one may not be allowed to see; None then."""
        try:
            return self._api.list(where, fields=fields)
        except ApiError as error:
            if error.status == 403:
                return None
            raise self._problem(error) from None

    def _grows(self) -> bool:
        """Whether Karpenter adds nodes for pods that wait, so that those there say little."""
        if self._settings.node_pool:
            return True
        try:
            self._api.get("/apis/karpenter.sh")
        except ApiError as error:
            if error.status in (403, 404):
                return False
            raise self._problem(error) from None
        return True

    def version(self) -> str:
        """Return what answers."""
        try:
            return "kubernetes " + self._api.get("/version")["gitVersion"].removeprefix("v")
        except ApiError as error:
            raise self._problem(error) from None

    def close(self) -> None:
        """Let go of connections; jobs go on."""
        self._api.close()

    # -- calls ------------------------------------------------------------------------------------

    def _members(self, ids: Sequence[str]) -> dict[str, Member]:
        """Return where jobs are; arrays of other processes are looked through for unknown ones."""
        found = members.members(self._jobs({self._homes.get(id, id) for id in ids}))
        if any(id not in found for id in ids):
            found |= members.members(self._list("jobs", manifests.ARRAY))
        self._homes |= {id: found[id].home for id in ids if id in found}
        return {id: found[id] for id in ids if id in found}

    def _jobs(self, homes: set[str]) -> list[Object]:
        return self._list("jobs", _selector(homes)) if homes else []

    def _pods(self, found: Collection[Member]) -> list[Object]:
        if not found:
            return []
        # the Jobs tell which succeeded: of many, those pods need not come
        fields = "status.phase!=Succeeded" if len(found) > _MOST_NAMED else ""
        return self._list("pods", _selector({each.home for each in found}), fields)

    def _list(self, kind: str, labels: str, fields: str = "") -> list[Object]:
        try:
            return self._api.list(path(kind, self.namespace), labels, fields)
        except ApiError as error:
            raise self._problem(error) from None

    def _get_job(self, home: str) -> Object:
        try:
            return self._api.get(path("jobs", self.namespace, home))
        except ApiError as error:
            raise self._problem(error) from None

    def _patch(self, job: Object, change: Object) -> None:
        try:
            self._api.patch(path("jobs", self.namespace, job["metadata"]["name"]), change)
        except ApiError as error:
            if error.status != 404:  # gone: its look will say so
                raise self._problem(error) from None

    def _delete(self, where: str, options: Object) -> None:
        try:
            self._api.delete(where, options)
        except ApiError as error:
            raise self._problem(error) from None

    def _problem(self, error: ApiError) -> PlaceError:
        return self._api.problem(error, self.namespace)


def new_enough(version: str) -> bool:
    """Whether a release (`kubernetes 1.34.1-eks-abc`) has all that Jobs here are made of."""
    return tuple(int(each) for each in re.findall(r"\d+", version)[:2]) >= OLDEST


def _refusal(error: ApiError) -> Refused | None:
    """Return what it means for its orders that a Job may not be made; None: nothing about them."""
    if error.status == 403 and "exceeded quota" in error.message:
        return Refused(Reason.NO_CAPACITY, states.cut(error.message))
    admission = error.status in (400, 413, 422) or (
        error.status == 403 and "cannot create resource" not in error.message
    )
    return Refused(Reason.IMPOSSIBLE, states.cut(error.message)) if admission else None


def _selector(homes: set[str]) -> str:
    if len(homes) > _MOST_NAMED:
        return manifests.JOB
    return f"{manifests.JOB} in ({','.join(sorted(homes))})"


def _by_home(found: Iterable[Member]) -> list[tuple[Object, list[int]]]:
    homes: dict[str, tuple[Object, list[int]]] = {}
    for each in found:
        homes.setdefault(each.home, (each.job, []))[1].append(each.index)
    return list(homes.values())


def _by_job(found: Iterable[Member], pods: Sequence[Object]) -> dict[str, dict[int, Object]]:
    """Return the pods of each Job by index."""
    named: dict[str, list[Object]] = {}
    for pod in pods:
        named.setdefault(pod["metadata"]["labels"][manifests.JOB], []).append(pod)
    jobs = {each.home: each.job for each in found}
    return {home: members.pods_of(job, named.get(home, ())) for home, job in jobs.items()}


def _over(job: Object, index: int, pod: Object | None) -> bool:
    native = members.judge(Member(job, index), pod)
    return native is not None and native.state.ended


def _age(thing: Object) -> float:
    from datetime import UTC, datetime

    made = datetime.fromisoformat(thing["metadata"]["creationTimestamp"])
    # the cluster's clock may be ahead of ours: then it is asked a little early
    return abs((datetime.now(UTC) - made).total_seconds())
