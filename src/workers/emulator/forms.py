"""Forms in parts, as a browser sends them."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP

from starlette.requests import Request

_FORM = "multipart/form-data"


async def read_form(request: Request) -> dict[str, str] | None:
    """Return the texts of a form by their names; None if it is none in parts."""
    kind = request.headers.get("content-type", "")
    if not kind.startswith(_FORM):
        return None
    head = f"content-type: {kind}\r\n\r\n".encode("latin-1")
    message = BytesParser(policy=HTTP).parsebytes(head + await request.body())
    form = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            form[name] = content.decode("utf-8", "replace")
    return form
