"""The Kubernetes provider's stand-in: objects are applied to a real API server.

Generic: where an object of a kind lies the server tells (discovery), what it may hold the server
checks (strict server-side apply, dry runs in previews). Helm releases are remembered. What it can't
show: the real provider's own checks of types before a server is asked, and charts.

    python -m tests.rigs.sky.kubernetes_provider        started by bin/pulumi-resource-kubernetes
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from concurrent import futures
from typing import Any, NoReturn

import grpc
import yaml
from google.protobuf import any_pb2, empty_pb2
from google.rpc import status_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as pb

from tests.rigs.kubernetes.client import Api, ApiError, Object, UnknownKind
from tests.rigs.sky import faults
from tests.rigs.sky import kubernetes_provider_rules as rules
from tests.rigs.sky.wire import UNKNOWN, Props, has_unknown, pack, unpack

VERSION = "4.34.2"
AUTONAMED = "pulumi.com/autonamed"
WAIT_S = 60
_BIG = 400 << 20
_Diff = pb.DiffResponse


class Unready(Exception):
    """An object is there, but what it should become it did not in time."""


class Server(provider_pb2_grpc.ResourceProviderServicer):
    """One provider resource of a program, which is one cluster."""

    def __init__(self) -> None:
        self.api: Api | None = None
        """None where the cluster is not known yet, in a preview."""
        self.settings: Props = {}
        self.faults = faults.planned()

    # ----------------------------------------------------------------------------- the provider
    def Handshake(self, request, context):
        """Say what the stand-in can take: plain values, no secrets marked."""
        return pb.ProviderHandshakeResponse()

    def GetPluginInfo(self, request, context):
        """Say which provider this stands for."""
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(self, request, context):
        """Say as little as the engine wants to hear."""
        return pb.GetSchemaResponse(schema='{"name": "kubernetes", "version": "%s"}' % VERSION)

    def CheckConfig(self, request, context):
        """Take the provider's own settings as they are."""
        return pb.CheckResponse(inputs=request.news)

    def DiffConfig(self, request, context):
        """Compare the provider's own settings: another cluster replaces all that is in this one.

        Which cluster it is says `clusterIdentifier`; without it, the server in the kubeconfig.
        (provider/pkg/provider/provider.go, DiffConfig)
        """
        olds, news = unpack(request.olds), unpack(request.news)
        keys = [key for key in sorted({*olds, *news}) if olds.get(key) != news.get(key)]
        if "clusterIdentifier" in olds or "clusterIdentifier" in news:
            replaces = [key for key in keys if key == "clusterIdentifier"]
        else:
            moved = _server(olds.get("kubeconfig")) != _server(news.get("kubeconfig"))
            replaces = ["kubeconfig"] if moved else []
        changed = _Diff.DIFF_SOME if keys else _Diff.DIFF_NONE
        return _Diff(changes=changed, diffs=keys, replaces=replaces)

    def Configure(self, request, context):
        """Take the kubeconfig, as text or as a path."""
        self.settings = unpack(request.args)
        kubeconfig = self.settings.get("kubeconfig") or os.environ.get("KUBECONFIG", "")
        try:
            self.api = None if has_unknown(kubeconfig) else Api(kubeconfig)
        except (OSError, LookupError, ValueError, TypeError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"kubeconfig: {error!r}")
        return pb.ConfigureResponse(supportsPreview=True)

    def Cancel(self, request, context):
        """Nothing waits here that a cancel could end sooner."""
        return empty_pb2.Empty()

    def Invoke(self, request, context):
        """No function is served."""
        _abort(context, LookupError(f"the stand-in has no function {request.tok}"))

    # ---------------------------------------------------------------------------- its resources
    def Check(self, request, context):
        """Fill in name and namespace, as the real provider does."""
        olds, news = unpack(request.olds), unpack(request.news)
        if _token(request.urn) == rules.RELEASE:
            lacking = [key for key in ("chart", "version") if not news.get(key)]
            failures = [pb.CheckFailure(property=key, reason="required") for key in lacking]
            news.setdefault("name", olds.get("name") or _autoname(request))
            return pb.CheckResponse(inputs=pack(news), failures=failures)
        meta = news.setdefault("metadata", {})
        if not meta.get("name"):
            meta["name"] = olds.get("metadata", {}).get("name") or _autoname(request)
            meta.setdefault("annotations", {})[AUTONAMED] = "true"
        if self._namespaced(news):
            meta.setdefault("namespace", "default")
        return pb.CheckResponse(inputs=pack(news))

    def Diff(self, request, context):
        """Say what differs in the inputs, and what of it needs a new object."""
        olds, news = unpack(request.old_inputs), unpack(request.news)
        ignored = tuple(request.ignoreChanges)
        found = [
            (path, what)
            for path, what in rules.differences(olds, news)
            if not path.startswith(ignored or ("\0",))
        ]
        release = _token(request.urn) == rules.RELEASE
        fixed = ("name", "namespace") if release else rules.replacing(news)
        replaces = [path for path, _ in found if _below(path, fixed)]
        same_name = _identity(olds) == _identity(news)
        return _Diff(
            changes=_Diff.DIFF_SOME if found else _Diff.DIFF_NONE,
            diffs=list(dict.fromkeys(path.split(".")[0].split("[")[0] for path, _ in found)),
            replaces=replaces,
            detailedDiff={path: _detail(what, path in replaces) for path, what in found},
            hasDetailedDiff=bool(found),
            deleteBeforeReplace=bool(replaces) and same_name,
        )

    def Create(self, request, context):
        """Apply an object that is not there; one that never gets ready stays in the state."""
        inputs, token = unpack(request.properties), _token(request.urn)
        if request.preview:
            return pb.CreateResponse(properties=pack(self._previewed(token, inputs, request.urn)))
        id_ = _id(inputs) if token != rules.RELEASE else _release_id(inputs)
        made = self._do(
            "create", request, context, id_, lambda: self._apply(token, request, inputs, new=True)
        )
        return pb.CreateResponse(id=id_, properties=pack(made))

    def Read(self, request, context):
        """Say what the cluster has, so that what was changed behind the program's back shows."""
        token, state, inputs = (
            _token(request.urn),
            unpack(request.properties),
            unpack(request.inputs),
        )
        if token == rules.RELEASE:
            return pb.ReadResponse(
                id=request.id, properties=request.properties, inputs=request.inputs
            )
        thing = inputs or state
        live = self._do("read", request, context, request.id, lambda: self._live(thing))
        if live is None:
            return pb.ReadResponse()
        news = rules.live_inputs(inputs, live) if inputs else _imported(live)
        return pb.ReadResponse(id=request.id, properties=pack(live), inputs=pack(news))

    def Update(self, request, context):
        """Apply again: fields that the program no longer gives go."""
        news, token = unpack(request.news), _token(request.urn)
        if request.preview:
            return pb.UpdateResponse(
                properties=pack(self._previewed(token, news, request.urn, unpack(request.olds)))
            )
        made = self._do(
            "update", request, context, request.id, lambda: self._apply(token, request, news)
        )
        return pb.UpdateResponse(properties=pack(made))

    def Delete(self, request, context):
        """Delete an object and wait until it is gone, its dependents first."""
        state = unpack(request.properties)

        def delete() -> None:
            if _token(request.urn) != rules.RELEASE:
                self._delete(state, request.timeout or WAIT_S)

        self._do("delete", request, context, request.id, delete)
        return empty_pb2.Empty()

    # ------------------------------------------------------------------------------- how it is done
    def _cluster(self) -> Api:
        if self.api is None:
            raise RuntimeError("the provider has no kubeconfig")
        return self.api

    def _namespaced(self, thing: Object) -> bool:
        if self.api is None:
            return False
        try:
            return self.api.resource(thing["apiVersion"], thing["kind"]).namespaced
        except UnknownKind:
            return bool(thing["metadata"].get("namespace"))

    def _previewed(self, token: str, inputs: Props, urn: str, olds: Props | None = None) -> Props:
        """What an object would be: the server's own answer, where it can give one already."""
        outputs = {"status": UNKNOWN} if olds is None else {"status": olds.get("status")}
        if token == rules.RELEASE or self.api is None or has_unknown(inputs):
            return {**outputs, **inputs}
        try:
            made = self.api.apply(
                inputs, _manager(urn), dry_run=True, force=rules.forced(self.settings, inputs)
            )
        except UnknownKind:  # its definition comes with an earlier resource of the program
            return {**outputs, **inputs}
        except ApiError as error:
            namespace = inputs["metadata"].get("namespace", "")
            if error.status == 404 and f'"{namespace}" not found' in error.message:
                return {**outputs, **inputs}
            raise
        return {**made, **outputs}

    def _apply(self, token: str, request: Any, inputs: Props, *, new: bool = False) -> Props:
        if token == rules.RELEASE:
            return {**inputs, "status": {"status": "deployed", "version": inputs["version"]}}
        api = self._cluster()
        if new and api.read(api.path_of(inputs)) is not None:
            # without upsertExistingObjects the real provider refuses it too
            raise FileExistsError(f"{inputs['kind']} {_id(inputs)} already exists")
        live = api.apply(inputs, _manager(request.urn), force=rules.forced(self.settings, inputs))
        end = time.monotonic() + (request.timeout or WAIT_S)
        while waits := rules.ready(api, live):
            if time.monotonic() > end:
                raise Unready(waits)
            time.sleep(0.05)
            live = api.read(api.path_of(inputs)) or live
        return live

    def _live(self, thing: Object) -> Object | None:
        try:
            return self._cluster().read(self._cluster().path_of(thing))
        except UnknownKind:
            return None

    def _delete(self, state: Object, within_s: float) -> None:
        try:
            self._cluster().delete(self._cluster().path_of(state), within_s=within_s)
        except UnknownKind:
            pass  # it went with its definition

    def _do(
        self,
        op: str,
        request: Any,
        context: grpc.ServicerContext,
        id_: str,
        action: Callable[[], Any],
    ) -> Any:
        """Run an operation, with its faults and its lines in the journal."""
        token, name = _token(request.urn), _name(request.urn)

        def note(when: str) -> None:
            faults.note(faults.Entry(op, when, token, name, id_))

        note("begun")
        try:
            faults.strike(self.faults, op, name, after=False)
            result = action()
            faults.strike(self.faults, op, name, after=True)
        except Exception as error:
            if os.environ.get("SKY_DEBUG"):
                traceback.print_exc()
            note("failed")
            if op == "create" and isinstance(error, Unready):
                _half_made(context, id_, request.properties, str(error))
            _abort(context, error, f"{op} {name}")
        note("done")
        return result


