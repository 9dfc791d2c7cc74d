"""One way in and one way out for text, whatever the system, the file or the terminal speaks.

Inside, a file name is what Python makes of it: bytes that are not UTF-8 are lone surrogates
(`caf\\udce9`), which few things can write. So whatever leaves goes through one of these:
`raw_bytes` for files in which a name has to be found again, `spelled` for formats that are UTF-8
and nothing else, `shown` for a person at a terminal, `to_json` for JSON. What comes in goes
through `decoded`, and where it is JSON, TOML or YAML through `parse`.
"""

from __future__ import annotations

import codecs
import json
import math
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Literal

from backbones.errors import BackbonesError, BadData, NotFound, WrongUse

ENCODING = "BACKBONES_ENCODING"
"""The environment variable that says the encoding of text files which are not UTF-8."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    *((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)
_USUAL = ("gbk", "cp932", "cp1252", "cp1251")  # what else text files are in, most of the time
_MAX_BYTES = 64 * 2**20  # of a file of settings
_MAX_DEPTH, _MAX_VALUES, _MAX_DIGITS = 100, 1_000_000, 40

_LONE = re.compile("[\ud800-\udfff]")
_HALF_PAIR = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # the others are bytes of file names
# What moves the cursor, changes colours, or turns the direction of writing.
_CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def raw_bytes(text: str) -> bytes:
    """UTF-8, with the bytes of a file name as they were on the disk.

    Example:
        >>> raw_bytes("caf\\udce9"), raw_bytes("caf\\ud800")
        (b'caf\\xe9', b'caf\\\\ud800')
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a pair, which is no byte of a file name
        return text.encode("utf-8", "backslashreplace")


def name_bytes(text: str) -> bytes:
    """Bytes that stand for a name, other ones for every other name: to hash."""
    return text.encode("utf-8", "surrogatepass")


def spelled(text: str) -> str:
    r"""The text as UTF-8 can hold it: bytes that are not are spelled.

    Example:
        >>> spelled("caf\udce9")
        'caf\\udce9'
    """
    return text.encode("utf-8", "backslashreplace").decode()


def shown(text: str, keep: str = "") -> str:
    r"""The text without what a terminal would obey instead of showing it.

    Args:
        keep: control characters that are meant, such as "\n\t" in a whole document.

    Example:
        >>> shown("\x1b[31mred\n"), shown("a\nb", keep="\n")
        ('\\x1b[31mred\\n', 'a\nb')
    """
    return _CONTROLS.sub(
        lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], text
    )


def same_name(text: str) -> str:
    """A name in the one form (NFC) in which two of them are compared.

    macOS writes an e and an accent where others write one letter.
    """
    return unicodedata.normalize("NFC", text)


def archived_name(name: bytes) -> str:
    """A name in an archive that does not say what its bytes mean: ZIP without its mark, old tar.

    They are UTF-8 where they can be, as macOS writes them, or what `BACKBONES_ENCODING` says;
    else they stay as they are, as bytes of a file name that is not UTF-8 do.
    """
    chosen = chosen_encoding()
    text = _in(chosen, name) if chosen else None
    return name.decode("utf-8", "surrogateescape") if text is None else text


def to_json(value: Any, *, indent: int | None = None, sort_keys: bool = False) -> str:
    """A value as JSON: every letter as it is, but numbers that are not finite as null.

    Raises:
        TypeError: something that JSON cannot say.

    Example:
        >>> to_json({"loss": float("nan"), "path": "猫/caf\\udce9"})
        '{"loss": null, "path": "猫/caf\\\\udce9"}'
    """
    try:
        text = json.dumps(
            value, indent=indent, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False
        )
    except ValueError:
        text = json.dumps(
            finite(value), indent=indent, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False
        )
    return escaped(text)


def json_file(value: Any) -> bytes:
    """A value as a JSON file that people read."""
    return (to_json(value, indent=2) + "\n").encode()


def escaped(json_text: str) -> str:
    """JSON in which the bytes of file names are escapes, so that UTF-8 can hold it."""
    return _LONE.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text)


def finite(value: Any) -> Any:
    """The same with None for what is no number: JSON knows no NaN and no infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return value


def decoded(data: bytes, where: str, wrong: type[BackbonesError] = BadData) -> str:
    """A table or a list that somebody else wrote: UTF-8, UTF-16, or as `BACKBONES_ENCODING` says.

    Args:
        data: the whole file.
        where: what messages call it.
        wrong: the error to raise.

    Raises:
        BackbonesError: of the kind `wrong`: it is in none of these; shows how it would read in
            the usual others, for nobody but a person can tell which is right.
        WrongUse: `BACKBONES_ENCODING` names no encoding.

    Example:
        >>> decoded("猫,1".encode("utf-16"), "labels.csv")
        '猫,1'
    """
    chosen = chosen_encoding()
    if chosen is None or any(data.startswith(mark) for mark, _ in _MARKS):
        text = _unicode(data)
    else:
        text = _in(chosen, data)
    if text is None:
        raise wrong(
            f"{where} is not {chosen or 'UTF-8'} text; save it as UTF-8, or name its encoding in"
            f" the environment variable {ENCODING}{_readings(data)}"
        )
    return text


def chosen_encoding() -> str | None:
    """What `BACKBONES_ENCODING` says, if anything.

    Raises:
        WrongUse: it is no encoding.
    """
    chosen = os.environ.get(ENCODING) or None
    try:
        if chosen is not None:
            codecs.lookup(chosen)
    except LookupError:
        raise WrongUse(
            f"{ENCODING} is {chosen!r}, which is no encoding; expected such as gbk or cp1252"
        ) from None
    return chosen


def _unicode(data: bytes) -> str | None:
    """The text of data in one of Unicode's own encodings; None where it is in none of them."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _in(encoding, data)
    # Without a mark: zeros on one side only of all pairs of bytes, and beside the ends of lines.
    high, low = 0 in data[1::2], 0 in data[::2]
    if high and not low and b"\n\0" in data:
        return _in("utf-16-le", data)
    if low and not high and b"\0\n" in data:
        return _in("utf-16-be", data)
    return _in("utf-8", data)


