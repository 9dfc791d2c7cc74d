"""The files of a form, out of a body that is in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from backbones.serving.refusals import Refusal

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_MOST_PARTS = 256
_FIELDS = ("image", "images", "file", "files")


def files_of(body: bytes, content_type: str) -> list[bytes]:
    """The contents of a form's files, in order; other fields are passed over.

    Args:
        body: of the request.
        content_type: the header, with the boundary between the parts.

    Raises:
        Refusal: it is no form, or holds no file or too many.
    """
    _, options = parse_options_header(content_type)
    found = _Parts()
    try:
        parser = MultipartParser(options.get(b"boundary", b""), found.callbacks())
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise Refusal(400, f"the form cannot be read: {error}", "form") from None
    if not found.files:
        raise Refusal(400, "the form holds no file; send one as -F image=@photo.jpg", "form")
    return [bytes(each) for each in found.files]


class _Parts:
    """What a parser tells of a form."""

    def __init__(self) -> None:
        self.files: list[bytearray] = []
        self._name, self._value = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._is_file = False

    def callbacks(self) -> MultipartCallbacks:
        """By the parser's names."""
        return {
            "on_part_begin": self._headers_begin,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header,
            "on_headers_finished": self._content_begins,
            "on_part_data": self._content,
        }

    def _headers_begin(self) -> None:
        self._headers = {}

    def _header(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _content_begins(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        field = options.get(b"name", b"").decode("latin-1")
        self._is_file = b"filename" in options or field in _FIELDS
        if self._is_file:
            if len(self.files) == _MOST_PARTS:
                raise Refusal(413, f"the form holds more than {_MOST_PARTS} files", "form")
            self.files.append(bytearray())

    def _content(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self.files[-1] += data[start:end]