def _token(urn: str) -> str:
    return urn.split("::")[2].rsplit("$", maxsplit=1)[-1]


def _name(urn: str) -> str:
    return urn.split("::", 3)[-1]


def _autoname(request: Any) -> str:
    seed = request.randomSeed or os.urandom(8)
    return f"{_name(request.urn)}-{hashlib.sha256(seed).hexdigest()[:8]}"


def _manager(urn: str) -> str:
    """The name under which a resource owns its fields: one of its own for each."""
    return f"pulumi-kubernetes-{hashlib.sha256(urn.encode()).hexdigest()[:8]}"


def _identity(inputs: Props) -> tuple[Any, Any]:
    meta = inputs.get("metadata", inputs)
    return meta.get("namespace"), meta.get("name")


def _id(inputs: Props) -> str:
    namespace, name = _identity(inputs)
    return f"{namespace}/{name}" if namespace else str(name)


def _release_id(inputs: Props) -> str:
    return f"{inputs.get('namespace') or 'default'}/{inputs['name']}"


def _below(path: str, fixed: tuple[str, ...]) -> bool:
    return any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in fixed)


def _detail(what: str, replaces: bool) -> pb.PropertyDiff:
    word = what + ("_REPLACE" if replaces else "")
    return pb.PropertyDiff(kind=pb.PropertyDiff.Kind.Value(word), inputDiff=True)


