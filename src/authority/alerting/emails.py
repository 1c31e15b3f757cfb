"""Tells an alert by e-mail."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

import aiosmtplib

from authority.domain.alerts import Alert
from authority.domain.deliveries import Answer, ClaimedDelivery
from authority.domain.ids import uuid_of

_SECONDS = 10.0
_ERROR_LENGTH_MAX = 512
# The mailbox does not exist, or may not be written to: no further try helps.
_FINAL = {550, 551, 553, 554, 556}


@dataclass(frozen=True, slots=True)
class MailServer:
    """Who carries messages. `user` is '' where nobody has to sign in."""

    host: str
    port: int
    sender: str
    is_tls: bool
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str, sender: str) -> MailServer:
        """Read `smtp://user:password@host:port`, or `smtps://` for TLS from the beginning."""
        parts = urlsplit(url)
        is_tls = parts.scheme == "smtps"
        return cls(
            host=parts.hostname or "",
            port=parts.port or (465 if is_tls else 587),
            sender=sender,
            is_tls=is_tls,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )


class Emails:
    """Sends messages; None where no server is set."""

    def __init__(self, server: MailServer | None) -> None:
        self._server = server

    async def tell(self, delivery: ClaimedDelivery) -> Answer:
        """Send an alert once; return what became of it."""
        server = self._server
        if server is None:
            return Answer(0, error="there is no mail server: set AUTHORITY_SMTP_URL")
        message = message_of(delivery, server)
        try:
            refused, answer = await aiosmtplib.send(
                message,
                recipients=list(delivery.channel.addresses),
                hostname=server.host,
                port=server.port,
                username=server.user or None,
                password=server.password or None,
                use_tls=server.is_tls,
                # A password is never sent in clear; else it is TLS where the server offers it.
                start_tls=None if server.is_tls or not server.user else True,
                timeout=_SECONDS,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            first = error.recipients[0]
            return Answer(
                first.code,
                error=_text(f"{first.recipient}: {first.message}"),
                is_final=all(item.code in _FINAL for item in error.recipients),
            )
        except aiosmtplib.SMTPResponseException as error:
            return Answer(error.code, error=_text(error.message), is_final=error.code in _FINAL)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return Answer(0, error=_text(f"{type(error).__name__}: {error}"))
        told = "; ".join(f"refused {name}: {said.code}" for name, said in refused.items())
        return Answer(250, _text(f"{answer} {told}".strip()))


def message_of(delivery: ClaimedDelivery, server: MailServer) -> EmailMessage:
    """Return the message: with the same id in every try, by which mailboxes drop a second one."""
    alert = delivery.alert
    message = EmailMessage()
    message["Subject"] = f"[{alert.severity.lower()}] {alert.summary}"
    message["From"] = server.sender
    message["To"] = ", ".join(delivery.channel.addresses)
    message["Date"] = format_datetime(alert.raise_time)
    message["Message-ID"] = f"<{uuid_of(delivery.delivery_id)}@paymaster.invalid>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_body(alert))
    return message


def _body(alert: Alert) -> str:
    lines = [
        alert.summary,
        "",
        f"kind: {alert.kind}",
        f"account: {alert.account}",
        f"severity: {alert.severity}",
        f"time: {alert.raise_time.isoformat()}",
        *(f"{name}: {value}" for name, value in alert.details.items()),
        f"alert: {alert.alert_id}",
    ]
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown[:_ERROR_LENGTH_MAX]
