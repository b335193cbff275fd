"""``vestiary tune``: the search for a better recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from vestiary.training.progress import FitProgress
    from vestiary.training.study import TrialResult

SHOWN = 10


def run(
    catalogue: Path = typer.Argument(help="Catalogue folder that ingest wrote."),
    recipe: str = typer.Option("default", help="Name of a shipped recipe, or a TOML file, to start from."),
    backbone: str | None = typer.Option(
        None, metavar="ID|PATH", help="Another backbone: a vision model of the hub, its folder, or a file of weights."
    ),
    out: Path = typer.Option(help="Folder for the study and its best recipe."),
    trials: int = typer.Option(20, min=1, help="How many recipes to try, those before --resume included."),
    searches: list[str] = typer.Option(
        [], "--search", metavar="KEY=…", help="A key to vary: low:high, low:high:log, or values a,b,c."
    ),
    space: Path | None = typer.Option(None, help="TOML file that says the same: a table for each key."),
    settings: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Change one key of the recipe."),
    objective: str = typer.Option(
        "accuracy", help="accuracy (mean of all attributes), an attribute, or validation_loss."
    ),
    share: float = typer.Option(1.0, min=0.001, max=1.0, help="Part of the training pictures that trials learn from."),
    epochs: int | None = typer.Option(None, min=1, help="Epochs of a trial; those of the recipe when left out."),
    pruner: str = typer.Option("median", help="What stops bad trials early: median, halving or none."),
    resume: bool = typer.Option(False, "--resume", help="Go on with the study that was stopped."),
    threads: int = typer.Option(0, min=0, help="Cores to use; 0 for all. Results repeat for the same number."),
    as_json: bool = typer.Option(False, "--json", help="Print all trials as JSON."),
) -> None:
    """Try recipes on the validation split and write down the best, for train to take."""
    from vestiary.catalogue import load_catalogue
    from vestiary.cli.output import print_json, progress_bar, say
    from vestiary.errors import UsageError, require
    from vestiary.training.recipe import load_recipe
    from vestiary.training.space import default_space, load_space, parse_space

    if searches and space:
        raise UsageError("--search and --space exclude each other; write all keys into the file.")
    chosen = load_recipe(recipe, settings, backbone=backbone)
    varied = load_space(space, chosen) if space else parse_space(searches, chosen) or default_space(chosen)
    loaded = load_catalogue(catalogue)
    for module in ("torch", "onnx", "filelock", "optuna", "psutil", "safetensors"):
        require(module, extra="train", feature="The search")
    from vestiary.training.study import Search
    from vestiary.training.tune import BEST, tune

    search = Search(chosen, varied, objective, share, epochs, pruner)
    with progress_bar("Decoding, trying recipes") as show:

        def on_progress(number: int, progress: FitProgress) -> None:
            show((number - 1) * progress.steps + progress.step, trials * progress.steps)

        def on_trial(result: TrialResult, best: TrialResult | None) -> None:
            say(_trial_line(result, best, trials, objective))

        results = tune(
            loaded,
            search,
            out,
            cache=catalogue / "cache",
            trials=trials,
            resume=resume,
            threads=threads,
            on_decode=show,
            on_progress=on_progress,
            on_trial=on_trial,
        )
    if as_json:
        told = [asdict(result) for result in results]
        print_json({"objective": objective, "recipe": str(out / BEST), "best": told[0], "trials": told})
        return
    print_trials(results, objective)
    typer.echo(f"{out / BEST} is the recipe of trial {results[0].number}.")
    typer.echo(f"Train with it: vestiary train {catalogue} --recipe {out / BEST} --out BUNDLE")


def print_trials(results: Sequence[TrialResult], objective: str) -> None:
    """The best trials as a table on stdout, and how the others ended."""
    from rich import box
    from rich.table import Table

    from vestiary.cli.output import make_console

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    keys = list(results[0].parameters)
    for column in ("trial", objective, "epochs", "seconds", *keys):
        table.add_column(column, justify="right")
    complete = [result for result in results if result.state == "complete"]
    for result in complete[:SHOWN]:
        cells = (_format_value(result.parameters[key]) for key in keys)
        figures = (str(result.number), _format_figure(result.value, objective), str(result.epochs))
        table.add_row(*figures, f"{result.seconds:.0f}", *cells)
    make_console().print(table)
    states = [result.state for result in results]
    typer.echo(
        f"{len(results)} trials: {states.count('complete')} complete, {states.count('pruned')} stopped early, "
        f"{states.count('failed')} failed."
    )


def _trial_line(result: TrialResult, best: TrialResult | None, trials: int, objective: str) -> str:
    """How a trial ended, for people who watch."""
    tried = "  ".join(f"{key} {_format_value(value)}" for key, value in result.parameters.items())
    ended = {
        "complete": _format_figure(result.value, objective),
        "pruned": f"{_format_figure(result.value, objective)}, stopped after epoch {result.epochs}",
        "failed": f"failed: {result.reason}",
    }[result.state]
    lead = f"  (best {_format_figure(best.value, objective)}, trial {best.number})" if best else ""
    return f"trial {result.number}/{trials}  {ended}{lead}  {tried}"


def _format_figure(value: float | None, objective: str) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if objective == "validation_loss" else f"{100 * value:.2f} %"


def _format_value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
