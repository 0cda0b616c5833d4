"""Values as canonical trees: what a version is made of and how results are kept (contract 4).

A tree is JSON. Scalars, lists and dicts with string keys stand for themselves; whatever else is
one key that starts with `$`. `canon` gives the text that is hashed: keys sorted, and of files only
their content. Codecs for arrays and frames are in `codecs`. Does not know tasks or stores.
"""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import hashlib
import sys
from json.encoder import encode_basestring_ascii as _quote

from .files import Dir, File

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Protocol, Sequence, Tuple, Union

    Tree = Any
    Special = Callable[[Any], Optional[str]]
    Step = Tuple[str, Union[str, int]]

    class Sink(Protocol):
        """Where the files of a value go; `special` may stand in for a value of its own."""

        pickle: bool

        def put_path(self, path: str) -> Tuple[str, int]: ...
        def put_folder(self, path: str) -> Tuple[str, int]: ...
        def put_bytes(self, data: bytes) -> Tuple[str, int]: ...
        def special(self, value: Any) -> Optional[Tree]: ...

    class Source(Protocol):
        """Where the files of a value come from: local paths, by digest and wished-for name."""

        def file(self, digest: str, name: str) -> str: ...
        def folder(self, digest: str, name: str) -> str: ...


BRIEF_CHARACTERS = 128


class Unkept(TypeError):
    """A value without a canonical form; `path` says where in the whole, `problem` what is wrong."""

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(path, problem)

    def __str__(self) -> str:
        return "%s %s" % (self.path, self.problem)


def brief(text: str) -> str:
    """Return canonical text as it enters a key: itself up to 128 characters, else its digest."""
    if len(text) <= BRIEF_CHARACTERS:
        return text
    return '{"$sha256":"%s"}' % hashlib.sha256(text.encode("ascii")).hexdigest()


# -- canonical text -------------------------------------------------------------------------------


def canon(value: Any, special: Optional[Special] = None) -> str:
    """Return the canonical text of a value, in ASCII.

    `special` is asked about everything that is not plain data, and answers with canonical text or
    None. Raises Unkept for what has no canonical form.
    """
    plain = _PLAIN.get(type(value))
    if plain is not None:
        return plain(value)
    kind = type(value)
    if kind is list:
        return "[%s]" % ",".join([canon(item, special) for item in value])
    if kind is tuple:
        return '{"$tuple":[%s]}' % ",".join([canon(item, special) for item in value])
    if kind is dict:
        return _canon_dict(value, special)
    if special is not None:
        text = special(value)
        if text is not None:
            return text
    return canon_tree(dump(value, _Hashing(special)))


def _canon_dict(value: Dict[Any, Any], special: Optional[Special]) -> str:
    if all(type(key) is str and key[:1] != "$" for key in value):
        rows = ["%s:%s" % (_quote(key), canon(value[key], special)) for key in sorted(value)]
        return "{%s}" % ",".join(rows)
    pairs = sorted((canon(key, special), canon(item, special)) for key, item in value.items())
    return '{"$dict":[%s]}' % ",".join(["[%s,%s]" % pair for pair in pairs])


def _canon_float(value: float) -> str:
    text = float.__repr__(value)
    return text if text[-1] not in "fn" else '{"$float":"%s"}' % text


_PLAIN: Dict[type, Callable[[Any], str]] = {
    str: _quote,
    int: int.__repr__,
    float: _canon_float,
    bool: lambda value: "true" if value else "false",
    type(None): lambda value: "null",
}


def canon_tree(tree: Tree) -> str:
    """Return the canonical text of the value that a stored tree stands for, without loading it."""
    plain = _PLAIN.get(type(tree))
    if plain is not None:
        return plain(tree)
    if type(tree) is list:
        return "[%s]" % ",".join([canon_tree(item) for item in tree])
    if len(tree) == 1:
        ((key, item),) = tree.items()
        if key[:1] == "$":
            return _canon_tag(key, item)
    rows = ["%s:%s" % (_quote(key), canon_tree(tree[key])) for key in sorted(tree)]
    return "{%s}" % ",".join(rows)


def _canon_tag(tag: str, item: Tree) -> str:
    if tag in ("$file", "$dir", "$pickle"):
        return '{"%s":"%s"}' % (tag, item[0])
    if tag in ("$npy", "$torch"):
        return '{"%s":%s}' % (tag, canon_tree(item[2:]))
    if tag == "$arrow":
        return '{"$arrow":%s}' % canon_tree([item[0], item[2]])
    if tag == "$dict":
        pairs = sorted((canon_tree(key), canon_tree(value)) for key, value in item)
        return '{"$dict":[%s]}' % ",".join(["[%s,%s]" % pair for pair in pairs])
    if tag == "$set":
        return '{"$set":[%s]}' % ",".join(sorted([canon_tree(each) for each in item]))
    if tag == "$content":
        return str(item)
    return '{"%s":%s}' % (tag, canon_tree(item))


