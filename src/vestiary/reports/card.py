"""The model card: what a bundle is for, what it was made from, how good it is, where it fails, how to make it again."""

from __future__ import annotations

import json
import os
import platform
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vestiary.bundle import Bundle
from vestiary.catalogue import Catalogue
from vestiary.catalogue.catalogue import BY_GROUP
from vestiary.metrics import RESAMPLES, SEED, Evaluation, Scores, format_percent
from vestiary.product import Split
from vestiary.reports.bias import compare_people, count_adult_labels
from vestiary.taxonomy import Taxonomy

LEAST_CASES = 20
"""A value is called weak only when at least so many products have it."""

WEAKEST = 5
NOT_RECORDED = "not recorded in this bundle"


def write_card(
    bundle: Bundle, catalogue: Catalogue, evaluation: Evaluation, *, views: Iterable[Evaluation] = (), notes: str = ""
) -> str:
    """The card in Markdown, with the figures of an evaluation on a split of ``catalogue``.

    ``notes`` is Markdown by whoever made the bundle, told before the limits: what no figure of this catalogue says.
    """
    split = "all splits" if evaluation.split == "all" else f"the {evaluation.split} split"
    sections = [
        f"# {bundle.name} {bundle.version}",
        _describe_use(bundle.taxonomy),
        f"## Data\n\n{_describe_data(bundle)}",
        f"## Figures on {split}\n\n{_introduce(bundle, catalogue, evaluation)}\n\n{_list_figures(evaluation)}",
        f"## Calibration\n\n{_describe_calibration(bundle, evaluation)}",
        f"## Where it fails\n\n{_list_weakest(evaluation)}",
        f"## Equally good for everybody?\n\n{_describe_people(evaluation)}",
        *([f"## Notes\n\n{notes.strip()}"] if notes.strip() else []),
        f"## Limits\n\n{_list_limits(evaluation)}",
        f"## How it was made\n\n{_describe_making(bundle)}",
    ]
    told = list(views)
    if told:
        sections.insert(4, f"## In other systems' terms\n\n{_list_views(told)}")
    if bundle.fingerprint:
        sections.append(f"Fingerprint `{bundle.fingerprint}`.")
    return "\n\n".join(sections) + "\n"


def describe_machine() -> str:
    """The processor, its cores and the system this runs on, for the record."""
    name = platform.processor() or platform.machine()
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        lines = listing.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count() or 1} cores, {platform.system()}"


def _describe_use(taxonomy: Taxonomy) -> str:
    return (
        f"Tags a photo of one product with {', '.join(taxonomy.names)}. Meant for the product photos of a shop: one "
        "product, seen whole, on a plain background; people look at the answers that are not accepted. Not meant for "
        "photos of people, for saying anything about who wears a product, or for decisions that nobody can correct."
    )


def _describe_data(bundle: Bundle) -> str:
    catalogue = bundle.training.get("catalogue", {})
    counts = catalogue.get("counts")
    lines = [f"- Licence of labels and pictures: {bundle.licence}."]
    if counts is None:
        return "\n".join([f"- Products and splits: {NOT_RECORDED}.", *lines])
    splits = counts["splits"]
    left_out = counts.get("rejected_by_reason", {})
    grouped = f" in {counts['groups']:,} groups of one name or picture, which stay together"
    elsewhere = bundle.calibrated_on != catalogue["fingerprint"]
    if elsewhere:
        fitted = bundle.training["calibration"]
        lines.append(
            f"- Temperatures and thresholds were fitted again on {fitted['products']:,} validation products of another "
            f"catalogue, `{fitted['catalogue'][:16]}`."
        )
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in left_out.items()) or "none"
    return "\n".join(
        [
            f"- {counts['products']:,} products{grouped if counts['groups'] < counts['products'] else ''}: "
            f"{splits['train']:,} to learn from, {splits['validation']:,} for validation"
            f"{'' if elsewhere else ' (temperatures and thresholds)'}, {splits['test']:,} for test.",
            f"- Rows left out: {reasons}.",
            f"- Fingerprint of products, labels and splits: `{catalogue['fingerprint'][:16]}`.",
            *lines,
        ]
    )


