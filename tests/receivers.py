"""A receiver of webhooks: it checks signatures, and keeps for ever what it has had, each id once.

`python receivers.py PORT FOLDER SECRET` is one as a process of its own.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError


class Receiver:
    """Answers 200, or the next of `statuses`; with `hold` set it waits before that."""

    def __init__(self, folder: Path, secret: str = "") -> None:
        self.secret = secret
        self.statuses: list[int] = []
        self.headers: dict[str, str] = {}
        self.answer = b"thank you"
        self.hold: threading.Event | None = None
        self.port = 0
        self._file = folder / "received"
        self._tries = folder / "tries"
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/alerts?of=tests"

    @property
    def received(self) -> list[dict[str, Any]]:
        """What it has had, each id once, in order."""
        return _lines(self._file)

    @property
    def tries(self) -> list[dict[str, Any]]:
        """Every request, in order: its id, its time, whether its signature is right."""
        return _lines(self._tries)

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """Take one request; return the status of the answer."""
        lowered = {name.lower(): value for name, value in headers.items()}
        name = lowered["webhook-id"]
        try:
            Webhook(self.secret).verify(body, lowered)
            verified = True
        except (WebhookVerificationError, ValueError):
            verified = False
        with self._lock:
            _append(
                self._tries,
                {"id": name, "time": lowered["webhook-timestamp"], "verified": verified},
            )
            status = self.statuses.pop(0) if self.statuses else 200
            if not verified:
                return 401
            had = {line["id"] for line in self.received}
            if status == 200 and name not in had:
                _append(self._file, {"id": name, "body": json.loads(body)})
        if self.hold is not None:
            self.hold.wait(30)
        return status


def _append(file: Path, line: dict[str, Any]) -> None:
    with file.open("a") as opened:
        opened.write(json.dumps(line) + "\n")
        opened.flush()
        os.fsync(opened.fileno())


def _lines(file: Path) -> list[dict[str, Any]]:
    """Return whole lines; one that was being written when it was killed is none."""
    if not file.exists():
        return []
    text = file.read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def _server(receiver: Receiver, port: int) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = receiver.take(dict(self.headers), body)
            # Who has hung up hears nothing.
            with suppress(ConnectionError):
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(receiver.answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # Its name.
            pass

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


@contextmanager
def receiving(folder: Path) -> Iterator[Receiver]:
    """Run a receiver in a thread."""
    receiver = Receiver(folder)
    server = _server(receiver, 0)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        if receiver.hold is not None:
            receiver.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    _port, _folder, _secret = sys.argv[1:]
    _server(Receiver(Path(_folder), _secret), int(_port)).serve_forever()
