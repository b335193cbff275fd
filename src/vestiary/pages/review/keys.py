"""Keys that a reviewer presses, in their order and none lost, however fast they come and however slow the page is.

Streamlit's own shortcuts press a button, and two presses while a page is being made become one; which of two buttons
was first is lost, too. Here the browser keeps a log of what was pressed, and before which photo, and hands all of it
over each time; what has been seen before is left out by its number, and by its visit what an earlier session has seen:
the log outlives the session where the service is restarted, or the connection was away for long.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
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


@dataclass
class _Heard:
    """What one session has heard so far: the number of its last key. Its visit tells its keys from an older one's."""

    visit: str = field(default_factory=lambda: secrets.token_hex(8))
    last: int = 0
    in_turn: threading.Lock = field(default_factory=threading.Lock)


def hear(press: Callable[[str, str], None], *, key: str) -> None:
    """Have ``press`` called with the photo and each key that was pressed since, as ``listen`` took them down.

    To be called before the page looks at what they change. Streamlit may break off a run or a callback wherever it
    touches ``st``, for a newer one; so ``press`` must not, or what it does to a key may be lost halfway. The newer run
    does not wait for that: keys of both are pressed in turn.
    """
    heard = _recall(key)
    log = (st.session_state.get(key) or {}).get("log") or []
    with heard.in_turn:
        for number, visit, photo, pressed in log:
            if number > heard.last and visit == heard.visit:
                heard.last = number
                press(str(photo), str(pressed))


def listen(photo: str, keys: list[str], press: Callable[[str, str], None], *, key: str) -> None:
    """Have the browser take down which of ``keys`` are pressed, and that this ``photo`` was shown by then.

    Names of keys are those of the browser (``ArrowDown``), letters small. In a field, keys are left to the field.
    """
    data = {"visit": _recall(key).visit, "photo": photo, "keys": keys, "most": MOST}
    _register()(key=key, data=data, on_log_change=partial(hear, press, key=key), height=1)


def _recall(key: str) -> _Heard:
    heard: _Heard = st.session_state.setdefault(f"{key}_heard", _Heard())
    return heard


@cache
def _register() -> Callable[..., Any]:
    listener: Callable[..., Any] = st.components.v2.component("vestiary_keys", js=_SCRIPT)
    return listener
