"""What the field for photos cannot do itself: take pasted ones, and refuse what is too large before it is sent."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

_STYLE: Final = """
p { margin: 0; color: var(--st-text-color); font: 1rem/1.5 var(--st-font); }
p:not(:empty) { padding: .8rem 1rem; border-radius: 6px; border-left: 4px solid #d6453d;
  background: color-mix(in srgb, #d6453d 14%, transparent); }
"""
_SCRIPT: Final = """
const FIELD = '[data-testid="stFileUploaderDropzoneInput"]';
const PLACE = '[data-testid="stFileUploaderDropzone"]';
let said = "";

export default function ({ data, parentElement }) {
  const field = () => document.querySelector(FIELD);
  const show = () => { parentElement.querySelector("p").textContent = said; };
  const inMegabytes = (bytes) => `${Math.round(bytes / 1e6).toLocaleString("en")} MB`;
  const give = (files) => {
    const parcel = new DataTransfer();
    files.forEach((file) => parcel.items.add(file));
    field().files = parcel.files;
    field().dispatchEvent(new Event("change", { bubbles: true }));
  };
  let isSifted = false;
  const sift = (event, files) => {
    if (isSifted || !field()) return;
    const large = files.filter((file) => file.size > data.most);
    const others = large.length > 1 ? ` (and ${large.length - 1} more)` : "";
    said = large.length
      ? `${large[0].name}${others} has ${inMegabytes(large[0].size)}, more than the ${inMegabytes(data.most)} that ` +
        `a file may have here; ${data.remedy}`
      : "";
    show();
    if (!large.length) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const fine = files.filter((file) => file.size <= data.most);
    isSifted = true;
    if (fine.length) give(fine);
    isSifted = false;
  };
  const onChange = (event) => {
    if (event.target.matches?.(FIELD)) sift(event, [...event.target.files]);
  };
  const onDrop = (event) => {
    if (event.target.closest?.(PLACE)) sift(event, [...(event.dataTransfer?.files ?? [])]);
  };
  const onPaste = (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length || !field()) return;
    event.preventDefault();
    give(files);
  };
  show();
  document.addEventListener("change", onChange, true);
  document.addEventListener("drop", onDrop, true);
  document.addEventListener("paste", onPaste);
  return () => {
    document.removeEventListener("change", onChange, true);
    document.removeEventListener("drop", onDrop, true);
    document.removeEventListener("paste", onPaste);
  };
}
"""


@cache
def _declare() -> Any:
    from streamlit.components import v2

    return v2.component("vestiary_handing_over", html='<p role="alert"></p>', css=_STYLE, js=_SCRIPT)


def watch_field(most_bytes: int, remedy: str) -> None:
    """From now on pasted photos are handed over like chosen ones, and files over ``most_bytes`` are kept back.

    What is kept back is told in the browser, at once and without asking the service, which would refuse it too;
    ``remedy`` is the end of that sentence.
    """
    _declare()(key="handing_over", data={"most": most_bytes, "remedy": remedy}, height="content")
