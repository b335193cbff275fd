"""The answers of a batch as a plain table, which a screen reader reads, and the fields that correct one of them.

The table that is edited by double-click is a drawing: of a photo its screen reader's text is the picture's bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import streamlit as st

from vestiary.charts import keep_text
from vestiary.pages.batch.rows import WORDS, Row
from vestiary.pages.look import tell_confidence
from vestiary.pages.thumbnails import draw_thumbnail
from vestiary.taxonomy import Taxonomy


def draw_plain(rows: Sequence[Row], taxonomy: Taxonomy, draw: Callable[[Row], bytes | None], about: str | None) -> str:
    """HTML of the rows with a heading for each row and column; ``draw`` gives the small JPEGs of the photos.

    The confidence is that in ``about``, or the least one.
    """
    sure = "Least sure" if about is None else f"{taxonomy.titles[about]}, sure"
    heads = ["Photo", "Name", "Decision", sure, *taxonomy.titles.values()]
    head = "".join(f'<th scope="col">{escape(keep_text(own))}</th>' for own in heads)
    body = "".join(_draw_row(row, taxonomy, draw(row), about) for row in rows)
    return (
        '<div class="v-plain" tabindex="0" role="region" aria-label="Photos with their answers">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _draw_row(row: Row, taxonomy: Taxonomy, jpeg: bytes | None, about: str | None) -> str:
    name = keep_text(row.name)
    photo = draw_thumbnail(jpeg, f"The photo {name}") or "not there"
    start = f'<tr><td>{photo}</td><th scope="row">{escape(name)}</th><td>{WORDS[row.decision]}</td>'
    if row.answer is None:
        said = escape(keep_text(row.problem or ""))
        return f'{start}<td colspan="{1 + len(taxonomy.names)}">{said}</td></tr>'
    confidence = row.confidence(about)
    told = "corrected" if confidence is None else tell_confidence(confidence)
    cells = "".join(f"<td>{_tell_value(row, name)}</td>" for name in taxonomy.names)
    return f"{start}<td>{told}</td>{cells}</tr>"


def _tell_value(row: Row, attribute: str) -> str:
    value = row.value(attribute)
    told = "none" if value is None else escape(keep_text(value))
    return f"{told} (corrected)" if attribute in row.verdicts else told


def ask_correction(rows: Sequence[Row], taxonomy: Taxonomy, save: Callable[[int, str, str], None]) -> None:
    """Fields for one value of one photo; ``save`` gets the place of the row, the attribute and the value."""
    answered = [place for place, row in enumerate(rows) if row.answer is not None]
    if not answered:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        place = st.selectbox(
            "Correct the photo",
            answered,
            format_func=lambda own: keep_text(rows[own].name),
            key="batch_plain_photo",
            width=220,
        )
        attribute = st.selectbox(
            "Attribute", taxonomy.names, format_func=taxonomy.titles.__getitem__, key="batch_plain_attribute", width=180
        )
        own = rows[place].answer
        value = st.selectbox(
            "Right value",
            sorted(taxonomy[attribute].values),
            index=None,
            placeholder="Choose one",
            key=f"batch_plain_value_{own.id if own else ''}_{attribute}",  # once saved, the next photo may stand here
            width=220,
        )
        st.button(
            "Save the correction",
            key="batch_plain_save",
            disabled=value is None,
            on_click=save,
            args=(place, attribute, value),
        )
