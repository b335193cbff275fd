"""Mail and webhooks against servers on this machine: what arrives, and what is told when it does not."""

from __future__ import annotations

import email
import email.policy
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT
from vestiary.cli.main import main
from vestiary.errors import DeliveryError, UsageError
from vestiary.notices import (
    Mail,
    MailSettings,
    check_webhook,
    load_mail_settings,
    read_recipients,
    send_mail,
    send_message,
)
from vestiary.notices.mail import SETTINGS

pytest.importorskip("aiosmtpd", reason="the mail server of the tests, aiosmtpd, is not installed")
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope

MAIL = Mail("Batches:\n 7 days", "All is well – 100 %.\n", {"report.html": b"<p>hi</p>", "report.pdf": b"%PDF-1.7"})
PASSWORD = "correct horse"


class Box:
    """Keeps what it is given; refuses addresses that begin with ``no``."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []

    async def handle_RCPT(self, _: Any, __: Any, envelope: Envelope, address: str, ___: Any) -> str:
        if address.startswith("no"):
            return "550 there is no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: Any, __: Any, envelope: Envelope) -> str:
        message = email.message_from_bytes(envelope.content or b"", policy=email.policy.default)  # type: ignore[arg-type]
        assert isinstance(message, EmailMessage)
        self.mails.append((envelope.rcpt_tos, message))
        return "250 OK"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost, with its key, made for this run."""
    folder = tmp_path_factory.mktemp("certificate")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    try:
        names = ["-addext", "subjectAltName=DNS:localhost"]
        subprocess.run(["openssl", *words.split(), *names, *files], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("the program openssl is not installed")
    return folder


def check_login(_: Any, __: Any, ___: Any, ____: Any, given: Any) -> AuthResult:
    right = (given.login, given.password) == (b"vestiary", PASSWORD.encode())
    return AuthResult(success=right, handled=False)


@pytest.fixture
def start_server() -> Iterator[Callable[..., tuple[Box, int]]]:
    controllers = []

    def start(certificate: Path | None = None, **options: Any) -> tuple[Box, int]:
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
            options |= {"tls_context": context, "authenticator": check_login}
        box = Box()
        controllers.append(Controller(box, hostname="localhost", port=free_port(), **options))
        controllers[-1].start()
        return box, controllers[-1].port

    yield start
    for controller in controllers:
        controller.stop()


def settings(port: int, **given: str) -> MailSettings:
    plain = {"HOST": "localhost", "PORT": str(port), "SECURITY": "none", "FROM": "vestiary@shop.example"}
    return load_mail_settings({f"VESTIARY_SMTP_{name}": value for name, value in (plain | given).items()})


def test_a_mail_arrives_with_its_text_and_files(start_server: Callable[..., tuple[Box, int]]) -> None:
    box, port = start_server()
    send_mail(settings(port), ["a@shop.example", "b@shop.example"], MAIL)
    ((to, message),) = box.mails
    assert to == ["a@shop.example", "b@shop.example"]
    assert (message["Subject"], message["From"]) == ("Batches: 7 days", "vestiary@shop.example")
    body = message.get_body()
    assert body is not None
    assert body.get_content().splitlines() == [MAIL.text.strip()]
    files = {
        own.get_filename(): (own.get_content_type(), own.get_payload(decode=True)) for own in message.iter_attachments()
    }
    assert files == {"report.html": ("text/html", b"<p>hi</p>"), "report.pdf": ("application/pdf", b"%PDF-1.7")}


def test_a_name_that_is_no_utf8_stops_no_mail(start_server: Callable[..., tuple[Box, int]]) -> None:
    box, port = start_server()
    send_mail(
        settings(port), ["a@shop.example"], Mail("r\udce9sum\udce9", "of r\udce9\n", {"r\udce9.html": b"<p>hi</p>"})
    )
    ((_, message),) = box.mails
    body, (file,) = message.get_body(), message.iter_attachments()
    assert body is not None
    told = (message["Subject"], body.get_content().strip(), file.get_filename())
    assert told == (r"r\udce9sum\udce9", r"of r\udce9", r"r\udce9.html")


def test_a_mail_is_signed_in_and_encrypted(
    start_server: Callable[..., tuple[Box, int]], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, port = start_server(certificate, require_starttls=True, auth_required=True)
    account = {"SECURITY": "starttls", "USER": "vestiary", "PASSWORD": PASSWORD}
    with pytest.raises(DeliveryError, match="its certificate is not trusted"):
        send_mail(settings(port, **account), ["a@shop.example"], MAIL)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    send_mail(settings(port, **account), ["a@shop.example"], MAIL)
    assert len(box.mails) == 1
    with pytest.raises(DeliveryError, match="it refused the user or the password") as caught:
        send_mail(settings(port, **account | {"PASSWORD": "wrong horse"}), ["a@shop.example"], MAIL)
    assert "horse" not in str(caught.value)


def test_a_server_with_other_ways_to_sign_in_is_told(
    start_server: Callable[..., tuple[Box, int]], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Box, "auth_NTLM", check_login, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    _, port = start_server(certificate, auth_exclude_mechanism=["LOGIN", "PLAIN"])
    account = {"SECURITY": "starttls", "USER": "vestiary", "PASSWORD": PASSWORD}
    with pytest.raises(DeliveryError, match=r"\(it offers no way to sign in with user and password\)"):
        send_mail(settings(port, **account), ["a@shop.example"], MAIL)


def test_encryption_is_not_given_up(start_server: Callable[..., tuple[Box, int]]) -> None:
    box, port = start_server()
    with pytest.raises(DeliveryError, match="STARTTLS is not offered by the server"):
        send_mail(settings(port, SECURITY="starttls"), ["a@shop.example"], MAIL)
    with pytest.raises(DeliveryError, match="did not answer with TLS on this port"):
        send_mail(settings(port, SECURITY="tls"), ["a@shop.example"], MAIL)
    with pytest.raises(UsageError, match="SECURITY=none would send the password unencrypted"):
        settings(port, USER="vestiary", PASSWORD=PASSWORD)
    assert box.mails == []


def test_refused_recipients_are_named(start_server: Callable[..., tuple[Box, int]]) -> None:
    box, port = start_server()
    with pytest.raises(DeliveryError, match=r"took the mail, but not for no@shop\.example; check the addresses"):
        send_mail(settings(port), ["a@shop.example", "no@shop.example"], MAIL)
    assert [to for to, _ in box.mails] == [["a@shop.example"]]
    with pytest.raises(DeliveryError, match=r"it refused every recipient: no@shop\.example"):
        send_mail(settings(port), ["no@shop.example"], MAIL)


def test_a_server_that_is_not_there_is_told() -> None:
    port = free_port()
    with pytest.raises(DeliveryError, match=rf"was not sent by localhost:{port} \(connection refused\)"):
        send_mail(settings(port), ["a@shop.example"], MAIL)
    with pytest.raises(DeliveryError, match=rf"was not sent by mail\.\.shop:{port} \(no machine has this name\)"):
        send_mail(settings(port, HOST="mail..shop"), ["a@shop.example"], MAIL)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"HOST": ""}, "set VESTIARY_SMTP_HOST"),
        ({"PORT": "smtp"}, "VESTIARY_SMTP_PORT is 'smtp'"),
        ({"SECURITY": "ssl"}, "it is one of tls, starttls, none"),
        ({"FROM": "vestiary"}, "The sender VESTIARY_SMTP_FROM 'vestiary' is no mail address"),
        ({"USER": "vestiary"}, "go together"),
        (
            {"SECURITY": "tls", "USER": "vestiary", "PASSWORD": "schlüssel"},
            "VESTIARY_SMTP_USER and VESTIARY_SMTP_PASSWORD can hold ASCII alone",
        ),
        ({"PASS": "word"}, "VESTIARY_SMTP_PASS is no setting of mail"),
    ],
)
def test_wrong_settings_are_named(given: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings(25, **given)
    assert told in str(caught.value)
    assert "schlüssel" not in str(caught.value)


def test_every_setting_of_mail_is_documented_and_no_other() -> None:
    guide = (ROOT / "docs" / "guides" / "operations.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `VESTIARY_SMTP_([A-Z]+)` \|", guide, re.M) == list(SETTINGS)


def test_the_password_is_shown_nowhere() -> None:
    assert PASSWORD not in repr(settings(25, SECURITY="tls", USER="vestiary", PASSWORD=PASSWORD))


def test_recipients_may_be_given_in_one_text_or_several() -> None:
    assert read_recipients(["a@x.org, b@x.org", "a@x.org"]) == ("a@x.org", "b@x.org")
    for wrong in ("", "a", "a@", "@x.org", "a@x.org\nBcc: c@x.org", "A <a@x.org>"):
        with pytest.raises(UsageError, match="is no mail address"):
            read_recipients([wrong])


class Hook(HTTPServer):
    """A webhook that keeps what it is given, and answers with ``code``."""

    def __init__(self, code: int = 200) -> None:
        super().__init__(("localhost", 0), HookHandler)
        self.code, self.bodies = code, list[Any]()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server_port}/services/T0/SECRET"


