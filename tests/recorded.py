"""A server that gives recorded answers, in order, and keeps what it was asked, byte by byte."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http import HTTPStatus
from typing import Any


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as it came. The names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes = field(repr=False)

    def body(self) -> Any:
        """Return what was sent: JSON as what it says, a form as its parts, sorted by names."""
        kind = self.headers.get("content-type", "")
        if kind.startswith("application/json"):
            return json.loads(self.content)
        if not kind.startswith("multipart/form-data"):
            return self.content.decode()
        head = f"content-type: {kind}\r\n\r\n".encode()
        message = BytesParser(policy=HTTP).parsebytes(head + self.content)
        return sorted((_part(part) for part in message.iter_parts()), key=lambda part: part["name"])


@dataclass(slots=True)
class Recorded:
    """A running server; `asked` grows with every request."""

    url: str = ""
    answers: Sequence[dict[str, Any]] = ()
    asked: list[Asked] = field(default_factory=list)

    def play(self, answers: Sequence[dict[str, Any]]) -> None:
        """Give these answers from now on, the last one again and again.

        An answer has a `status`, `headers` and a `body` (JSON), a `text`, `events` of a stream or
        a file in `base64`; `{url}` in one is where it came from.
        """
        self.answers, self.asked = answers, []

    def next_answer(self, asked: Asked) -> bytes:
        """Return the answer to a request."""
        self.asked.append(asked)
        return _written(self.answers[min(len(self.asked), len(self.answers)) - 1], self.url)


@asynccontextmanager
async def recorded() -> AsyncIterator[Recorded]:
    """Serve recorded answers on loopback."""
    server = Recorded()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(server.next_answer(await _read(reader)))
        await writer.drain()
        writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}"
    async with running:
        yield server


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    content = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, path, headers, content)


def _written(answer: dict[str, Any], url: str) -> bytes:
    kind, text = "application/json", answer.get("text", "")
    if "events" in answer:
        kind = "text/event-stream"
        events = (item if isinstance(item, str) else json.dumps(item) for item in answer["events"])
        text = "".join(f"data: {event}\n\n" for event in events)
    elif "body" in answer:
        text = json.dumps(answer["body"])
    content = text.replace("{url}", url).encode() or base64.b64decode(answer.get("base64", ""))
    status = HTTPStatus(answer["status"]) if answer["status"] in iter(HTTPStatus) else None
    headers = {
        "content-type": kind,
        **answer.get("headers", {}),
        "content-length": str(len(content)),
        "connection": "close",
    }
    lines = [f"HTTP/1.1 {answer['status']} {status.phrase if status else 'Other'}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def _part(part: Any) -> dict[str, Any]:
    found = {"name": part.get_param("name", header="content-disposition")}
    content = part.get_payload(decode=True)
    if part.get_filename():
        size = len(content)
        return found | {
            "file": part.get_filename(),
            "type": part.get_content_type(),
            "size": size,
        }
    return found | {"text": content.decode()}