def _introduce(bundle: Bundle, catalogue: Catalogue, evaluation: Evaluation) -> str:
    same = catalogue.fingerprint in bundle.learnt_from
    may_have_seen = same and len(bundle.learnt_from) > 1
    words = f"{evaluation.n:,} products. "
    if bundle.calibrated_on == catalogue.fingerprint and evaluation.split == Split.VALIDATION:
        words += (
            "Temperatures and thresholds were fitted on these same products, so expect slightly less on others; "
            f"`vestiary evaluate` measures the {'' if may_have_seen else 'untouched '}test split. "
        )
    elif same and evaluation.split == Split.TEST and catalogue.split_by != BY_GROUP:
        words += f"The splits go by {catalogue.split_by}: names and pictures may stand in several of them. "
    elif same and not may_have_seen and evaluation.split == Split.TEST:
        words += "None of their names or pictures occur in training or validation. "
    elif same and evaluation.split not in (Split.TEST, Split.VALIDATION):
        words += "The bundle learnt from some of them, which flatters it. "
    if not same:
        words += "They come from another catalogue than the one it was trained on. "
    elif may_have_seen:
        words += (
            "A part or teacher of it learnt from another catalogue or split (or it is not recorded from which), so it "
            "may have seen some of them. "
        )
    return words + (
        f"In brackets 95 % intervals: {RESAMPLES:,} resamples of whole groups, seed {SEED}; rare values fall out of "
        "some, which lifts the interval of macro F1 a little."
    )