class HookHandler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.bodies.append((self.headers["Content-Type"], json.loads(self.rfile.read(length))))
        self.send_response(self.server.code)
        if self.server.code == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(b"ok")

    def do_GET(self) -> None:
        raise AssertionError("the redirect was followed")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def start_hook() -> Iterator[Callable[[int], Hook]]:
    hooks: list[Hook] = []

    def start(code: int = 200) -> Hook:
        hooks.append(Hook(code))
        threading.Thread(target=hooks[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return hooks[-1]

    yield start
    for hook in hooks:
        hook.shutdown()
        hook.server_close()


def test_a_message_arrives_as_slack_reads_it(start_hook: Callable[..., Hook]) -> None:
    hook = start_hook()
    send_message(hook.url, "Batches & more", "1 < 2")
    assert hook.bodies == [("application/json", {"text": "*Batches &amp; more*\n1 &lt; 2"})]


@pytest.mark.parametrize("code", [302, 404, 500])
def test_a_webhook_that_refuses_is_told_without_its_address(start_hook: Callable[..., Hook], code: int) -> None:
    hook = start_hook(code)
    with pytest.raises(DeliveryError, match=rf"webhook at localhost \(it answered {code}\)") as caught:
        send_message(hook.url, "title", "text")
    assert "SECRET" not in str(caught.value)
    assert len(hook.bodies) == 1


def test_a_webhook_that_is_not_there_is_told() -> None:
    with pytest.raises(DeliveryError, match=r"at localhost \(connection refused\)"):
        send_message(f"http://localhost:{free_port()}/SECRET", "title", "text")


@pytest.mark.parametrize(
    "url",
    ["", "slack", "ftp://x/y", "file:///etc/passwd", "https://", "https://x:port/", "https://x/ y", "https://x..y/z"],
)
def test_an_address_that_is_none_is_refused_without_being_told(url: str) -> None:
    with pytest.raises(UsageError, match="begins with https://"):
        check_webhook(url)


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Any]:
    """``report(…)`` runs ``vestiary report batch`` on an empty ledger: exit code, stdout, stderr."""
    for module in ("altair", "vl_convert", "jinja2"):
        pytest.importorskip(module, reason="the extra 'ui' is not installed")

    def run(*words: object) -> tuple[int, str, str]:
        given = ("--ledger", tmp_path / "l.db", "--out", tmp_path / "r.html", "--until", "2026-11-21", "--overwrite")
        monkeypatch.setattr(sys, "argv", ["vestiary", "report", "batch", *map(str, (*given, *words))])
        with pytest.raises(SystemExit) as left:
            main()
        captured = capsys.readouterr()
        return int(left.value.code or 0), captured.out, captured.err

    return run


def test_a_report_goes_out_by_mail_and_webhook(
    report: Callable[..., Any],
    start_server: Callable[..., tuple[Box, int]],
    start_hook: Callable[..., Hook],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    box, port = start_server()
    for name, value in {"HOST": "localhost", "PORT": port, "SECURITY": "none", "FROM": "v@shop.example"}.items():
        monkeypatch.setenv(f"VESTIARY_SMTP_{name}", str(value))
    hook = start_hook()
    code, _, err = report("--mail-to", "a@shop.example,b@shop.example", "--webhook", hook.url)
    assert code == 0
    assert "Sent by mail to a@shop.example, b@shop.example." in err
    assert "SECRET" not in err
    ((to, message),) = box.mails
    assert to == ["a@shop.example", "b@shop.example"]
    assert message["Subject"] == "Batch report, 15 to 21 November 2026"
    (attached,) = message.iter_attachments()
    assert attached.get_payload(decode=True) == (tmp_path / "r.html").read_bytes()
    ((_, body),) = hook.bodies
    assert body["text"].startswith("*Batch report, 15 to 21 November 2026*\nNothing was answered")


def test_a_report_that_does_not_arrive_is_written_and_told_with_exit_1(
    report: Callable[..., Any], start_hook: Callable[..., Hook], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VESTIARY_SMTP_HOST", "localhost")
    monkeypatch.setenv("VESTIARY_SMTP_PORT", str(free_port()))
    monkeypatch.setenv("VESTIARY_SMTP_FROM", "v@shop.example")
    hook = start_hook(500)
    code, out, err = report("--mail-to", "a@shop.example", "--webhook", hook.url)
    assert code == 1
    assert (tmp_path / "r.html").is_file()
    assert "Written to" in out
    last = err.splitlines()[-1]
    assert "The mail was not sent by localhost:" in last
    assert "The message was not taken by the webhook at localhost (it answered 500)" in last
    assert "SECRET" not in out + err
