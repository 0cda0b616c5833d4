"""The AWS provider's stand-in: what the engine asks of a provider, for the types of the tables.

Resources are made in a moto server by boto3. Names, default tags and regions are treated as the
real provider treats them (`names.py`). What it can't show: the real provider's own defaults and
checks of values, retries, eventual consistency, quotas, IAM.

    python -m tests.rigs.sky.server        the engine starts it by bin/pulumi-resource-aws
"""

from __future__ import annotations

import os
import secrets
import signal
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, empty_pb2
from google.rpc import status_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as pb

from tests.rigs.sky import faults, kinds, names, schema
from tests.rigs.sky.clients import Clients
from tests.rigs.sky.compare import Change, changes, same
from tests.rigs.sky.kind import Call, Kind
from tests.rigs.sky.names import Provider as Settings
from tests.rigs.sky.wire import DEFAULTS, UNKNOWN, Props, pack, unpack

VERSION = "7.51.1"
DEBUG = "SKY_DEBUG"
_BIG = 400 << 20
_Diff = pb.DiffResponse
_GONE = ("NotFound", "NoSuch", "NonExistent", "DoesNotExist")
"""What AWS's services call a thing that is not there."""


class Refusal(Exception):
    """An answer to the engine that is not a defect of the stand-in."""


