"""``vestiary train``: from a catalogue and a recipe to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vestiary.training.progress import FitProgress


def run(
    catalogue: Path = typer.Argument(help="Catalogue folder that ingest wrote."),
    recipe: str = typer.Option("default", help="Name of a shipped recipe, or a TOML file."),
    backbone: str | None = typer.Option(
        None, metavar="ID|PATH", help="Another backbone: a vision model of the hub, its folder, or a file of weights."
    ),
    out: Path = typer.Option(help="Folder to write the bundle to."),
    teachers: list[str] = typer.Option(
        [], "--teacher", metavar="BUNDLE", help="Learn from a bundle's answers too; may be given several times."
    ),
    settings: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="Change a key of the recipe, or TABLE.KEY."
    ),
    resume: bool = typer.Option(False, "--resume", help="Go on with the run that was stopped."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Discard an earlier run and bundle in OUT."),
    licence: str = typer.Option("unspecified", help="Licence of the pictures and labels, for the model card."),
    threads: int = typer.Option(
        0,
        min=0,
        help="Cores to use; 0 for all. Results repeat for the same number. With ray: those of each process, 1 for 0.",
    ),
    int8: bool = typer.Option(False, "--int8", help="Add an int8 model, unless it loses more than half a point."),
    log: str = typer.Option("", metavar="NAMES", help="Further logs: tensorboard, mlflow, or both with a comma."),
    engine: str = typer.Option("local", help="local, or ray: train on a Ray cluster (extra 'ray')."),
    ray_address: str | None = typer.Option(
        None, metavar="HOST:PORT", help="The cluster's head, or auto; RAY_ADDRESS or a Ray on this machine alone else."
    ),
    workers: int = typer.Option(0, min=0, help="Processes that train together on the cluster, one for each GPU."),
    as_json: bool = typer.Option(False, "--json", help="Print the validation figures as JSON."),
) -> None:
    """Train a network on a catalogue, calibrate it and write a bundle."""
    from vestiary.catalogue import load_catalogue
    from vestiary.cli.evaluate import print_scores
    from vestiary.cli.output import print_json, progress_bar, say
    from vestiary.cli.quantise import print_int8
    from vestiary.cluster import choose_cluster
    from vestiary.errors import PrecisionError, UsageError, require
    from vestiary.training.recipe import load_recipe

    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other; give one of them.")
    cluster = choose_cluster(engine, ray_address, **{"--workers": workers})
    chosen = load_recipe(recipe, settings, backbone=backbone)
    loaded = load_catalogue(catalogue)
    for module in ("torch", "onnx", "onnxscript", "filelock", "psutil", "safetensors"):
        require(module, extra="train", feature="Training")
    from vestiary.training.train import train

    with progress_bar("Decoding, training, calibrating") as show:

        def on_progress(progress: FitProgress) -> None:
            show(progress.step, progress.steps, progress.seconds_left)
            if progress.finished_epoch:
                say(_epoch_line(progress))

        names = [name.strip() for name in log.split(",") if name.strip()]
        if cluster is None:
            bundle, scores = train(
                loaded,
                chosen,
                out,
                cache=catalogue / "cache",
                resume=resume,
                overwrite=overwrite,
                licence=licence,
                threads=threads,
                teachers=teachers,
                logs=names,
                on_decode=show,
                on_progress=on_progress,
                on_calibrate=show,
                on_stage=say,
            )
        else:
            from vestiary.training.on_ray import Listener, Task, train_on_cluster

            task = Task(catalogue, chosen, out, resume, overwrite, licence, max(1, threads), names, teachers)
            listener = Listener(show, on_progress, show, say)
            bundle, scores = train_on_cluster(cluster, task, workers=workers, listener=listener)
        refused = None
        if int8:
            from vestiary.training.quantise import quantise

            try:
                bundle = quantise(bundle, loaded, progress=show).write(out, overwrite=True)
            except PrecisionError as error:  # told last: the bundle is there without it
                refused = error
    if as_json:
        print_json({name: own.to_brief() for name, own in scores.items()})
    else:
        print_scores(scores, "validation split")
        size = f"{len(bundle.model) / 1e6:.1f} MB"
        typer.echo(f"Bundle {bundle.name} ({size}, {bundle.fingerprint[:12]}) written to {out}.")
        print_int8(bundle)
    if refused:
        raise refused


def _epoch_line(progress: FitProgress) -> str:
    log = progress.finished_epoch or {}
    figures = [f"{key.partition('.')[2]} {100 * log[key]:.1f}" for key in log if key.startswith("accuracy.")]
    return (
        f"epoch {log['epoch']}/{progress.epochs}  loss {log['train_loss']:.3f}  "
        f"validation {log['validation_loss']:.3f}  {'  '.join(figures)}  {progress.seconds_left / 60:.0f} min left"
    )
