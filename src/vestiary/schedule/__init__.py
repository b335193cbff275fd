"""A batch every night: the files that systemd, cron or Windows' Task Scheduler take, one file per scheduler here.

Each ``write_…`` gives the content of its files by name and the steps that put them in force. Every path and argument
reaches the command as it was given, whatever characters it holds; what a scheduler cannot hold is refused.
"""

from vestiary.schedule.cron import write_cron
from vestiary.schedule.nightly import NAME, Files, Nightly, read_time
from vestiary.schedule.systemd import write_systemd
from vestiary.schedule.windows import write_windows

__all__ = ["NAME", "Files", "Nightly", "read_time", "write_cron", "write_systemd", "write_windows"]
