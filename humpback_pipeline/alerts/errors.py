"""What goes wrong with an alert."""

from __future__ import annotations


class AlertError(RuntimeError):
    """A channel is not set up or did not take a message; never names an address or a password."""


class PassingAlertError(AlertError):
    """A failure that another try may mend: no connection, a timeout, an overloaded server."""


def reason(error: BaseException) -> str:
    """The kinds of a library's error and of what lies behind it; never its message.

    The message may quote the address: httpx's do, and so do those of certificates. What the
    operating system itself says of a failed call is safe and kept.
    """
    innermost = error
    while (behind := innermost.__cause__ or innermost.__context__) is not None:
        innermost = behind
    what = type(innermost).__name__
    if type(innermost).__module__ in ("builtins", "socket") and isinstance(innermost, OSError):
        what = innermost.strerror or what
    return f"{type(error).__name__}, {what}" if innermost is not error else what