def _in(encoding: str, data: bytes) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeError:
        return None


def _readings(data: bytes) -> str:
    """How the first line that is not UTF-8 reads in other encodings."""
    odd = next((line for line in data.splitlines() if _in("utf-8", line) is None), b"")
    read = {encoding: _in(encoding, odd[:_MAX_DIGITS]) for encoding in _USUAL}
    said = [f"{name} reads {shown(text)!r}" for name, text in read.items() if text is not None]
    return f" ({', '.join(said)})" if said else ""


def read_text(path: Path, wrong: type[BackbonesError] = BadData) -> str:
    """A small text file that is Unicode, as JSON, TOML and YAML are.

    Raises:
        NotFound: there is no such file.
        BackbonesError: of the kind `wrong`: it cannot be read, is no text, or has no end.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise wrong(f"{path} cannot be read: {reason}") from None
    if len(data) > _MAX_BYTES:
        raise wrong(f"{path} is larger than {_MAX_BYTES // 2**20} MiB; expected a small text file")
    text = _unicode(data)
    if text is None:
        raise wrong(f"{path} is not UTF-8 text; save it as UTF-8")
    return text


Kind = Literal["json", "toml", "yaml"]


def read_document(path: Path, wrong: type[BackbonesError] = BadData) -> Any:
    """The plain values in a JSON, TOML or YAML file, as its suffix says.

    Raises:
        NotFound: there is no such file.
        BackbonesError: of the kind `wrong`: see `read_text` and `parse`.
    """
    kinds: dict[str, Kind] = {".toml": "toml", ".yaml": "yaml", ".yml": "yaml"}
    return parse(read_text(path, wrong), kinds.get(path.suffix, "json"), str(path), wrong)


def parse(text: str, kind: Kind, where: str, wrong: type[BackbonesError] = BadData) -> Any:
    """The plain values in a text.

    Args:
        text: JSON, TOML or YAML.
        kind: which of them.
        where: what messages call it.
        wrong: the error to raise.

    Raises:
        BackbonesError: of the kind `wrong`: the text is no such document; or it is one that no
            program can work with, nested without end or with numbers of thousands of digits.

    Example:
        >>> parse("lr = 0.1", "toml", "mine.toml")
        {'lr': 0.1}
    """
    try:
        values = _parser(kind)(text)
        _refuse_monsters(values)
    except RecursionError:
        raise wrong(f"{where} is nested too deep to be read") from None
    except Exception as error:  # YAML's tags raise whatever their constructors do
        said = " ".join(str(error).split()) or type(error).__name__
        raise wrong(f"{where} cannot be read as {kind.upper()}: {said}") from None
    return values


def _parser(kind: Kind) -> Any:
    if kind == "json":
        return json.loads
    if kind == "toml":
        import tomllib

        return tomllib.loads
    import yaml

    return yaml.safe_load


def _refuse_monsters(values: Any) -> None:
    """Refuse what can be parsed and nothing else; YAML's anchors make much out of little."""
    pending, seen = [(values, 0)], 0
    while pending:
        value, depth = pending.pop()
        seen += 1
        if depth > _MAX_DEPTH or seen > _MAX_VALUES:
            raise RecursionError
        if isinstance(value, int) and abs(value) >= 10**_MAX_DIGITS:
            raise ValueError(f"a number of more than {_MAX_DIGITS} digits")
        if isinstance(value, str) and _HALF_PAIR.search(value):
            raise ValueError(f"a text with half a character in it, {ascii(value)[:40]}")
        if isinstance(value, Mapping):
            pending += [(each, depth + 1) for pair in value.items() for each in pair]
        elif isinstance(value, list | tuple | set):
            pending += [(each, depth + 1) for each in value]


def setting_text(value: Any) -> str:
    """A field's value as it would be written after `--set field=`."""
    return value if isinstance(value, str) else to_json(value)


def preformatted(text: str) -> str:
    """Lines of text as a notebook shows them.

    Example:
        >>> preformatted("a < b")
        '<pre>a &lt; b</pre>'
    """
    return f"<pre>{escape(spelled(text))}</pre>"


def html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as a notebook shows it.

    Example:
        >>> html_table(["a"], [["1"]])
        '<table><tr><th>a</th></tr><tr><td>1</td></tr></table>'
    """
    head = "".join(f"<th>{escape(spelled(each))}</th>" for each in headings)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(spelled(cell))}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"
