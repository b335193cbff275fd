"""``vestiary report batch`` and ``… monitoring``: what was done, from the ledger; by mail and chat when asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vestiary.cli.files import check_places, describe_files, write_all

if TYPE_CHECKING:
    from vestiary.notices import MailSettings
    from vestiary.reports.operations import OperationsReport


def make_run(kind: str) -> Callable[..., None]:
    """The command of one kind, "batch" or "monitoring"; both take the same options."""

    def run(
        days: int = typer.Option(7, min=1, max=3660, help="Calendar days, the last one included."),
        until: str | None = typer.Option(None, metavar="YYYY-MM-DD", help="The last day; today when left out."),
        timezone: str | None = typer.Option(
            None, metavar="ZONE", help="Where days begin at midnight, as Europe/Berlin; this machine's own zone."
        ),
        out: Path | None = typer.Option(
            None, help=f"HTML file to write; {kind}-report-DAY.html in the current folder when left out."
        ),
        pdf: Path | None = typer.Option(None, help="Write the same as PDF to this file (extra 'pdf')."),
        ledger: str | None = typer.Option(
            None, metavar="PLACE", help="File or URL of the ledger; that of VESTIARY_LEDGER_URL, or the user's own."
        ),
        bundle: str | None = typer.Option(None, help="Bundle whose drift is judged; the default one when left out."),
        mail_to: list[str] = typer.Option(
            [], metavar="ADDRESS", help="Send it by mail, as VESTIARY_SMTP_* say; repeat it for more people."
        ),
        webhook: str | None = typer.Option(
            None, metavar="URL", help="Send the summary to a chat's webhook, as JSON that Slack takes."
        ),
        overwrite: bool = typer.Option(False, "--overwrite", help="Replace files that are there."),
        as_json: bool = typer.Option(False, "--json", help="Print the figures and what was written as JSON."),
    ) -> None:
        from vestiary.bundle import open_bundle
        from vestiary.cli.output import print_json, say
        from vestiary.ledger import open_ledger
        from vestiary.notices import check_webhook
        from vestiary.reports.operations import (
            Kind,
            build_operations_report,
            choose_period,
            render_operations_report,
            summarise,
        )
        from vestiary.reports.page import load_page_setter, need_drawing

        period = choose_period(days, last=read_day(until), zone=timezone)
        place = out or Path(f"{kind}-report-{period.days[-1]}.html")
        check_places({"--out": place, "--pdf": pdf}, overwrite=overwrite)
        need_drawing()
        mail = load_mail(mail_to)
        if webhook is not None:
            check_webhook(webhook)
        set_pdf = load_page_setter() if pdf is not None else None
        opened = open_bundle(bundle)
        with open_ledger(ledger) as records:
            report = build_operations_report(records, Kind(kind), period, bundle=opened)
        say("Drawing the charts.")
        html = render_operations_report(report)
        content = {place: html.encode()}
        if pdf is not None and set_pdf is not None:
            say("Setting the PDF.")
            content[pdf] = set_pdf(html)
        if as_json:
            write_all(content, tell=False)
            print_json({"files": describe_files(content), "report": report.to_dict()})
        else:
            typer.echo("\n".join(summarise(report)))
            write_all(content)
        send_report(report, content, mail=mail, webhook=webhook)

    return run


def read_day(text: str | None) -> date | None:
    """A day such as 2026-01-31. Raises UsageError for anything else."""
    from vestiary.errors import UsageError

    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--until {text!r} is no day of the calendar; write it as 2026-01-31.") from None


def load_mail(mail_to: Sequence[str]) -> tuple[MailSettings, tuple[str, ...]] | None:
    """How to send mail and to whom, None when nobody is named. Raises UsageError for wrong settings or addresses."""
    from vestiary.notices import load_mail_settings, read_recipients

    return (load_mail_settings(), read_recipients(mail_to)) if mail_to else None


def send_report(
    report: OperationsReport,
    content: Mapping[Path, bytes],
    *,
    mail: tuple[MailSettings, tuple[str, ...]] | None,
    webhook: str | None,
) -> None:
    """Send what is asked for. All of it is tried; raises DeliveryError for what did not arrive."""
    from vestiary.cli.output import say
    from vestiary.errors import DeliveryError
    from vestiary.notices import Mail, send_mail, send_message
    from vestiary.reports.operations import summarise

    title, text = summarise(report)
    failed = []
    try:
        if mail is not None:
            settings, recipients = mail
            send_mail(settings, recipients, Mail(title, text, {path.name: data for path, data in content.items()}))
            say(f"Sent by mail to {', '.join(recipients)}.")
    except DeliveryError as error:
        failed.append(str(error))
    try:
        if webhook is not None:
            send_message(webhook, title, text)
            say("Sent to the webhook.")
    except DeliveryError as error:
        failed.append(str(error))
    if failed:
        raise DeliveryError(" ".join(failed))