# -- trees ----------------------------------------------------------------------------------------


class _Hashing:
    """A sink that keeps nothing: it only finds digests, for values that are arguments."""

    pickle = False

    def __init__(self, special: Optional[Special]) -> None:
        self._special = special

    def put_path(self, path: str) -> Tuple[str, int]:
        from ..hashing import digest_file

        return digest_file(path), -1

    def put_folder(self, path: str) -> Tuple[str, int]:
        raise Unkept("value", "holds the folder %s, which has not been read" % path)

    def put_bytes(self, data: bytes) -> Tuple[str, int]:
        from ..hashing import digest_bytes

        return digest_bytes(data), len(data)

    def special(self, value: Any) -> Optional[Tree]:
        text = self._special(value) if self._special is not None else None
        return None if text is None else {"$content": text}


def dump(value: Any, sink: Sink, path: str = "value") -> Tree:
    """Return the tree of a value; its files, arrays and frames go to the sink.

    `path` names the value in errors. Raises Unkept, which names the part that can't be kept.
    """
    kind = type(value)
    if kind in _PLAIN:
        return {"$float": repr(value)} if kind is float and _canon_float(value)[0] == "{" else value
    if kind is list:
        return [dump(item, sink, "%s[%d]" % (path, at)) for at, item in enumerate(value)]
    if kind is tuple:
        rows = [dump(item, sink, "%s[%d]" % (path, at)) for at, item in enumerate(value)]
        return {"$tuple": rows}
    if kind is dict:
        return _dump_dict(value, sink, path)
    tree = sink.special(value)
    if tree is not None:
        return tree
    return _dump_typed(value, sink, path)


def _dump_dict(value: Dict[Any, Any], sink: Sink, path: str) -> Tree:
    if all(type(key) is str and key[:1] != "$" for key in value):
        return {key: dump(item, sink, "%s[%r]" % (path, key)) for key, item in value.items()}
    return {
        "$dict": [
            [dump(key, sink, path + " key"), dump(item, sink, "%s[%r]" % (path, key))]
            for key, item in value.items()
        ]
    }


def _dump_typed(value: Any, sink: Sink, path: str) -> Tree:
    kind = type(value)
    if kind is File:
        return {"$file": _stored(value, sink.put_path)}
    if kind is Dir:
        return {"$dir": _stored(value, sink.put_folder)}
    if kind is set or kind is frozenset:
        rows = sorted([dump(item, sink, path + " item") for item in value], key=canon_tree)
        return {"$set": rows} if kind is set else {"$frozenset": {"$set": rows}}
    fields = getattr(kind, "__dataclass_fields__", None)
    if fields is not None:
        rows = {name: dump(getattr(value, name), sink, path + "." + name) for name in fields}
        return {"$data": [_type_name(kind, path), {"$fields": rows}]}
    names = getattr(kind, "_fields", None)
    if names is not None and isinstance(value, tuple):
        rows = {name: dump(getattr(value, name), sink, path + "." + name) for name in names}
        return {"$named": [_type_name(kind, path), {"$fields": rows}]}
    from . import codecs

    return codecs.dump(value, sink, path)


def _stored(value: Any, put: Callable[[str], Tuple[str, int]]) -> List[Any]:
    digest, size = (value.digest, value._size) if value.digest else put(value.__fspath__())
    return [digest, size, value.name]


def _type_name(kind: type, path: str) -> str:
    if "<locals>" in kind.__qualname__:
        problem = "is a %s, a class made inside a function; move it to the top of its module"
        raise Unkept(path, problem % kind.__qualname__)
    return full_name(kind)


def full_name(kind: type) -> str:
    """Return a class as `module:qualified name`, as every process can import it."""
    module = kind.__module__
    if module == "__main__":
        module = _main["elsewhere"] or module
    return "%s:%s" % (module, kind.__qualname__)


_main = {"elsewhere": "", "here": ""}


def call_main(name: str) -> None:
    """Say by which name others import the file that runs as `__main__` here; "" for none."""
    _main["elsewhere"] = name


