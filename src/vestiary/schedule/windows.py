"""A task for Windows' Task Scheduler, and the command file that it starts.

The scheduler starts no second run while one is going, makes up for a missed night, and stops no run for its length. It
keeps no output, so the command file writes the log, and renames it when it is over a million bytes. The schema, with
the order of elements, is in [MS-TSCH] 2.5, "XML Task Definition Format".
"""

from __future__ import annotations

from xml.etree import ElementTree

from vestiary.errors import UsageError
from vestiary.schedule.nightly import NAME, Files, Nightly, refuse

NAMESPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"
_OLD_LOGS = 9


def write_windows(nightly: Nightly) -> Files:
    """``vestiary-batch.xml`` and ``vestiary-batch.cmd``. Raises UsageError for paths that Windows cannot hold."""
    if nightly.environment is not None:
        raise UsageError("Task Scheduler reads no file of variables; set them for the account (setx) instead.")
    for path in (nightly.place, nightly.folder):
        refuse(path, '"<>|?*%', "The folder")
    steps = (
        f"schtasks /Create /TN Vestiary /XML {NAME}.xml /RU {nightly.user or '%USERNAME%'} /NP",
        "schtasks /Run /TN Vestiary    # to try it at once",
    )
    return Files({f"{NAME}.xml": _write_task(nightly), f"{NAME}.cmd": _write_command(nightly)}, steps)


def _write_task(nightly: Nightly) -> bytes:
    task = ElementTree.Element("Task", {"version": "1.2", "xmlns": NAMESPACE})
    about = ElementTree.SubElement(task, "RegistrationInfo")
    _add(about, "Description", "Vestiary: answer the pictures that came in. Made by: vestiary schedule windows")
    trigger = ElementTree.SubElement(ElementTree.SubElement(task, "Triggers"), "CalendarTrigger")
    _add(trigger, "StartBoundary", f"2026-01-01T{nightly.at:%H:%M}:00")
    _add(ElementTree.SubElement(trigger, "ScheduleByDay"), "DaysInterval", "1")
    principal = ElementTree.SubElement(ElementTree.SubElement(task, "Principals"), "Principal", {"id": "Author"})
    if nightly.user is not None:
        _add(principal, "UserId", nightly.user)
    _add(principal, "LogonType", "S4U")
    settings = ElementTree.SubElement(task, "Settings")
    for name, value in (
        ("MultipleInstancesPolicy", "IgnoreNew"),
        ("DisallowStartIfOnBatteries", "false"),
        ("StopIfGoingOnBatteries", "false"),
        ("StartWhenAvailable", "true"),
        ("ExecutionTimeLimit", "PT0S"),
        ("Priority", "7"),
    ):
        _add(settings, name, value)
    execute = ElementTree.SubElement(ElementTree.SubElement(task, "Actions", {"Context": "Author"}), "Exec")
    _add(execute, "Command", rf"{nightly.place}\{NAME}.cmd")
    _add(execute, "WorkingDirectory", nightly.folder)
    ElementTree.indent(task)
    return bytes(ElementTree.tostring(task, encoding="utf-16", xml_declaration=True))


def _add(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = text


def _write_command(nightly: Nightly) -> bytes:
    log = rf"{nightly.place}\logs\{NAME}.log"
    older = [f'    if exist "{log}.{n}" move /y "{log}.{n}" "{log}.{n + 1}" >nul' for n in range(_OLD_LOGS - 1, 0, -1)]
    lines = [
        "@echo off",
        "rem One batch of Vestiary. Made by: vestiary schedule windows",
        "setlocal disabledelayedexpansion",
        "chcp 65001 >nul",
        f'if not exist "{nightly.place}\\logs" mkdir "{nightly.place}\\logs"',
        f'if exist "{log}" for %%F in ("{log}") do if %%~zF gtr 1000000 (',
        *older,
        f'    move /y "{log}" "{log}.1" >nul',
        ")",
        f'cd /d "{nightly.folder}" || exit /b 2',
        f'>>"{log}" echo %DATE% %TIME% begins',
        f'>>"{log}" 2>&1 {" ".join(map(_quote, nightly.command))}',
        "set code=%ERRORLEVEL%",
        f'>>"{log}" echo %DATE% %TIME% ended with exit code %code%',
        "exit /b %code%",
        "",
    ]
    return "\r\n".join(lines).encode("utf-8")


def _quote(word: str) -> str:
    """One word for cmd and for the C runtime: quoted, ``%`` doubled, backslashes before the last quote doubled."""
    refuse(word, '"', "The argument")
    if not word.isascii():
        try:
            word.encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(f"The argument {word!r} is no text that Windows could hold; rename it.") from None
    tail = len(word) - len(word.rstrip("\\"))
    return f'"{word.replace("%", "%%")}{tail * chr(92)}"'
