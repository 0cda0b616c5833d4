"""Templates of commands: `python train.py --seed {seed} --data {data} --out {out.model}`.

Knows words, quotes and placeholders. Does not run anything and knows no files.

A placeholder is `{name}` (an argument) or `{out.name}` (where an output shall be written); `{{`
and `}}` are braces. The template is run without a shell: split into words as a shell would, and
then each value is put into its word, so whatever a value holds stays one word. A list in a word of
its own becomes one word an item.

A shell (`sh -c`) is used if and only if the template itself, outside its placeholders, has
  - one of `| & ; < > ( ) * ? [ ]` or a new line outside quotes,
  - `$` or a backtick outside single quotes,
  - a word that starts with `~` or `#`, or a first word of the form `NAME=…`.
There, values are positional parameters that the template's text refers to: the shell never reads
them as text of its own.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Tuple

# plain text: compiled when the first command runs, and not in every worker
_TOKEN = r"(?a)\{\{|\}\}|\{([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)\}|[{}]"
_ASSIGNMENT = r"(?a)\s*[A-Za-z_]\w*="
_SHELL_BARE = frozenset("|&;<>()*?[]\n")
_SHELL_UNLESS_SINGLE = frozenset("$`")
_MARK = "\0"


class TemplateError(ValueError):
    """A template that can't be read, or a value that has no form on a command line."""


class Template:
    """A command with placeholders.

    `arguments` and `outputs` are the names used, in order; `shell` is whether `sh` runs it.
    Raises TemplateError for a lone brace or an open quote.
    """

    def __init__(self, text: str) -> None:
        if _MARK in text:
            raise TemplateError("a command can't hold a null character")
        self.text = text
        self._names: List[str] = []
        self._marked = re.sub(_TOKEN, self._token, text)
        names = list(dict.fromkeys(self._names))
        self.arguments = [name for name in names if "." not in name]
        self.outputs = [name.partition(".")[2] for name in names if name.startswith("out.")]
        for name in names:
            if "." in name and not name.startswith("out."):
                raise TemplateError("{%s} is no placeholder; allowed: {name}, {out.name}" % name)
        self.shell = _needs_shell(self._marked)
        if not self._marked.replace(_MARK, "x").strip():
            raise TemplateError("the command is empty")
        self._words = [] if self.shell else _split(self._marked, text)

    def _token(self, match: Any) -> str:
        whole = match.group(0)
        if whole in ("{{", "}}"):
            return whole[0]
        name = match.group(1)
        if name is None:
            raise TemplateError(
                "%r has a lone %s at %d; write {name} or {out.name} for a value, {{ and }} for "
                "braces" % (self.text, whole, match.start())
            )
        self._names.append(name)
        return "%s%d%s" % (_MARK, len(self._names) - 1, _MARK)

    def fill(self, values: Dict[str, Any]) -> List[str]:
        """Return the words to run; `values` has an entry for each `name` and `out.name`."""
        texts = [_texts(name, values[name]) for name in self._names]
        return self._shell_words(texts) if self.shell else self._plain_words(texts)

    def _plain_words(self, texts: List[Tuple[bool, List[str]]]) -> List[str]:
        filled: List[str] = []
        for word in self._words:
            parts = word.split(_MARK)
            if len(parts) == 3 and not parts[0] and not parts[2]:
                filled.extend(texts[int(parts[1])][1])
                continue
            for at in range(1, len(parts), 2):
                parts[at] = self._one(int(parts[at]), texts)
            filled.append("".join(parts))
        return filled

    def _one(self, index: int, texts: List[Tuple[bool, List[str]]]) -> str:
        several, words = texts[index]
        if several:
            raise TemplateError(
                "{%s} is a list inside a word; give it a word of its own" % self._names[index]
            )
        return words[0]

    def _shell_words(self, texts: List[Tuple[bool, List[str]]]) -> List[str]:
        script: List[str] = []
        parameters: List[str] = []
        quotes = _Quotes()
        parts = self._marked.split(_MARK)
        for at, part in enumerate(parts):
            if at % 2 == 0:
                quotes.read(part)
                script.append(part)
                continue
            several, words = texts[int(part)]
            if several and not (quotes.state == "" and _alone(parts, at)):
                self._one(int(part), texts)
            references: List[str] = []
            for word in words:
                parameters.append(word)
                references.append(_REFERENCE[quotes.state] % len(parameters))
            script.append(" ".join(references))
        return ["/bin/sh", "-c", "".join(script), "sh", *parameters]


_REFERENCE = {"": '"${%d}"', '"': "${%d}", "'": "'\"${%d}\"'"}


class _Quotes:
    """Which quotes a place in shell text is in; `$(…)` starts afresh inside double quotes."""

    def __init__(self) -> None:
        self._stack = [""]

    @property
    def state(self) -> str:
        return "" if self._stack[-1] == "(" else self._stack[-1]

    def read(self, text: str) -> None:
        at = 0
        while at < len(text):
            at += self._step(text, at)

    def _step(self, text: str, at: int) -> int:
        top, sign = self._stack[-1], text[at]
        if top == "'":
            if sign == "'":
                self._stack.pop()
        elif sign == "\\":
            return 2
        elif text.startswith("$(", at):
            self._stack.append("(")
            return 2
        elif sign == '"':
            if top == '"':
                self._stack.pop()
            else:
                self._stack.append('"')
        elif top != '"' and sign == "'":
            self._stack.append("'")
        elif top == "(" and sign == ")":
            self._stack.pop()
        return 1


def _alone(parts: List[str], at: int) -> bool:
    before, after = parts[at - 1], parts[at + 1]
    return (not before or before[-1].isspace()) and (not after or after[0].isspace())


def _needs_shell(marked: str) -> bool:
    if re.match(_ASSIGNMENT, marked):
        return True
    quote, start, at = "", True, 0
    while at < len(marked):
        sign = marked[at]
        if sign == "\\" and quote != "'":
            at, start = at + 2, False
            continue
        if quote != "'" and sign in _SHELL_UNLESS_SINGLE:
            return True
        if not quote and (sign in _SHELL_BARE or (start and sign in "~#")):
            return True
        if sign in "'\"" and quote in ("", sign):
            quote = "" if quote else sign
        start = not quote and sign.isspace()
        at += 1
    return False


def _split(marked: str, text: str) -> List[str]:
    import shlex

    try:
        return shlex.split(marked)
    except ValueError as error:
        raise TemplateError("%r can't be split into words: %s" % (text, error)) from None


def _texts(name: str, value: Any) -> Tuple[bool, List[str]]:
    if isinstance(value, (list, tuple)):
        items: List[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return True, [_text(name, item) for item in items]
    return False, [_text(name, value)]


def _text(name: str, value: Any) -> str:
    if isinstance(value, dict):
        import json

        try:
            return json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            raise TemplateError("{%s} has no form as JSON: %s" % (name, error)) from None
    if isinstance(value, (str, int, float)) or value is None:
        text = str(value)
    elif hasattr(value, "__fspath__"):
        text = value.__fspath__()
    elif type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:
        text = str(value.item())
    else:
        raise TemplateError(
            "{%s} is a %s, which has no form on a command line; allowed: text, numbers, True, "
            "False, None, files, lists of these, and dicts (as JSON)" % (name, type(value).__name__)
        )
    if _MARK in text:
        raise TemplateError("{%s} holds a null character, which no program can be given" % name)
    return text
