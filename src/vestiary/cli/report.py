"""``vestiary report``: pages for people to read; one sub-command per kind of report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from vestiary.notices import MailSettings
    from vestiary.reports.operations import OperationsReport

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _choose_kind() -> None:
    """Write a report for people to read."""


@app.command("catalogue")
def run_catalogue(
    catalogue: Path = typer.Argument(help="Catalogue folder that ingest wrote."),
    out: Path = typer.Option(help="HTML file to write."),
    pdf: Path | None = typer.Option(None, help="Write the same as PDF to this file (extra 'pdf')."),
    cross: list[str] = typer.Option(
        [], metavar="A×B", help="Two attributes to cross, as A×B or A,B; repeat it for more pairs."
    ),
    classes: int = typer.Option(36, min=1, max=200, help="How many of the commonest values to show in pictures."),
    seed: int = typer.Option(42, help="Which pictures are drawn at random."),
    labels: bool = typer.Option(False, "--labels", help="Look for wrong labels too, with a bundle (minutes)."),
    bundle: Path | None = typer.Option(None, help="Bundle for --labels; the default one when left out."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace files that are there."),
    as_json: bool = typer.Option(False, "--json", help="Print what was written as JSON."),
) -> None:
    """Write what a catalogue holds and what to do next."""
    from vestiary.catalogue import load_catalogue
    from vestiary.checks import measure_pictures, run_checks, sort_findings
    from vestiary.cli.check import check_label_options, find_label_errors
    from vestiary.cli.output import progress_bar, say
    from vestiary.reports.catalogue import build_catalogue_report, render_catalogue_report
    from vestiary.reports.page import load_page_setter, need_drawing

    check_places({"--out": out, "--pdf": pdf}, overwrite=overwrite)
    need_drawing()
    check_label_options(labels=labels, bundle=bundle)
    set_pdf = load_page_setter() if pdf is not None else None
    loaded = load_catalogue(catalogue)
    with progress_bar("Looking at pictures") as on_pictures:
        facts = measure_pictures(loaded, progress=on_pictures)
    findings = run_checks(loaded, facts=facts)
    if labels:
        findings = sort_findings([*findings, *find_label_errors(loaded, bundle)])
    with progress_bar("Choosing samples") as on_photos:
        report = build_catalogue_report(
            loaded,
            crosses=cross,
            findings=findings,
            facts=facts,
            classes=classes,
            seed=seed,
            on_photos=on_photos,
        )
    say("Drawing the charts.")
    html = render_catalogue_report(report)
    content = {out: html.encode()}
    if pdf is not None and set_pdf is not None:
        say("Setting the PDF.")
        content[pdf] = set_pdf(html)
    write_all(content, as_json=as_json)


@app.command("model")
def run_model(
    bundle: Path = typer.Argument(help="Bundle folder or zip, or the word default for the one that ships."),
    catalogue: Path = typer.Argument(help="Catalogue folder that ingest wrote."),
    out: Path = typer.Option(help="HTML file to write."),
    pdf: Path | None = typer.Option(None, help="Write the same as PDF to this file (extra 'pdf')."),
    card: Path | None = typer.Option(None, help="Write the model card with these figures to this Markdown file."),
    notes: Path | None = typer.Option(None, help="Markdown file with what the card shall say besides."),
    split: str = typer.Option("test", help="Which products: test, validation, train, all."),
    against: Path | None = typer.Option(None, help="Compare with this bundle, on the same products."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace files that are there."),
    as_json: bool = typer.Option(False, "--json", help="Print what was written as JSON."),
) -> None:
    """Write how good a bundle is on a catalogue, and where it fails."""
    from vestiary.bundle import open_bundle
    from vestiary.catalogue import load_catalogue
    from vestiary.cli.evaluate import answer_split, check_split
    from vestiary.cli.output import progress_bar, say
    from vestiary.metrics import compare
    from vestiary.predictor import take_all_views
    from vestiary.reports.card import write_card
    from vestiary.reports.model import build_model_report, load_log, render_model_report
    from vestiary.reports.page import load_page_setter, need_drawing

    check_split(split)
    check_places({"--out": out, "--pdf": pdf, "--card": card}, overwrite=overwrite)
    remarks = _read_notes(notes, card)
    need_drawing()
    set_pdf = load_page_setter() if pdf is not None else None
    place = bundle.resolve()
    opened, loaded = open_bundle(bundle), load_catalogue(catalogue)
    evaluation = answer_split(loaded, bundle, split)
    comparison = compare(evaluation, answer_split(loaded, against, split)) if against is not None else None
    views = take_all_views(opened, loaded, evaluation)
    with progress_bar("Choosing pictures") as on_pictures:
        report = build_model_report(
            opened,
            loaded,
            evaluation,
            views=views,
            comparison=comparison,
            log=load_log(place.parent / f"{place.name}.training" / "log.csv") if place.exists() else [],
            on_pictures=on_pictures,
        )
    say("Drawing the charts.")
    html = render_model_report(report)
    content = {out: html.encode()}
    if card is not None:
        content[card] = write_card(opened, loaded, evaluation, views=views, notes=remarks).encode()
    if pdf is not None and set_pdf is not None:
        say("Setting the PDF.")
        content[pdf] = set_pdf(html)
    write_all(content, as_json=as_json)


def _read_notes(notes: Path | None, card: Path | None) -> str:
    from vestiary.errors import UsageError

    if notes is None:
        return ""
    if card is None:
        raise UsageError("--notes says what the card shall say besides, but there is no card; add --card FILE.")
    try:
        return notes.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--notes {notes} cannot be read as UTF-8 text; name a Markdown file.") from error


def _add_operations(kind: str, doc: str) -> None:
    """The two reports that are made from the ledger take the same options."""

    @app.command(kind, help=doc)
    def run_operations(
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
        bundle: Path | None = typer.Option(None, help="Bundle whose drift is judged; the default one when left out."),
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


_add_operations("batch", "Write what batches answered, day by day, from the ledger.")
_add_operations("monitoring", "Write what batches and the service answered, day by day, from the ledger.")


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


def check_places(places: Mapping[str, Path | None], *, overwrite: bool) -> None:
    """Raise UsageError when two options name one file, or a file cannot be written."""
    from vestiary.errors import UsageError
    from vestiary.reports.page import check_place

    taken: dict[Path, str] = {}
    for option, place in places.items():
        if place is None:
            continue
        if place.resolve() in taken:
            raise UsageError(
                f"{taken[place.resolve()]} and {option} both name {place}; give each file a name of its own."
            )
        taken[place.resolve()] = option
        check_place(place, overwrite=overwrite)


def write_all(content: Mapping[Path, bytes], *, tell: bool = True, as_json: bool = False) -> None:
    """Write the files, and say so on stdout."""
    from vestiary.cli.output import print_json
    from vestiary.reports.page import write_whole

    for place, data in content.items():
        write_whole(place, data)
    if as_json:
        print_json(describe_files(content))
    elif tell:
        for place, data in content.items():
            size = f"{len(data) / 1e6:.1f} MB" if len(data) >= 100_000 else f"{len(data) / 1e3:.1f} kB"
            typer.echo(f"Written to {place} ({size}).")


def describe_files(content: Mapping[Path, bytes]) -> list[dict[str, Any]]:
    """Path and size of each file, for JSON."""
    return [{"path": str(place), "bytes": len(data)} for place, data in content.items()]