def load(tree: Tree, source: Source) -> Any:
    """Return the value that a tree stands for; files get local paths from the source on demand."""
    kind = type(tree)
    if kind is list:
        return [load(item, source) for item in tree]
    if kind is not dict:
        return tree
    if len(tree) == 1:
        ((key, item),) = tree.items()
        if key[:1] == "$":
            return _load_tag(key, item, source)
    return {key: load(item, source) for key, item in tree.items()}


def _load_tag(tag: str, item: Tree, source: Source) -> Any:
    if tag == "$tuple":
        return tuple([load(each, source) for each in item])
    if tag == "$file":
        return File.stored(item[0], item[1], item[2], source.file)
    if tag == "$dir":
        return Dir.stored(item[0], item[1], item[2], source.folder)
    if tag == "$dict":
        return {load(key, source): load(value, source) for key, value in item}
    if tag == "$set":
        return {load(each, source) for each in item}
    if tag == "$frozenset":
        return frozenset(load(item, source))
    if tag == "$fields":
        return {key: load(each, source) for key, each in item.items()}
    if tag == "$float":
        return float(item)
    if tag == "$data":
        return _load_data(find_type(item[0]), load(item[1], source))
    if tag == "$named":
        return find_type(item[0])(**load(item[1], source))
    from . import codecs

    return codecs.load(tag, item, source)


def _load_data(kind: Any, fields: Dict[str, Any]) -> Any:
    made = kind.__new__(kind)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def find_type(name: str) -> Any:
    """Return the class called `module:qualified name`, importing its module.

    Raises ImportError or AttributeError where this process does not have it.
    """
    module, _, qualname = name.partition(":")
    if module == "__main__" and _main["here"]:
        return _of_stand_in(qualname)
    found: Any = sys.modules.get("__main__" if module == _main["elsewhere"] else module)
    if found is None:
        from importlib import import_module

        found = import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def stand_in_for_main(module: str) -> None:
    """Say which module here has what a notebook's `__main__` has there; "" for none."""
    _main["here"] = module


def _of_stand_in(qualname: str) -> Any:
    from importlib import import_module

    found: Any = import_module(_main["here"])
    try:
        for part in qualname.split("."):
            found = getattr(found, part)
    except AttributeError:
        error = ImportError(
            "this task does not know the notebook's class %s; annotate the argument that holds "
            "one, as in `row: %s`" % (qualname, qualname)
        )
        error.ems_import = True  # type: ignore[attr-defined]
        raise error from None
    return found


def pick(tree: Tree, steps: Sequence[Step]) -> Tree:
    """Return the part of a stored tree that items and attributes of a result lead to.

    A step is ("item", key) or ("attr", name). Raises LookupError that says what there is.
    """
    for how, key in steps:
        tree = _pick_attribute(tree, str(key)) if how == "attr" else _pick_item(tree, key)
    return tree


def _pick_item(tree: Tree, key: Union[str, int]) -> Tree:
    rows = tree.get("$tuple", tree) if type(tree) is dict else tree
    if type(rows) is list and type(key) is int:
        if -len(rows) <= key < len(rows):
            return rows[key]
        raise LookupError("item %d of %d" % (key, len(rows)))
    if type(rows) is dict and "$dict" in rows:
        wanted = canon(key)
        for name, item in rows["$dict"]:
            if canon_tree(name) == wanted:
                return item
        raise LookupError("no item %r" % (key,))
    if type(rows) is dict and not any(name[:1] == "$" for name in rows):
        if key in rows:
            return rows[key]
        raise LookupError("no item %r; there are %s" % (key, ", ".join(map(repr, rows)) or "none"))
    raise LookupError("the result has no items (asked for %r)" % (key,))


def _pick_attribute(tree: Tree, name: str) -> Tree:
    if type(tree) is dict:
        for tag in ("$data", "$named"):
            if tag in tree:
                fields = tree[tag][1]["$fields"]
                if name in fields:
                    return fields[name]
                raise LookupError("no attribute %r; there are %s" % (name, ", ".join(fields)))
    raise LookupError("the result has no attribute %r that is kept" % name)


def files_of(tree: Tree) -> List[Tuple[str, int]]:
    """Return (digest, size) of every object that a stored tree needs, in order, each once."""
    found: Dict[str, int] = {}
    _collect(tree, found)
    return list(found.items())


def _collect(tree: Tree, found: Dict[str, int]) -> None:
    if type(tree) is list:
        for item in tree:
            _collect(item, found)
    elif type(tree) is dict:
        for key, item in tree.items():
            if key in OBJECT_TAGS:
                found[item[0]] = item[1]
            else:
                _collect(item, found)


OBJECT_TAGS = frozenset(("$file", "$dir", "$npy", "$torch", "$arrow", "$pickle"))