def _list_figures(evaluation: Evaluation) -> str:
    lines = [
        "| attribute | values | products | accuracy | top 5 | balanced accuracy | macro F1 | weighted F1 |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, own in evaluation.attributes.items():
        cells = (
            _with_interval(own, key) for key in ("accuracy", "top5", "balanced_accuracy", "macro_f1", "weighted_f1")
        )
        n_values = len(evaluation.outcomes[name].values)
        lines.append(_row(name, n_values, f"{own.n:,}", *cells))
    low, high = evaluation.exact_match_interval or (None, None)
    every = f"All labels of a product right: {format_percent(evaluation.exact_match)}"
    if low is not None and high is not None:
        every += f" ({100 * low:.1f}–{100 * high:.1f})"
    some = [f"{names} right: {format_percent(share)}." for names, share in evaluation.exact_match_of.items()]
    return "\n".join(lines) + "\n\n" + " ".join([f"{every}.", *some])


def _row(*cells: object) -> str:
    """A row of a table; a bar or line break in a cell ends neither the cell nor the row."""
    told = (" ".join(str(cell).replace("\\", "\\\\").replace("|", "\\|").splitlines()) for cell in cells)
    return f"| {' | '.join(told)} |"


def _with_interval(own: Scores, key: str) -> str:
    share = format_percent(getattr(own, key))
    return (
        f"{share} ({100 * own.intervals[key][0]:.1f}–{100 * own.intervals[key][1]:.1f})"
        if key in own.intervals
        else share
    )


def _list_views(views: Iterable[Evaluation]) -> str:
    lines = [
        "The same answers read in the categories of systems with fewer or merged classes, without training again.",
        "",
        "| view | values | products | accuracy | macro F1 |",
        "|---|---:|---:|---:|---:|",
    ]
    for view in views:
        own = next(iter(view.attributes.values()))
        shares = _with_interval(own, "accuracy"), _with_interval(own, "macro_f1")
        lines.append(_row(view.view, len(own.values), f"{view.n:,}", *shares))
    return "\n".join(lines)


def _describe_calibration(bundle: Bundle, evaluation: Evaluation) -> str:
    calibration = bundle.calibration
    lines = [
        "Answers at least as sure as the threshold are accepted without a look; thresholds aim at "
        f"{format_percent(calibration.target_precision)} right among them. ECE is the mean gap between confidence and "
        "accuracy.",
        "",
        "| attribute | temperature | ECE before | ECE after | threshold | accepted | right among accepted |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, own in evaluation.attributes.items():
        threshold = calibration.thresholds[name]
        lines.append(
            _row(
                name,
                f"{calibration.temperatures[name]:.2f}",
                format_percent(own.ece_before),
                format_percent(own.ece),
                "none" if threshold is None else format_percent(threshold),
                _with_interval(own, "coverage"),
                _with_interval(own, "accepted_accuracy"),
            )
        )
    if calibration.curves:
        lines += ["", calibration.describe_curves(bundle.taxonomy.names)]
    if calibration.limits is not None:
        lines += [
            "",
            "Each tag names candidates too: a conformal set that holds the true value in "
            f"{format_percent(calibration.set_coverage)} of the cases, for products like those of validation.",
        ]
    if bundle.familiarity is not None:
        lines += [
            "",
            "A picture unlike those of training is called unfamiliar and none of its tags is accepted; "
            f"{format_percent(bundle.familiarity.false_alarms)} of the validation pictures are, by choice.",
        ]
    return "\n".join(lines)


def _list_weakest(evaluation: Evaluation) -> str:
    rare = {name: sum(0 < value.n < LEAST_CASES for value in own.values) for name, own in evaluation.attributes.items()}
    lines = [
        f"Values with at least {LEAST_CASES} products, the {WEAKEST} with the least F1 of each attribute.",
        "",
        "| attribute | value | products | found | right when said | F1 | taken most often for |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for name, own in evaluation.attributes.items():
        common = [value for value in own.values if value.n >= LEAST_CASES]
        for value in sorted(common, key=lambda one: one.f1 or 0.0)[:WEAKEST]:
            shares = map(format_percent, (value.recall, value.precision, value.f1))
            taken = _taken_for(evaluation, name, value.value)
            lines.append(_row(name, value.value, f"{value.n:,}", *shares, taken))
    if len(lines) == 4:
        lines = [f"No value has {LEAST_CASES} products here, too few to call one weak."]
    few = ", ".join(f"{name} {n}" for name, n in rare.items() if n)
    if few:
        lines += ["", f"Values with fewer products, whose own figures mean little: {few}."]
    return "\n".join(lines)


def _taken_for(evaluation: Evaluation, name: str, value: str) -> str:
    """The wrong answer that a value gets most often, and how often; a dash for none."""
    outcome = evaluation.outcomes[name]
    answers = outcome.answers[(outcome.labels == outcome.values.index(value)) & ~outcome.right].tolist()
    if not answers:
        return "–"
    worst = max(sorted(set(answers)), key=answers.count)
    return f"{outcome.values[worst]} {answers.count(worst)}"


def _describe_people(evaluation: Evaluation) -> str:
    told = compare_people(evaluation)
    if told is None:
        return "No attribute with labels here is about people, so no groups of them can be compared."
    name, finest, groups = told
    shares = f"{name} right", f"{finest or 'no other attribute'} right", "all right"
    lines = [
        f"Right answers by the label of {name}.",
        "",
        _row(name, "products", *shares, "wrongly called"),
        "|---|---:|---:|---:|---:|---|",
    ]
    for own in groups:
        others = ", ".join(f"{value} {n}" for value, n in own.others) or "–"
        right = map(format_percent, (own.own, own.finest, own.everything))
        lines.append(_row(own.value, f"{own.n:,}", *right, others))
    adults = count_adult_labels(evaluation)
    if adults is not None:
        lines += [
            "",
            f"{adults.n:,} products have a name that speaks of children (kids, boys, girls and the like) but a label "
            f"of adults; {adults.answered:,} of them are answered as adults' too. The bundle learnt from such labels "
            "and repeats them.",
        ]
    return "\n".join(lines)


def _list_limits(evaluation: Evaluation) -> str:
    lines = [
        "- It answers with the values it was trained on and no others; a product of another kind gets the nearest.",
        "- Confidences hold for photos like those it learnt from: one product, plain background.",
        "- Labels are what staff typed. Where they disagree with each other, no answer can please all of them.",
        "- Below the acceptance threshold a person should look; an attribute without a threshold is always for review.",
    ]
    hard = [name for name, own in evaluation.attributes.items() if own.accuracy is not None and own.accuracy < 0.8]
    if hard:
        lines.append(f"- Right in fewer than four of five cases, to be taken as a suggestion: {', '.join(hard)}.")
    return "\n".join(lines)


def _describe_making(bundle: Bundle) -> str:
    training: Mapping[str, Any] = bundle.training
    recipe: Mapping[str, Any] = training.get("recipe", {})
    preprocess = bundle.preprocess
    parity = training.get("parity")
    seconds = training.get("seconds")
    effort = {
        "Machine": training.get("machine", NOT_RECORDED),
        "Training took": NOT_RECORDED if seconds is None else _tell_time(float(seconds)),
    }
    facts = (_tell_merger if "merged" in training else _tell_training)(training) | {
        "Parameters": f"{training['parameters']:,}" if "parameters" in training else NOT_RECORDED,
        "Input": f"{preprocess.width}×{preprocess.height} px, aspect kept, white around it",
        **({} if "merged" in training else effort),
        "Export": NOT_RECORDED
        if parity is None
        else f"differs from the network by at most {parity['max_difference']:.1e} on {parity['pictures']} pictures",
        "Made at": bundle.created_at,
    }
    told = "\n".join(f"- {name}: {fact}." for name, fact in facts.items())
    again = (
        f"{_tell_command(bundle)}\n"
        "vestiary evaluate CATALOGUE --bundle BUNDLE\n"
        "vestiary report model BUNDLE CATALOGUE --out report.html --card card.md"
    )
    every = ", ".join(
        f"{key} = {json.dumps(value, sort_keys=True)}" for key, value in sorted(recipe.items()) if key != "name"
    )
    how = "To make and measure it again, from the same catalogue"
    how += "" if "merged" in training else " and with `--set` for each choice below that the recipe has otherwise"
    return f"{told}\n\n{how}:\n\n```sh\n{again}\n```" + (f"\n\nEvery choice of the recipe: {every}." if every else "")


def _tell_training(training: Mapping[str, Any]) -> dict[str, Any]:
    recipe: Mapping[str, Any] = training.get("recipe", {})
    teachers = _tell_bundles(training.get("teachers", ()))
    return {
        "Recipe": f"`{recipe['name']}`" if "name" in recipe else NOT_RECORDED,
        "Seed": recipe.get("seed", NOT_RECORDED),
        "Epochs": _tell_epochs(training),
        "Network": training.get("backbone", recipe.get("backbone", NOT_RECORDED)),
    } | ({"Taught by": f"labels, and the answers of {teachers}"} if teachers else {})


def _tell_merger(training: Mapping[str, Any]) -> dict[str, Any]:
    return {"Network": training["backbone"], "Merged from": _tell_bundles(training["merged"])}


def _tell_bundles(bundles: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{each['name']} ({each['fingerprint'][:12]})" for each in bundles)


def _tell_command(bundle: Bundle) -> str:
    training, recipe = bundle.training, bundle.training.get("recipe", {})
    if "merged" in training:
        return f"vestiary merge{' PART' * len(training['merged'])} --catalogue CATALOGUE --out BUNDLE"
    options = f" --set seed={recipe['seed']}" if "seed" in recipe else ""
    options += " --teacher BUNDLE" * len(training.get("teachers", ()))
    licence = shlex.quote(bundle.licence)
    return f"vestiary train CATALOGUE --recipe {recipe.get('name', 'RECIPE')}{options} --licence {licence} --out BUNDLE"


def _tell_epochs(training: Mapping[str, Any]) -> str:
    """How many epochs it learnt, which an early stop makes fewer than the recipe has, and whose weights were kept."""
    planned = sum(phase["epochs"] for phase in training.get("recipe", {}).get("phases", ()))
    done = len(training.get("log", ())) or planned
    kept = training.get("epoch", done)
    return f"{done or NOT_RECORDED}" + ("" if kept == done else f", with the weights after epoch {kept}")


def _tell_time(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
