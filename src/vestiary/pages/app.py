"""The pages as one application that a server can mount: Streamlit, with what a shop would not want switched off."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import streamlit
from streamlit import config
from streamlit.runtime import Runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

MEGABYTE: Final = 1024 * 1024
SCRIPT: Final = Path(__file__).with_name("main.py")

_OPTIONS: Final[Mapping[str, Any]] = {
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "global.developmentMode": False,
    "global.suppressDeprecationWarnings": True,
    "logger.enableRich": False,
    "runner.magicEnabled": False,
    "server.allowRunOnSave": False,
    "server.disconnectedSessionTTL": 120,
    "server.enableAgentApi": False,
    "server.enableCORS": True,
    "server.enableStaticServing": False,
    "server.enableXsrfProtection": True,
    "server.fileWatcherType": "none",
    "server.headless": True,
    "server.runOnSave": False,
    "server.showEmailPrompt": False,
}
_LOOK: Final[Mapping[str, Any]] = {
    "theme.baseRadius": "6px",
    "theme.headingFontSizes": ["2rem", "1.5rem", "1.2rem"],
    "theme.font": '"Source Sans", "Liberation Sans", Helvetica, Arial, sans-serif',
    "theme.light.primaryColor": "#124a80",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f1f3f5",
    "theme.light.textColor": "#1b1b1b",
    "theme.light.linkColor": "#124a80",
    "theme.dark.primaryColor": "#8cc2f5",
    "theme.dark.backgroundColor": "#17181a",
    "theme.dark.secondaryBackgroundColor": "#25272b",
    "theme.dark.textColor": "#ececec",
    "theme.dark.linkColor": "#8cc2f5",
}


def build_app(*, max_upload_bytes: int, on_fault: Callable[[Exception], None]) -> streamlit.App:
    """The pages, to be mounted; the whole process has one, as Streamlit's own settings are the process's.

    ``on_fault`` is told each exception that a page did not expect; the visitor reads one plain sentence.
    """
    upload = {"server.maxUploadSize": max(1, math.ceil(max_upload_bytes / MEGABYTE))}
    for name, value in {**_OPTIONS, **_LOOK, **upload}.items():
        config.set_option(name, value)

    def tell(error: Exception) -> bool:
        from vestiary.pages.look import refuse

        on_fault(error)
        refuse("Something went wrong here and has been written to the log; load the page again, and tell the operator.")
        return True

    return streamlit.App(SCRIPT, on_script_error=tell)


def quiet_log(handler: logging.Handler) -> None:
    """Send Streamlit's warnings to ``handler``, and what it says beside them nowhere: its faults go to ``on_fault``."""
    from streamlit import logger

    logger.set_log_level("WARNING")
    for name in [*logger._loggers]:
        log = logging.getLogger("streamlit" if name == "root" else name)
        log.handlers = [handler]
    logger.get_logger("streamlit.error_util").setLevel(logging.CRITICAL)


def count_held_bytes() -> int:
    """Bytes of all uploads that wait in memory for a page to take them."""
    if not Runtime.exists():
        return 0
    manager = Runtime.instance().uploaded_file_mgr
    if not isinstance(manager, MemoryUploadedFileManager):
        return 0
    return manager._total_bytes
