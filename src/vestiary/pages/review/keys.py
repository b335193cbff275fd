"""Keys that a reviewer presses, in their order and none lost, however fast they come and however slow the page is.

Streamlit's own shortcuts press a button, and two presses while a page is being made become one; which of two buttons
was first is lost, too. Here the browser keeps a log of what was pressed, and before which photo, and hands all of it
over each time; what has been seen before is left out by its number, and by its visit what an earlier session has seen:
the log outlives the session where the service is restarted, or the connection was away for long.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import streamlit as st

MOST: Final = 40
"""Keys that the browser keeps in its log."""
_SCRIPT: Final = """
const FIELDS = "input, textarea, select, [contenteditable], [role=combobox], [role=listbox], [role=dialog]";
const GONE_MS = 2000; // a page that is made anew is back before; until then keys are kept
export default function ({ data, setStateValue }) {
  const own = (window.vestiaryKeys ??= { log: [], last: 0, isWaiting: false });
  clearTimeout(own.leaving);
  own.data = data;
  own.send = () => setStateValue("log", own.log);
  own.listener ??= (event) => {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || !own.data.keys.includes(key)) return;
    if (event.target.closest?.(FIELDS)) return;
    event.preventDefault();
    own.last = Math.max(own.last + 1, Date.now());
    own.log = [...own.log, [own.last, own.data.visit, own.data.photo, key]].slice(-own.data.most);
    own.isWaiting = !own.send;
    own.send?.();
  };
  document.addEventListener("keydown", own.listener);
  if (own.isWaiting) own.send();
  own.isWaiting = false;
  document.body.dataset.vestiaryKeys = data.photo;
  return () => {
    own.send = null;
    own.leaving = setTimeout(() => document.removeEventListener("keydown", own.listener), GONE_MS);
  };
}
"""


def listen(photo: str, keys: list[str], press: Callable[[str, str], None], *, key: str) -> None:
    """Have ``press`` called with each of ``keys`` that is pressed, and the ``photo`` that was shown by then.

    Names of keys are those of the browser (``ArrowDown``), letters small. In a field, keys are left to the field.
    """
    visit = st.session_state.setdefault(f"{key}_visit", secrets.token_hex(8))

    def take() -> None:
        seen = st.session_state.get(f"{key}_seen", 0)
        for number, own, shown, pressed in st.session_state[key].get("log") or []:
            if number > seen and own == visit:
                st.session_state[f"{key}_seen"] = number
                press(str(shown), str(pressed))

    data = {"visit": visit, "photo": photo, "keys": keys, "most": MOST}
    _register()(key=key, data=data, on_log_change=take, height=1)


@cache
def _register() -> Callable[..., Any]:
    listener: Callable[..., Any] = st.components.v2.component("vestiary_keys", js=_SCRIPT)
    return listener
