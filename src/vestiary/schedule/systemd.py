"""A systemd service and its timer. One run at a time and a log that is rotated are what systemd does by itself.

A timer does not start a service that is still running, and catches up after the machine was off (``Persistent``); what
the command says goes to the journal, which keeps to its limits. Quoting: systemd.syntax(7), systemd.service(5),
"Command lines", and systemd.unit(5), "Specifiers".
"""

from __future__ import annotations

from vestiary.schedule.nightly import NAME, Files, Nightly, encode, refuse


def write_systemd(nightly: Nightly) -> Files:
    """``vestiary-batch.service`` and ``vestiary-batch.timer``. Raises UsageError for paths that a unit cannot hold."""
    refuse(nightly.program[0], "", "The program")
    refuse(nightly.folder, "", "The folder")
    refuse(nightly.user or "", " %", "The account")
    refuse(nightly.environment or "", "*?[", "The file")
    service = [
        "# A batch of Vestiary; vestiary-batch.timer starts it. Made by: vestiary schedule systemd",
        "[Unit]",
        "Description=Vestiary: answer the pictures that came in",
        "",
        "[Service]",
        "Type=oneshot",
        *([] if nightly.user is None else [f"User={nightly.user}"]),
        *([] if nightly.environment is None else [f"EnvironmentFile={_escape_percent(nightly.environment)}"]),
        f"WorkingDirectory={_escape_percent(nightly.folder)}",
        f"ExecStart={' '.join(map(_quote, nightly.command))}",
        "Nice=10",
        "# A stop lets it end cleanly; the next run goes on where this one was.",
        "KillMode=mixed",
        "TimeoutStopSec=2min",
        "StandardOutput=journal",
        "StandardError=journal",
    ]
    timer = [
        "# Made by: vestiary schedule systemd",
        "[Unit]",
        "Description=Vestiary: a batch every night",
        "",
        "[Timer]",
        f"OnCalendar=*-*-* {nightly.at:%H:%M}:00",
        "# A night when the machine was off is made up for at the next start.",
        "Persistent=true",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    units = {f"{NAME}.service": service, f"{NAME}.timer": timer}
    own = nightly.user is None
    manager, home = ("systemctl --user", "~/.config/systemd/user/") if own else ("systemctl", "/etc/systemd/system/")
    steps = [
        *([f"mkdir -p {home}"] if own else []),
        f"cp {NAME}.service {NAME}.timer {home}",
        f"{manager} daemon-reload",
        f"{manager} enable --now {NAME}.timer",
        f"journalctl {'--user ' if own else ''}-u {NAME}    # what it said",
    ]
    if own:
        steps.append("loginctl enable-linger    # so that it runs while you are logged out")
    return Files({name: encode("\n".join([*lines, ""])) for name, lines in units.items()}, tuple(steps))


def _quote(word: str) -> str:
    """One word of a command line: quoted, with ``%`` and ``$`` doubled, and what is no text as hexadecimal escapes."""
    letters = []
    for letter in word:
        if letter in '"\\':
            letters.append("\\" + letter)
        elif letter in "%$":
            letters.append(2 * letter)
        elif letter.isprintable():
            letters.append(letter)
        else:
            letters.extend(f"\\x{byte:02x}" for byte in encode(letter))
    return f'"{"".join(letters)}"'


def _escape_percent(path: str) -> str:
    return path.replace("%", "%%")
