"""E-mail over SMTP, always encrypted."""

from __future__ import annotations

from email.message import EmailMessage

from humpback_pipeline.alerts.errors import AlertError, PassingAlertError, reason
from humpback_pipeline.recipe_operations import AlertChannelRecipe

TIMEOUT_S = 5.0
TLS_PORT = 465  # TLS from the first byte; all other ports start in the clear and switch
TRY_LATER = 400  # SMTP: 4xx is a passing refusal, 5xx a lasting one


def send_email(channel: AlertChannelRecipe, message: EmailMessage, password: str | None) -> None:
    """Send once, over STARTTLS (port 465: TLS), with a login if there is a password.

    Raises PassingAlertError if another try may mend it, else AlertError.
    """
    import smtplib
    import ssl

    failure: AlertError | None = None
    try:
        _deliver(channel, message, password)
    except smtplib.SMTPAuthenticationError as error:
        failure = AlertError(f"SMTP login refused ({error.smtp_code}); see user and password")
    except smtplib.SMTPNotSupportedError:
        failure = AlertError("the SMTP server offers no STARTTLS or no login; use one that does")
    except smtplib.SMTPRecipientsRefused as error:
        codes = {code for code, _ in error.recipients.values()}
        failure = _refusal(min(codes), "recipients refused")
    except smtplib.SMTPResponseException as error:
        failure = _refusal(error.smtp_code, "refused by the SMTP server")
    except ssl.SSLCertVerificationError:
        failure = AlertError("the SMTP server's certificate is not trusted or of another name")
    except (smtplib.SMTPException, OSError) as error:
        failure = PassingAlertError(f"no answer: {reason(error)}")
    # Raised out here so that it has no context, which might quote what the server said.
    if failure is not None:
        raise failure


def _deliver(channel: AlertChannelRecipe, message: EmailMessage, password: str | None) -> None:
    import smtplib
    import ssl

    assert channel.smtp_host is not None  # the recipe's validation
    context = ssl.create_default_context()
    address = (channel.smtp_host, channel.smtp_port)
    server: smtplib.SMTP
    if channel.smtp_port == TLS_PORT:
        server = smtplib.SMTP_SSL(*address, timeout=TIMEOUT_S, context=context)
    else:
        server = smtplib.SMTP(*address, timeout=TIMEOUT_S)
    with server:
        if channel.smtp_port != TLS_PORT:
            server.starttls(context=context)
        if password is not None:
            server.login(channel.smtp_user or channel.sender or "", password)
        server.send_message(message)


def _refusal(code: int, what: str) -> AlertError:
    if TRY_LATER <= code < 500:
        return PassingAlertError(f"{what} for now ({code})")
    return AlertError(f"{what} ({code})")
