"""Receivers of alerts on this machine: a webhook, and a mail server that speaks STARTTLS."""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.server
import ipaddress
import json
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any


@dataclass
class Webhook:
    """What a webhook was sent; `answers` are the statuses of its next answers, then 200."""

    address: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    location: str = ""
    delay_s: float = 0.0

    def wait_for(self, n: int, timeout_s: float = 30.0) -> list[dict[str, Any]]:
        """The messages, as soon as there are `n`."""
        deadline = time.monotonic() + timeout_s
        while len(self.messages) < n:
            assert time.monotonic() < deadline, f"{len(self.messages)} of {n} messages came"
            time.sleep(0.05)
        return self.messages


@contextlib.contextmanager
def webhook_receiver(path: str = "/hook") -> Iterator[Webhook]:
    """A webhook on a free port of this machine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            webhook.paths.append(self.path)
            time.sleep(webhook.delay_s)
            status = webhook.answers.pop(0) if webhook.answers else 200
            if status < 300:
                webhook.messages.append(json.loads(body))
            with contextlib.suppress(OSError):  # the sender has given up
                self.send_response(status)
                if webhook.location:
                    self.send_header("Location", webhook.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    webhook = Webhook(f"http://127.0.0.1:{server.server_port}{path}")
    with _serving(server):
        yield webhook


@dataclass
class MailServer:
    """What a mail server was sent, and the logins it saw."""

    port: int
    certificate: Path
    messages: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    was_encrypted: list[bool] = field(default_factory=list)
    offers_starttls: bool = True
    password: str = ""


@contextlib.contextmanager
def mail_receiver(folder: Path, password: str = "") -> Iterator[MailServer]:
    """A mail server on a free port; its self-signed certificate, in `folder`, is to be trusted."""
    certificate = write_certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, folder / "key.pem")

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            _Conversation(self, mail, context).hold()

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    mail = MailServer(server.server_address[1], certificate, password=password)
    with _serving(server):
        yield mail


class _Conversation:
    """One SMTP session (RFC 5321), with STARTTLS and AUTH PLAIN."""

    def __init__(
        self, handler: socketserver.StreamRequestHandler, mail: MailServer, context: ssl.SSLContext
    ) -> None:
        self.mail, self.context, self.connection = mail, context, handler.connection
        self.stream = handler.connection.makefile("rwb")
        self.encrypted = False

    def hold(self) -> None:
        with contextlib.suppress(OSError):
            self.say("220 ready")
            while line := self.stream.readline().decode().strip():
                if not self.answer(*line.partition(" ")[::2]):
                    return

    def answer(self, command: str, argument: str) -> bool:
        match command.upper():
            case "EHLO":
                extra = [] if self.encrypted or not self.mail.offers_starttls else ["STARTTLS"]
                login = ["AUTH PLAIN"] if self.encrypted else []
                lines = ["127.0.0.1", *extra, *login]
                self.say(*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}")
            case "STARTTLS":
                self.say("220 go on")
                self.connection = self.context.wrap_socket(self.connection, server_side=True)
                self.stream, self.encrypted = self.connection.makefile("rwb"), True
            case "AUTH":
                _, user, password = base64.b64decode(argument.split()[1]).decode().split("\0")
                self.mail.logins.append((user, password))
                self.say("235 in" if password == self.mail.password else "535 wrong: " + password)
            case "RCPT":
                self.mail.recipients.append(argument.partition(":")[2].strip("<>"))
                self.say("250 ok")
            case "DATA":
                self.say("354 go on")
                lines = []
                while (line := self.stream.readline()) != b".\r\n":
                    lines.append(line)
                message = message_from_bytes(b"".join(lines), policy=policy.default)
                self.mail.messages.append(message)  # type: ignore[arg-type]
                self.mail.was_encrypted.append(self.encrypted)
                self.say("250 taken")
            case "QUIT":
                self.say("221 bye")
                return False
            case _:
                self.say("250 ok")
        return True

    def say(self, *lines: str) -> None:
        self.stream.write("".join(f"{line}\r\n" for line in lines).encode())
        self.stream.flush()


@contextlib.contextmanager
def _serving(server: socketserver.TCPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def write_certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key in key.pem."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "alerts test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    return folder / "certificate.pem"
