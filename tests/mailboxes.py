"""A real mail server, which keeps what it takes and refuses whom it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from authority.embedded.ports import choose


class Mailbox:
    """`refuses` has what addresses are answered; the next `busy` messages are not taken."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.messages: list[Envelope] = []
        self.refuses: dict[str, str] = {}
        self.busy = 0

    async def handle_RCPT(  # noqa: N802  # The server calls it so, and the next.
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take an address, or not."""
        _ = server, session, options
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep a message, or not."""
        _ = server, session
        if self.busy:
            self.busy -= 1
            return "451 try again later"
        self.messages.append(envelope)
        return "250 it is kept"


@contextmanager
def receiving_mail() -> Iterator[Mailbox]:
    """Run a mail server in a thread."""
    mailbox = Mailbox(choose())
    controller = Controller(mailbox, hostname="127.0.0.1", port=mailbox.port)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()
