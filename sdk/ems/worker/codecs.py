"""Typed codecs of single values: dates, enums, paths, bytes, arrays, frames and, opted in, pickle.

Each codec has a tag and knows one kind of value. Libraries are looked up, never imported for a
value that can't be theirs: an array can exist only where its library is loaded already.
"""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import sys

from .values import Unkept, canon, find_type, full_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional

    from .values import Sink, Source, Tree


def dump(value: Any, sink: Sink, path: str) -> Tree:
    """Return the tree of a value that is neither plain data nor a container."""
    for codec in (_dump_standard, _dump_numpy, _dump_torch, _dump_frame):
        tree = codec(value, sink, path)
        if tree is not None:
            return tree
    if sink.pickle:
        return _dump_pickle(value, sink, path)
    kind = type(value)
    name = "%s.%s" % (kind.__module__, kind.__qualname__)
    raise Unkept(path, "is a %s, which can't be kept; %s" % (name, _advice(value)))


def _advice(value: Any) -> str:
    for base in (dict, list, tuple, str, int, float, set):
        if isinstance(value, base):
            return "return a plain %s(…) of it" % base.__name__
    if callable(value):
        return "pass plain data, and define functions at the top of a module"
    if hasattr(value, "__next__"):
        return "return a list of its items"
    return (
        "return plain data, a dataclass, arrays or a file (ems.File), "
        "or opt in to pickle with @ems.task(pickle=True)"
    )


# -- the standard library -------------------------------------------------------------------------


def _dump_standard(value: Any, sink: Sink, path: str) -> Optional[Tree]:
    kind = type(value)
    if kind is bytes or kind is bytearray:
        from base64 import b64encode

        return {"$bytes" if kind is bytes else "$bytearray": b64encode(value).decode("ascii")}
    if kind is complex:
        return {"$complex": repr(value)}
    if kind is range:
        return {"$range": [value.start, value.stop, value.step]}
    module = kind.__module__
    if module == "datetime":
        return _dump_time(value)
    if module == "decimal" and kind.__name__ == "Decimal":
        return {"$decimal": str(value)}
    if module == "uuid" and kind.__name__ == "UUID":
        return {"$uuid": str(value)}
    if module in ("pathlib", "pathlib._local"):
        return _dump_path(value, path)
    enum = sys.modules.get("enum")
    if enum is not None and isinstance(value, enum.Enum):
        return {"$enum": [full_name(kind), value.name]}
    return None


def _dump_time(value: Any) -> Optional[Tree]:
    name = type(value).__name__
    if name in ("datetime", "date", "time"):
        zone = getattr(value, "tzinfo", None)
        if zone is not None and type(zone).__name__ != "timezone":
            return None
        return {"$" + name: value.isoformat()}
    if name == "timedelta":
        return {"$timedelta": [value.days, value.seconds, value.microseconds]}
    return None


def _dump_path(value: Any, path: str) -> Tree:
    import os

    if os.path.exists(value):
        kind = "Dir" if os.path.isdir(value) else "File"
        problem = "is the path %s, whose content would not count; use ems.%s(path), or str(path)"
        raise Unkept(path, (problem + " for its name alone") % (value, kind))
    return {"$path": value.as_posix()}


def _load_complex(item: Any) -> complex:
    return complex(item)


def _load_range(item: Any) -> range:
    return range(*item)


def _load_bytes(item: Any) -> bytes:
    from base64 import b64decode

    return b64decode(item)


def _load_bytearray(item: Any) -> bytearray:
    return bytearray(_load_bytes(item))


def _load_datetime(item: Any) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(item)


def _load_date(item: Any) -> Any:
    from datetime import date

    return date.fromisoformat(item)


def _load_time(item: Any) -> Any:
    from datetime import time

    return time.fromisoformat(item)


def _load_timedelta(item: Any) -> Any:
    from datetime import timedelta

    return timedelta(*item)


def _load_decimal(item: Any) -> Any:
    from decimal import Decimal

    return Decimal(item)


def _load_uuid(item: Any) -> Any:
    from uuid import UUID

    return UUID(item)


def _load_path(item: Any) -> Any:
    from pathlib import Path

    return Path(item)


def _load_enum(item: Any) -> Any:
    return find_type(item[0])[item[1]]


# -- NumPy and torch ------------------------------------------------------------------------------


def _dump_numpy(value: Any, sink: Sink, path: str) -> Optional[Tree]:
    np = sys.modules.get("numpy")
    if np is None or not isinstance(value, (np.ndarray, np.generic)):
        return None
    if value.dtype.hasobject:
        raise Unkept(path, "is an array of objects; use a dtype of numbers or text, or a list")
    if isinstance(value, np.generic):
        text = value.tobytes().hex()
        return {"$npscalar": [value.dtype.str, text]}
    if type(value) is not np.ndarray:
        value = np.asarray(value)
    return {"$npy": _put_array(np, value, sink)}


