"""The tree of categories of a catalogue: each place with its number of products, and their photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from vestiary.checks.wording import verb
from vestiary.pages.gallery import open_gallery
from vestiary.pages.look import keep_plain, nothing_yet
from vestiary.pages.shelf import Shelf
from vestiary.reports.figures import Branch, build_tree, find_levels, list_unusual
from vestiary.reports.page import format_number


def has_tree(shelf: Shelf) -> bool:
    """Whether the catalogue has attributes of which one is the parent of another."""
    return bool(find_levels(shelf.catalogue.taxonomy))


def grow_tree(shelf: Shelf) -> tuple[Branch, ...]:
    """The tree that the labels of the products make, as in the catalogue report."""
    return build_tree(shelf.catalogue, find_levels(shelf.catalogue.taxonomy))


@st.fragment
def show_tree(shelf: Shelf) -> None:
    """The branches of one value of the uppermost attribute; a press on a place shows the photos of its products."""
    levels = find_levels(shelf.catalogue.taxonomy)
    tree = grow_tree(shelf)
    n_odd, told = sum(n for _, n in list_unusual(tree)), ""
    if n_odd:
        told = (
            f" {format_number(n_odd, 'product')} {verb(n_odd, 'stands', 'stand')} where hardly any other of the kind "
            "does: marked as unusual."
        )
    path = " › ".join(map(shelf.title_of, levels))
    st.caption(f"{keep_plain(path)}, with the number of products.{told} Press one for its photos.")
    if not tree:
        nothing_yet(f"No product has a label for {shelf.title_of(levels[0])}.")
        return
    branches = {branch.value: branch for branch in tree}
    top = st.pills(
        keep_plain(shelf.title_of(levels[0])),
        list(branches),
        default=tree[0].value,
        required=True,
        format_func=lambda value: f"{keep_plain(value)} · {branches[value].n:,}",
        key="tree-top",
    )
    pressed = _show_branch(branches[top], levels, {})
    if pressed:
        products = shelf.select({name: {value} for name, value in pressed.items()})
        place = _name_place(pressed)
        open_gallery(keep_plain(place), shelf, products, key=f"tree-page-{place}")


def _show_branch(branch: Branch, levels: Sequence[str], above: Mapping[str, str]) -> Mapping[str, str]:
    """A place, below it those that end there side by side, then each of the others; the one pressed, by attribute."""
    own = {**above, levels[len(above)]: branch.value}
    leaves = [child for child in branch.children if not child.children]
    with st.container(gap="xsmall", border=len(own) == 2):
        pressed: Mapping[str, str] = own if _show_place(branch, own) else {}
        if leaves:
            with st.container(horizontal=True, gap="xsmall"):
                for leaf in leaves:
                    place = {**own, levels[len(own)]: leaf.value}
                    pressed = place if _show_place(leaf, place) else pressed
        for child in branch.children:
            if child.children:
                pressed = _show_branch(child, levels, own) or pressed
    return pressed


def _show_place(branch: Branch, own: Mapping[str, str]) -> bool:
    """Its button; whether it was pressed."""
    words = f"{keep_plain(branch.value)} · {branch.n:,}"
    usual_icon = ":material/photo_library:" if branch.children else None
    return st.button(
        words if branch.usual else f"{words} · unusual",
        key=f"tree-{_name_place(own)}",
        type="tertiary" if branch.children else "secondary",
        icon=usual_icon if branch.usual else ":material/warning:",
    )


def _name_place(own: Mapping[str, str]) -> str:
    return " › ".join(own.values())