class Server(provider_pb2_grpc.ResourceProviderServicer):
    """One provider resource of a program: the engine starts a process for each."""

    def __init__(self, tables: kinds.Tables, clients: Clients) -> None:
        self.tables, self.clients = tables, clients
        self.settings = Settings()
        self.account = ""
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
        return pb.GetSchemaResponse(schema='{"name": "aws", "version": "%s"}' % VERSION)

    def CheckConfig(self, request, context):
        """Check the provider's own settings."""
        news = unpack(request.news)
        failures = [_failure(failure) for failure in names.check_settings(news)]
        return pb.CheckResponse(inputs=request.news, failures=failures)

    def DiffConfig(self, request, context):
        """Compare the provider's own settings; none of them replaces it, as in pulumi-aws."""
        olds, news = unpack(request.olds), unpack(request.news)
        keys = [key for key in sorted({*olds, *news}) if olds.get(key) != news.get(key)]
        changed = _Diff.DIFF_SOME if keys else _Diff.DIFF_NONE
        return _Diff(changes=changed, diffs=keys)

    def Configure(self, request, context):
        """Take the settings; refuse an account that they don't allow."""
        self.settings = names.settings(unpack(request.args))
        try:
            self.account = self.clients.account()
            self.settings.refuse(self.account)
        except Exception as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        return pb.ConfigureResponse(supportsPreview=True)

    def Cancel(self, request, context):
        """Nothing waits here that a cancel could end sooner."""
        return empty_pb2.Empty()

    def Invoke(self, request, context):
        """Call a function of the tables."""
        function = self.tables.calls.get(request.tok)
        args = unpack(request.args)
        if function is None:
            _abort(context, Refusal(f"the stand-in has no function {request.tok}"))
        try:
            result = function(self._call("", args), args)
        except Exception as error:
            _abort(context, error, f"calling {request.tok}")
        said: Any = {"return": pack(result)}
        return pb.InvokeResponse(**said)

    # ---------------------------------------------------------------------------- its resources
    def Check(self, request, context):
        """Check inputs against the package's types; fill in name, region and tags."""
        kind, name = self._kind(request.urn, context), _name(request.urn)
        olds, news = unpack(request.olds), unpack(request.news)
        failures = schema.check(kind.token, news)
        try:
            news = names.fill(kind, news, olds, name, request.randomSeed, self.settings)
        except ValueError as error:
            failures.append(schema.Failure(kind.name or "", str(error)))
        return pb.CheckResponse(inputs=pack(news), failures=[_failure(f) for f in failures])

    def Diff(self, request, context):
        """Say what differs, and what of it needs a new resource."""
        kind = self._kind(request.urn, context)
        olds, news = unpack(request.old_inputs), unpack(request.news)
        ignored = set(request.ignoreChanges)
        found = [c for c in changes(kind, olds, news) if str(c.path[0]) not in ignored]
        replaces = any(change.replaces for change in found)
        return _Diff(
            changes=_Diff.DIFF_SOME if found else _Diff.DIFF_NONE,
            diffs=list(dict.fromkeys(str(change.path[0]) for change in found)),
            replaces=list(dict.fromkeys(str(c.path[0]) for c in found if c.replaces)),
            detailedDiff={change.dotted: _detail(change) for change in found},
            hasDetailedDiff=bool(found),
            deleteBeforeReplace=replaces and names.would_collide(kind, olds, news),
        )

    def Create(self, request, context):
        """Make a resource. One that fails half-made stays in the state, to be gone on with."""
        kind, name = self._kind(request.urn, context), _name(request.urn)
        inputs = unpack(request.properties)
        if request.preview:
            unknown = dict.fromkeys(self._outputs(kind) - set(inputs), UNKNOWN)
            return pb.CreateResponse(properties=pack({**unknown, **inputs}))
        inputs = names.from_prefix(kind, inputs, secrets.token_hex(13))
        call = self._call(name, inputs)

        def make() -> Props:
            call.made(kind.create(call, names.seen(inputs)))
            assert call.id is not None
            self._note("create", "made", kind, name, call.id)
            faults.strike(self.faults, "create", name, after=True)
            return self._state(kind, call, call.id, inputs)

        state = self._do("create", kind, name, context, make, call, inputs)
        return pb.CreateResponse(id=call.id or "", properties=pack(state, kind.secrets))

    def Read(self, request, context):
        """Say what the cloud has, so that what was changed behind the program's back shows."""
        kind, name = self._kind(request.urn, context), _name(request.urn)
        state, inputs = unpack(request.properties), unpack(request.inputs)
        call = self._call(name, {**inputs, **state})
        found = self._do(
            "read",
            kind,
            name,
            context,
            lambda: _or_gone(kind.read, call, request.id, names.seen(state)),
        )
        if found is None:
            return pb.ReadResponse()
        found = names.told_apart(found, inputs, self.settings, kind)
        if not inputs:  # imported: the real provider tells its region too
            found = {"region": call.region, **found}
        news = self._inputs(kind, inputs, found)
        return pb.ReadResponse(
            id=request.id,
            properties=pack(_outputs({**state, **found, **news}), kind.secrets),
            inputs=pack(news),
        )

    def Update(self, request, context):
        """Change a resource from what the cloud has (not from what the state says)."""
        kind, name = self._kind(request.urn, context), _name(request.urn)
        olds, news = unpack(request.olds), unpack(request.news)
        outputs = {
            k: v for k, v in olds.items() if k not in self._given(kind, unpack(request.old_inputs))
        }
        if request.preview:
            outputs |= dict.fromkeys(kind.renewed, UNKNOWN)
            return pb.UpdateResponse(properties=pack({**outputs, **news}))
        call = self._call(name, {**news, "region": olds.get("region") or news.get("region")})
        call.made(request.id)

        def change() -> Props:
            now = _or_gone(kind.read, call, request.id, names.seen(olds))
            if now is None:
                raise Refusal("it is no longer there. Try: pulumi refresh")
            if kind.update is None:
                self._refuse_change(kind, now, names.seen(news))
            else:
                kind.update(call, request.id, now, names.seen({**outputs, **news}))
            faults.strike(self.faults, "update", name, after=True)
            return self._state(kind, call, request.id, {**outputs, **news}, news)

        state = self._do("update", kind, name, context, change)
        return pb.UpdateResponse(properties=pack(state, kind.secrets))

    def Delete(self, request, context):
        """Delete a resource; that it is gone already is no error."""
        kind, name = self._kind(request.urn, context), _name(request.urn)
        state = unpack(request.properties)
        call = self._call(name, state)

        def delete() -> None:
            _or_gone(kind.delete, call, request.id, names.seen(state))
            faults.strike(self.faults, "delete", name, after=True)

        self._do("delete", kind, name, context, delete)
        return empty_pb2.Empty()

    # ------------------------------------------------------------------------------- how it is done
    def _kind(self, urn: str, context: grpc.ServicerContext) -> Kind:
        token = urn.split("::")[2].rsplit("$", maxsplit=1)[-1]
        found = self.tables.kinds.get(token)
        if found is None:
            _abort(context, Refusal(f"the stand-in has no resource type {token}"))
        return found

    def _call(self, name: str, props: Mapping[str, Any]) -> Call:
        region = props.get("region")
        if not isinstance(region, str) or region == UNKNOWN:
            region = self.settings.region
        return Call(self.clients, region, self.account, name)

    def _outputs(self, kind: Kind) -> set[str]:
        known = schema.shape(kind.token)
        return {*kind.computed, *(known.outputs if known else ())} - {"tagsAll"}

    def _given(self, kind: Kind, inputs: Props) -> set[str]:
        """Inputs that the program gave, or could have given: no outputs to carry on."""
        known = schema.shape(kind.token)
        names_ = set(known.inputs) if known else set()
        return ({*inputs} | names_) - set(kind.computed)

    def _state(
        self, kind: Kind, call: Call, id_: str, props: Props, inputs: Props | None = None
    ) -> Props:
        """What the engine keeps: inputs as the program gave them, all else as the cloud has it."""
        found = _or_gone(kind.read, call, id_, names.seen(props))
        if found is None:
            raise Refusal(f"{id_} was made, but can't be found")
        found = names.told_apart(found, inputs or props, self.settings, kind)
        return _outputs({**props, **found, **(inputs or props)})

    def _inputs(self, kind: Kind, inputs: Props, found: Props) -> Props:
        """The inputs as the cloud has them; of an imported resource, all that could be given."""
        if not inputs:
            known = schema.shape(kind.token)
            allowed = set(known.inputs) if known else set(found)
            return {k: v for k, v in found.items() if k in allowed and k not in kind.computed}
        return {
            key: value
            if key == DEFAULTS or key not in found or same(kind, key, value, found[key])
            else found[key]
            for key, value in inputs.items()
        }

    def _refuse_change(self, kind: Kind, now: Props, wanted: Props) -> None:
        """A type without `update` has nothing that could change in place."""
        for key, value in wanted.items():
            if key in now and not same(kind, key, now[key], value):
                raise Refusal(f"the stand-in can't change {key} of {kind.token} in place")

    def _do(
        self,
        op: str,
        kind: Kind,
        name: str,
        context: grpc.ServicerContext,
        action: Callable[[], Any],
        call: Call | None = None,
        inputs: Props | None = None,
    ) -> Any:
        """Run an operation, with its faults and its lines in the journal."""
        self._note(op, "begun", kind, name)
        try:
            faults.strike(self.faults, op, name, after=False)
            result = action()
        except Exception as error:
            if os.environ.get(DEBUG):
                traceback.print_exc()
            self._note(op, "failed", kind, name)
            if call is not None and call.id:
                _half_made(context, call.id, inputs or {}, _message(error))
            _abort(context, error, f"{op} {name}")
        self._note(op, "done", kind, name, (call.id if call else None) or "")
        return result

    def _note(self, op: str, when: str, kind: Kind, name: str, id_: str = "") -> None:
        faults.note(faults.Entry(op, when, kind.token, name, id_))


