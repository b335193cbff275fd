"""Photos pasted from the clipboard: a listener hands them to the field that takes files, as if they had been chosen."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

_SCRIPT: Final = """
export default function () {
  const onPaste = (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    const field = document.querySelector('[data-testid="stFileUploaderDropzoneInput"]');
    if (!files.length || !field) return;
    const parcel = new DataTransfer();
    files.forEach((file) => parcel.items.add(file));
    field.files = parcel.files;
    field.dispatchEvent(new Event("change", { bubbles: true }));
    event.preventDefault();
  };
  document.addEventListener("paste", onPaste);
  return () => document.removeEventListener("paste", onPaste);
}
"""


@cache
def _declare() -> Any:
    from streamlit.components import v2

    return v2.component("vestiary_pasting", html="<span></span>", js=_SCRIPT)


def listen_for_paste() -> None:
    """From now on, a photo that is pasted on this page is handed over like a chosen one."""
    _declare()(key="pasting", height=1)
