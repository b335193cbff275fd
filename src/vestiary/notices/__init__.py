"""What is sent to people: mail, and messages to a chat's webhook; what does not arrive is told in one sentence."""

from vestiary.notices.mail import Mail, MailSettings, load_mail_settings, read_recipients, send_mail
from vestiary.notices.webhook import check_webhook, is_web_address, send_message

__all__ = [
    "Mail",
    "MailSettings",
    "check_webhook",
    "is_web_address",
    "load_mail_settings",
    "read_recipients",
    "send_mail",
    "send_message",
]
