"""Files that a visitor hands over: taken from the widget, read one by one, and given back to memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was handed over; its bytes stay with the server until ``free`` is called."""

    name: str
    file: UploadedFile

    def read(self) -> bytes:
        """All its bytes."""
        return self.file.getvalue()

    def free(self) -> None:
        """Let the server forget the bytes: the widget alone would keep them as long as the visitor stays."""
        context = get_script_run_ctx()
        if context is not None and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
            context.uploaded_file_mgr.remove_file(context.session_id, self.file.file_id)
