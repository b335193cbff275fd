"""Mail by SMTP, encrypted unless it is asked otherwise. A password is never printed, nor sent in the clear."""

from __future__ import annotations

import os
import smtplib
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from enum import StrEnum

from vestiary.errors import DeliveryError, UsageError
from vestiary.notices.reasons import TIMEOUT_S, describe_broken
from vestiary.utf8 import make_writable

PREFIX = "VESTIARY_SMTP_"
SETTINGS = ("HOST", "PORT", "SECURITY", "FROM", "USER", "PASSWORD")
"""What the variables are called behind the prefix."""


class Security(StrEnum):
    """How the connection is encrypted: from the start, after asking the server for it, or not at all."""

    TLS = "tls"
    STARTTLS = "starttls"
    NONE = "none"


PORTS = {Security.TLS: 465, Security.STARTTLS: 587, Security.NONE: 25}


@dataclass(frozen=True)
class MailSettings:
    """The server that takes our mail, and who it is from; ``user`` None sends without signing in."""

    host: str
    port: int
    security: Security
    sender: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Mail:
    """One mail: plain text, and files by name (``.html`` and ``.pdf`` get their own type)."""

    subject: str
    text: str
    files: Mapping[str, bytes] = field(default_factory=dict)


def load_mail_settings(environ: Mapping[str, str] = os.environ) -> MailSettings:
    """The settings that the ``VESTIARY_SMTP_*`` variables give. Raises UsageError naming the variable to mend."""
    given = {name.removeprefix(PREFIX): value.strip() for name, value in environ.items() if name.startswith(PREFIX)}
    if unknown := sorted(given.keys() - set(SETTINGS)):
        raise UsageError(f"{PREFIX}{unknown[0]} is no setting of mail; there are {', '.join(SETTINGS)}.")
    if not given.get("HOST"):
        raise UsageError(f"No mail server is named; set {PREFIX}HOST, and see docs/guides/operations.md for the rest.")
    security = _read_security(given.get("SECURITY") or Security.STARTTLS)
    user, password = given.get("USER") or None, given.get("PASSWORD") or None
    if (user is None) != (password is None):
        raise UsageError(f"{PREFIX}USER and {PREFIX}PASSWORD go together; set both or neither.")
    if not f"{user}{password}".isascii():
        raise UsageError(f"{PREFIX}USER and {PREFIX}PASSWORD can hold ASCII alone; change the password.")
    if user is not None and security is Security.NONE:
        raise UsageError(
            f"{PREFIX}SECURITY=none would send the password unencrypted; use starttls or tls, or sign in nowhere."
        )
    (sender,) = read_recipients([given.get("FROM") or user or ""], what=f"The sender {PREFIX}FROM")
    return MailSettings(given["HOST"], _read_port(given.get("PORT"), security), security, sender, user, password)


def read_recipients(given: Iterable[str], *, what: str = "The address") -> tuple[str, ...]:
    """Plain addresses (``name@shop.example``), several in one text with commas; UsageError for one that is none."""
    addresses = [part.strip() for text in given for part in text.split(",")]
    for address in addresses:
        try:
            parsed = Address(addr_spec=address)
        except (HeaderParseError, ValueError, IndexError):
            parsed = Address()
        if not parsed.username or not parsed.domain or not address.isprintable():
            raise UsageError(f"{what} {address!r} is no mail address; write it as name@shop.example.")
    return tuple(dict.fromkeys(addresses))


def send_mail(settings: MailSettings, recipients: Iterable[str], mail: Mail) -> None:
    """Hand one mail to the server. Raises DeliveryError when it is not taken for every recipient."""
    message, to = _compose(settings, recipients, mail)
    where = f"{settings.host}:{settings.port}"
    try:
        with _connect(settings) as server:
            if settings.user is not None and settings.password is not None:
                server.login(settings.user, settings.password)
            refused = server.send_message(message, settings.sender, to)
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise DeliveryError(f"The mail was not sent by {where} ({_describe(error)}); see {PREFIX}*.") from error
    if refused:
        names = ", ".join(sorted(refused))
        raise DeliveryError(f"The mail server {where} took the mail, but not for {names}; check the addresses.")


def _compose(settings: MailSettings, recipients: Iterable[str], mail: Mail) -> tuple[EmailMessage, list[str]]:
    to = list(recipients)
    message = EmailMessage()
    message["From"], message["To"] = settings.sender, ", ".join(to)
    message["Subject"] = make_writable(" ".join(mail.subject.split()))
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=settings.sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(make_writable(mail.text))
    for name, content in mail.files.items():
        main, sub = ("application", "pdf") if name.endswith(".pdf") else ("text", "html")
        message.add_attachment(content, maintype=main, subtype=sub, filename=make_writable(name))
    return message, to


def _connect(settings: MailSettings) -> smtplib.SMTP:
    """A greeted connection; the server's certificate is checked against those that the system trusts."""
    if settings.security is Security.TLS:
        trusted = ssl.create_default_context()
        return smtplib.SMTP_SSL(settings.host, settings.port, timeout=TIMEOUT_S, context=trusted)
    server = smtplib.SMTP(settings.host, settings.port, timeout=TIMEOUT_S)
    if settings.security is Security.STARTTLS:
        try:
            server.starttls(context=ssl.create_default_context())
        except BaseException:
            server.close()
            raise
    return server


def _describe(error: Exception) -> str:
    """Why it was not sent, without anything that a server may have repeated of what it was told."""
    match error:
        case smtplib.SMTPAuthenticationError():
            return "it refused the user or the password"
        case smtplib.SMTPRecipientsRefused():
            return f"it refused every recipient: {', '.join(sorted(error.recipients))}"
        case smtplib.SMTPNotSupportedError():
            return str(error).rstrip(".").replace("extension not supported by server", "is not offered by the server")
        case smtplib.SMTPResponseException():
            return f"it answered {error.smtp_code}"
        case smtplib.SMTPException() if not isinstance(error, smtplib.SMTPServerDisconnected):
            return "it offers no way to sign in with user and password"
        case _:
            return describe_broken(error)


def _read_security(text: str) -> Security:
    try:
        return Security(text.lower())
    except ValueError:
        words = ", ".join(Security)
        raise UsageError(f"{PREFIX}SECURITY is {text!r}; it is one of {words}.") from None


def _read_port(text: str | None, security: Security) -> int:
    if not text:
        return PORTS[security]
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise UsageError(f"{PREFIX}PORT is {text!r}; it is a number from 1 to 65535.")
    return int(text)
