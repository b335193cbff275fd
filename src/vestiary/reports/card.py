"""The model card: what a bundle is for, what it was made from, how good it is and where it fails."""

from __future__ import annotations

from collections.abc import Mapping

from vestiary.bundle import Bundle
from vestiary.metrics import Scores, format_percent


def write_card(bundle: Bundle, scores: Mapping[str, Scores]) -> str:
    """The card in Markdown. ``scores`` are the figures on the validation split, by attribute."""
    counts = bundle.training["catalogue"]["counts"]
    recipe = bundle.training["recipe"]
    epochs = sum(phase["epochs"] for phase in recipe["phases"])
    sections = [
        f"# {bundle.name} {bundle.version}",
        "Tags a product photo with " + ", ".join(bundle.taxonomy.names) + ".",
        "## Made from\n\n"
        f"- Catalogue: {counts['products']:,} products in {counts['groups']:,} groups of one name or picture; "
        f"{counts['splits']['train']:,} for training, {counts['splits']['validation']:,} for validation, "
        f"{counts['splits']['test']:,} for test; fingerprint `{bundle.training['catalogue']['fingerprint'][:16]}`.\n"
        f"- Recipe: `{recipe['name']}`, seed {recipe['seed']}, {epochs} epochs, "
        f"{bundle.training['parameters']:,} parameters; {bundle.training['backbone']}.\n"
        f"- Input: {bundle.preprocess.width}×{bundle.preprocess.height} px, aspect kept, white around it.\n"
        f"- Made at {bundle.created_at}; licence of the labels and pictures it learnt from: {bundle.licence}.",
        "## Figures on the validation split\n\n"
        "Temperatures and thresholds were fitted on these same products, so expect slightly less on others; "
        "`vestiary evaluate` measures the untouched test split.\n\n" + _figures(scores),
        "## Weakest answers\n\n"
        "Values with at least 30 validation products, by the share found (recall).\n\n" + _weakest(scores),
        "## Limits\n\n"
        "- It answers with the values above and no others; a product of another kind gets the nearest of them.\n"
        "- Confidences hold for photos like those it learnt from: one product, plain background.\n"
        "- Colour, season and usage are partly matters of opinion: the catalogue's own staff disagree on them.\n"
        "- Below the acceptance threshold a person should look; an attribute without one is always for review.",
    ]
    return "\n\n".join(sections) + "\n"


def _figures(scores: Mapping[str, Scores]) -> str:
    lines = [
        "| attribute | values | products | accuracy | macro F1 | ECE | accepted | right among accepted |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {name} | {len(own.values)} | {own.n:,} | {format_percent(own.accuracy)} | {format_percent(own.macro_f1)} | "
        f"{format_percent(own.ece)} | {format_percent(own.coverage)} | {format_percent(own.accepted_accuracy)} |"
        for name, own in scores.items()
    ]
    return "\n".join(lines)


def _weakest(scores: Mapping[str, Scores]) -> str:
    lines = ["| attribute | value | products | found | right when said |", "|---|---|---:|---:|---:|"]
    for name, own in scores.items():
        common = [value for value in own.values if value.n >= 30]
        lines += [
            f"| {name} | {value.value} | {value.n:,} | {format_percent(value.recall)} | "
            f"{format_percent(value.precision)} |"
            for value in sorted(common, key=lambda value: value.recall or 0.0)[:3]
        ]
    return "\n".join(lines)
