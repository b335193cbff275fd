"""A line for cron, the script that it starts, and how its log is rotated.

The script holds the command, so that the line has nothing in it that cron would change (crontab(5): ``%`` ends a
command). It holds a lock (flock(1)) as long as the command runs, and says on stderr, which cron mails, what went wrong.
"""

from __future__ import annotations

import shlex

from vestiary.schedule.nightly import NAME, Files, Nightly, encode, refuse


def write_cron(nightly: Nightly) -> Files:
    """The script, the crontab line and logrotate's file. Raises UsageError for a place that these cannot hold."""
    refuse(nightly.place, "\\\"'*?[]{}%", "The folder of the script and its log")
    script, log = f"{nightly.place}/{NAME}.sh", f"{nightly.place}/logs/{NAME}.log"
    account = ""
    if nightly.user is not None:
        refuse(nightly.user, " %", "The account")
        account = f"{nightly.user} "
    line = f"{nightly.at.minute} {nightly.at.hour} * * * {account}/bin/sh {shlex.quote(script)}"
    table = ["# Made by: vestiary schedule cron", "SHELL=/bin/sh", line, ""]
    install = (
        f"cp {NAME}.cron /etc/cron.d/{NAME}"
        if nightly.user is not None
        else f"( crontab -l; cat {NAME}.cron ) | crontab -    # adds it to your table"
    )
    steps = (install, f"cp {NAME}.logrotate /etc/logrotate.d/{NAME}    # as root; keeps a year of logs")
    return Files(
        {
            f"{NAME}.sh": encode(_write_script(nightly, log)),
            f"{NAME}.cron": encode("\n".join(table)),
            f"{NAME}.logrotate": encode(_write_rotation(log)),
        },
        steps,
    )


def _write_script(nightly: Nightly, log: str) -> str:
    lines = [
        "#!/bin/sh",
        "# One batch of Vestiary, never two at a time. Made by: vestiary schedule cron",
        f"place={shlex.quote(nightly.place)}",
        f"log={shlex.quote(log)}",
        'mkdir -p -m 700 "$place/logs" || exit 2',
        "command -v flock >/dev/null || { echo 'The program flock (util-linux) is missing; install it.' >&2; exit 2; }",
        f'exec 9>>"$place/{NAME}.lock" || exit 2',
        "if ! flock -n 9; then",
        f"    echo '{NAME}: the run before this one is still going; nothing was started.' >&2",
        "    exit 1",
        "fi",
    ]
    if nightly.environment is not None:
        lines += [
            'while IFS= read -r line || [ -n "$line" ]; do  # values as they stand, not as a shell would read them',
            "    case $line in '' | '#'*) ;; *) export \"$line\" || exit 2 ;; esac",
            f"done <{shlex.quote(nightly.environment)} || exit 2",
        ]
    lines += [
        f"cd {shlex.quote(nightly.folder)} || exit 2",
        'echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) begins" >>"$log"',
        f'{shlex.join(nightly.command)} >>"$log" 2>&1',
        "code=$?",
        'echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) ended with exit code $code" >>"$log"',
        f'[ "$code" -eq 0 ] || echo "{NAME}: ended with exit code $code; see $log" >&2',
        'exit "$code"',
        "",
    ]
    return "\n".join(lines)


def _write_rotation(log: str) -> str:
    """Each run opens the log anew, so that it can be renamed at any time; the script makes the next one."""
    return "\n".join(
        [
            "# Made by: vestiary schedule cron",
            f'"{log}" {{',
            "    weekly",
            "    rotate 52",
            "    compress",
            "    delaycompress",
            "    missingok",
            "    notifempty",
            "    nocreate",
            "}",
            "",
        ]
    )