def _imported(live: Object) -> Object:
    """The inputs of an object that was not made by the program: all but what the server adds."""
    kept = {key: value for key, value in live.items() if key != "status"}
    meta = {k: v for k, v in live["metadata"].items() if k in ("name", "namespace", "labels")}
    return {**kept, "metadata": meta}


def _server(kubeconfig: Any) -> str:
    if not isinstance(kubeconfig, str) or "\n" not in kubeconfig:
        return str(kubeconfig)
    return yaml.safe_load(kubeconfig)["clusters"][0]["cluster"]["server"]


def _abort(context: grpc.ServicerContext, error: BaseException, doing: str = "") -> NoReturn:
    plain = isinstance(error, ApiError | UnknownKind | Unready | faults.Refused)
    text = str(error) if plain else f"{type(error).__name__}: {error}"
    context.abort(grpc.StatusCode.UNKNOWN, f"{doing}: {text}" if doing else text)
    raise AssertionError("abort returned")


def _half_made(context: grpc.ServicerContext, id_: str, inputs: Any, reason: str) -> None:
    """Send the id along with the error: the engine then keeps the object in its state."""
    detail = any_pb2.Any()
    detail.Pack(
        pb.ErrorResourceInitFailed(id=id_, reasons=[reason], properties=inputs, inputs=inputs)
    )
    code = grpc.StatusCode.UNKNOWN.value[0]
    status = status_pb2.Status(code=code, message=reason, details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))


def serve() -> None:
    """Serve until the engine ends; it reads the port from standard output."""
    limits = [("grpc.max_receive_message_length", _BIG), ("grpc.max_send_message_length", _BIG)]
    server = grpc.server(futures.ThreadPoolExecutor(32), options=limits)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Server(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    parent = os.getppid()
    while os.getppid() == parent and not ended.wait(0.5):
        pass  # a killed engine leaves no orphans
    os._exit(0)


if __name__ == "__main__":
    serve()
