"""Forms in parts, as a browser sends them."""

from __future__ import annotations

from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP

from starlette.requests import Request

_FORM = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a form; a file has a media type."""

    content: bytes
    media_type: str = ""

    @property
    def text(self) -> str:
        """The field's text."""
        return self.content.decode("utf-8", "replace")


async def read_parts(request: Request) -> dict[str, list[Part]] | None:
    """Return the fields of a form, each with its parts in order; None if it is none in parts."""
    kind = request.headers.get("content-type", "")
    if not kind.startswith(_FORM):
        return None
    head = f"content-type: {kind}\r\n\r\n".encode("latin-1")
    message = BytesParser(policy=HTTP).parsebytes(head + await request.body())
    form: dict[str, list[Part]] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            media_type = part.get_content_type() if part.get_filename() else ""
            form.setdefault(name, []).append(Part(content, media_type))
    return form


async def read_form(request: Request) -> dict[str, str] | None:
    """Return the texts of a form by their names; None if it is none in parts."""
    parts = await read_parts(request)
    return None if parts is None else {name: found[-1].text for name, found in parts.items()}
