"""``vestiary promote``: a new bundle in the place of an old one, when it is better."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vestiary.metrics import Comparison


def run(
    new: str = typer.Argument(help="Bundle folder, zip or address that may take the place."),
    over: Path = typer.Option(metavar="OLD", help="Folder of the bundle in use, which is kept beside it."),
    catalogue: Path = typer.Option(help="Catalogue folder that both are compared on."),
    split: str = typer.Option("test", help="Which products: test or validation."),
    as_json: bool = typer.Option(False, "--json", help="Print the comparison and the answer as JSON."),
) -> None:
    """Compare NEW with OLD on products that neither has learnt from, and put it in its place if it is better."""
    from vestiary.bundle import open_bundle
    from vestiary.catalogue import load_catalogue
    from vestiary.cli.evaluate import answer_split, print_comparison
    from vestiary.cli.output import print_json, say
    from vestiary.errors import UsageError
    from vestiary.metrics import compare
    from vestiary.promotion import find_objections, replace_bundle

    if split not in ("test", "validation"):
        raise UsageError(f"--split {split} holds products to learn from; choose test or validation.")
    if not over.is_dir():
        raise UsageError(f"--over {over} is no folder of a bundle; name the folder that the service opens.")
    mine, theirs, loaded = open_bundle(new), open_bundle(over), load_catalogue(catalogue)
    if mine.fingerprint == theirs.fingerprint:
        raise UsageError(f"{new} and {over} hold the same bundle ({mine.fingerprint[:12]}); there is nothing to do.")
    if mine.learnt_from != {loaded.fingerprint}:
        say(
            f"{new}, or a part or teacher of it, was not trained on this very catalogue; make sure that it has not "
            f"learnt from its {split} split."
        )

    def compare_in(precision: str) -> Comparison:
        one, other = (answer_split(loaded, name, split, precision=precision) for name in (new, str(over)))
        return compare(one, other)

    comparison = compare_in("fp32")
    int8 = compare_in("int8") if mine.int8 is not None and theirs.int8 is not None else None
    objections = find_objections(comparison, mine, theirs, int8=int8)
    kept = None if objections else replace_bundle(over, mine)
    if as_json:
        answer = {"promoted": kept is not None, "objections": objections, "kept": None if kept is None else str(kept)}
        in_int8 = None if int8 is None else int8.to_dict()
        print_json({**answer, "comparison": comparison.to_dict(), "comparison_in_int8": in_int8})
    else:
        print_comparison(comparison)
        if int8 is not None:
            typer.echo("\nThe same in int8:")
            print_comparison(int8)
        if kept is not None:
            typer.echo(f"\n{over} holds {mine.fingerprint[:12]} now; {theirs.fingerprint[:12]} is kept in {kept}.")
            typer.echo("A service that runs goes on with the old one until it is started anew.")
        else:
            typer.echo(f"\n{over} stays as it is: {'; '.join(objections)}.")
    if objections:
        raise typer.Exit(1)