def _put_array(np: Any, value: Any, sink: Sink) -> Any:
    import io

    from ..hashing import digest_bytes

    straight = value if value.flags.c_contiguous else np.ascontiguousarray(value)
    stream = io.BytesIO()
    np.lib.format.write_array(stream, straight, version=(1, 0), allow_pickle=False)
    digest, size = sink.put_bytes(stream.getvalue())
    kind = value.dtype.str if value.dtype.names is None else canon(repr(value.dtype.descr))
    return [digest, size, kind, list(value.shape), digest_bytes(straight.tobytes())]


def _dump_torch(value: Any, sink: Sink, path: str) -> Optional[Tree]:
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return None
    import numpy as np

    try:
        array = value.detach().cpu().numpy()
    except (TypeError, RuntimeError) as error:
        raise Unkept(path, "is a tensor that NumPy can't hold (%s)" % error) from None
    return {"$torch": _put_array(np, array, sink)}


def _load_npy(item: Any, source: Source) -> Any:
    import numpy as np

    return np.load(source.file(item[0], "array.npy"), allow_pickle=False)


def _load_torch(item: Any, source: Source) -> Any:
    import torch  # type: ignore[import-not-found]

    return torch.from_numpy(_load_npy(item, source))


def _load_npscalar(item: Any, source: Source) -> Any:
    import numpy as np

    return np.frombuffer(bytes.fromhex(item[1]), dtype=np.dtype(item[0]))[0]


# -- frames ---------------------------------------------------------------------------------------


def _dump_frame(value: Any, sink: Sink, path: str) -> Optional[Tree]:
    kind = type(value)
    full = "%s.%s" % (kind.__module__.partition(".")[0], kind.__name__)
    if full not in ("pandas.DataFrame", "pandas.Series", "pyarrow.Table", "polars.DataFrame"):
        return None
    try:
        import pyarrow as pa  # type: ignore[import-not-found]
    except ImportError:
        problem = "is a %s, and frames are kept as Arrow files; pip install 'emsctl[arrow]'"
        raise Unkept(path, problem % full) from None
    try:
        table = _table(pa, full, value)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise Unkept(path, "is a %s that Arrow can't hold: %s" % (full, error)) from None
    stream = pa.BufferOutputStream()
    with pa.ipc.new_file(stream, table.schema) as writer:
        writer.write_table(table)
    digest, size = sink.put_bytes(stream.getvalue().to_pybytes())
    return {"$arrow": [digest, size, full]}


def _table(pa: Any, full: str, value: Any) -> Any:
    if full == "pyarrow.Table":
        return value
    if full == "polars.DataFrame":
        return value.to_arrow()
    if full == "pandas.Series":
        return pa.Table.from_pandas(value.to_frame(name="0" if value.name is None else value.name))
    return pa.Table.from_pandas(value)


def _load_arrow(item: Any, source: Source) -> Any:
    import pyarrow as pa  # type: ignore[import-not-found]

    with pa.OSFile(source.file(item[0], "frame.arrow")) as stream:
        table = pa.ipc.open_file(stream).read_all()
    if item[2] == "pyarrow.Table":
        return table
    if item[2] == "polars.DataFrame":
        import polars  # type: ignore[import-not-found]

        return polars.from_arrow(table)
    frame = table.to_pandas()
    if item[2] == "pandas.DataFrame":
        return frame
    series = frame[frame.columns[0]]
    return series.rename(None) if series.name == "0" else series


# -- pickle, by opt-in ----------------------------------------------------------------------------


def _dump_pickle(value: Any, sink: Sink, path: str) -> Tree:
    import pickle

    try:
        data = pickle.dumps(value, protocol=4)
    except Exception as error:
        raise Unkept(path, "can't be pickled: %s: %s" % (type(error).__name__, error)) from None
    digest, size = sink.put_bytes(data)
    return {"$pickle": [digest, size]}


def _load_pickle(item: Any, source: Source) -> Any:
    if not getattr(source, "pickle", False):
        raise Unkept("value", "was pickled, and pickles are loaded by the task that opts in alone")
    import pickle

    with open(source.file(item[0], "value.pickle"), "rb") as stream:
        return pickle.load(stream)


_SIMPLE: Dict[str, Callable[[Any], Any]] = {
    "$complex": _load_complex,
    "$range": _load_range,
    "$bytes": _load_bytes,
    "$bytearray": _load_bytearray,
    "$datetime": _load_datetime,
    "$date": _load_date,
    "$time": _load_time,
    "$timedelta": _load_timedelta,
    "$decimal": _load_decimal,
    "$uuid": _load_uuid,
    "$path": _load_path,
    "$enum": _load_enum,
}
_FILED: Dict[str, Callable[[Any, Source], Any]] = {
    "$npy": _load_npy,
    "$torch": _load_torch,
    "$npscalar": _load_npscalar,
    "$arrow": _load_arrow,
    "$pickle": _load_pickle,
}


def load(tag: str, item: Tree, source: Source) -> Any:
    """Return the value of a tagged tree; raises ValueError for a tag of a later release."""
    simple = _SIMPLE.get(tag)
    if simple is not None:
        return simple(item)
    filed = _FILED.get(tag)
    if filed is None:
        raise ValueError("values of kind %s are unknown here: EMS is too old to read them" % tag)
    return filed(item, source)