def _name(urn: str) -> str:
    return urn.split("::", 3)[-1]


def _outputs(state: Props) -> Props:
    return {key: value for key, value in state.items() if key != DEFAULTS}


def _detail(change: Change) -> pb.PropertyDiff:
    word = change.what + ("_REPLACE" if change.replaces else "")
    return pb.PropertyDiff(kind=pb.PropertyDiff.Kind.Value(word), inputDiff=True)


def _failure(failure: schema.Failure) -> pb.CheckFailure:
    return pb.CheckFailure(property=failure.path, reason=failure.reason)


def _message(error: BaseException) -> str:
    if isinstance(error, Refusal | faults.Refused):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _abort(context: grpc.ServicerContext, error: BaseException, doing: str = "") -> NoReturn:
    text = _message(error)
    context.abort(grpc.StatusCode.UNKNOWN, f"{doing}: {text}" if doing else text)
    raise AssertionError("abort returned")


def _half_made(context: grpc.ServicerContext, id_: str, inputs: Props, reason: str) -> None:
    """Send the id along with the error: the engine then keeps the resource."""
    properties = pack(inputs)
    detail = any_pb2.Any()
    detail.Pack(
        pb.ErrorResourceInitFailed(
            id=id_, reasons=[reason], properties=properties, inputs=properties
        )
    )
    status = status_pb2.Status(
        code=grpc.StatusCode.UNKNOWN.value[0], message=reason, details=[detail]
    )
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))


def _or_gone(action: Callable[..., Any], *args: Any) -> Any:
    """None when the cloud says that the thing does not exist."""
    try:
        return action(*args)
    except Exception as error:
        said = getattr(error, "response", {}).get("Error", {})
        code = str(said.get("Code", ""))
        if code == "404" or any(word in code for word in _GONE):
            return None
        raise


def serve() -> None:
    """Serve until the engine ends; it reads the port from standard output."""
    server = grpc.server(
        futures.ThreadPoolExecutor(32),
        options=[
            ("grpc.max_receive_message_length", _BIG),
            ("grpc.max_send_message_length", _BIG),
        ],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(
        Server(kinds.collect(), Clients()), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    parent = os.getppid()
    # a killed engine leaves no orphans
    while os.getppid() == parent and not ended.wait(0.5):
        pass
    os._exit(0)


if __name__ == "__main__":
    serve()
