"""Tasks for Label Studio with the model's answers as pre-annotations, and what people said there taken back.

The forms are those of Label Studio's documentation: "Label Studio JSON format of annotated tasks"
(labelstud.io/guide/task_format) and "Import pre-annotated data" (labelstud.io/guide/predictions).
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from PIL import Image

from vestiary.bundle import Bundle
from vestiary.errors import UsageError
from vestiary.ledger import Ledger, PredictionRecord, Verdict, now
from vestiary.ledger.claims import DONE, Claims
from vestiary.ledger.copies import new_file
from vestiary.review.exports import PICTURES, write_picture
from vestiary.review.items import Item
from vestiary.taxonomy import Taxonomy

TASKS: Final = "tasks.json"
SETUP: Final = "labels.xml"
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
LONG_LIST: Final = 12
"""Values from which on an attribute is a list to choose from, rather than buttons."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of a file of annotations: ``tasks`` in it, ``verdicts`` taken from them, and what could not be.

    ``unanswered`` tasks have no annotation, ``unknown_photos`` none that the ledger knows, and ``unusable`` answers are
    about an attribute or value that the bundle does not have, or several values at once.
    """

    tasks: int
    verdicts: int
    unanswered: int
    unknown_photos: int
    unusable: int


def write_tasks(items: Sequence[Item], bundle: Bundle, out: Path, *, images_at: str | None = None) -> int:
    """Write ``tasks.json`` and ``labels.xml``, which describes the page, to the folder ``out``; the number of tasks.

    Photos are within the tasks; with ``images_at`` they are files in ``pictures/``, and the tasks name them with that
    text in front, such as ``/data/local-files/?d=``. Items whose photo is nowhere any more are left out. Raises
    UsageError for a folder that holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already; name another folder.")
    out.mkdir(parents=True, exist_ok=True)
    tasks = []
    for item in items:
        data = item.photo()
        if data is not None:
            image = _embed(data)
            if images_at is not None:
                image = images_at + write_picture(out / PICTURES, item.record.image_sha256, data)
            tasks.append(_make_task(item, image))
    for name, text in ((TASKS, json.dumps(tasks, ensure_ascii=False, indent=1)), (SETUP, describe(bundle.taxonomy))):
        with new_file(out / name, overwrite=False) as part:
            part.write_text(text + "\n", encoding="utf-8")
    return len(tasks)


def _embed(data: bytes) -> str:
    with Image.open(io.BytesIO(data)) as image:
        kind = image.get_format_mimetype() or "image/jpeg"
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _make_task(item: Item, image: str) -> dict[str, Any]:
    record = item.record
    result = [
        {
            "id": name,
            "from_name": name,
            "to_name": "image",
            "type": "choices",
            "value": {"choices": [tag.value]},
            "score": tag.confidence,
        }
        for name, tag in item.tags.items()
    ]
    model = f"{record.bundle_name} {record.bundle[:12]}"
    return {
        "data": {"image": image, "prediction_id": record.id, "name": record.name.encode("utf-8", "replace").decode()},
        "predictions": [{"model_version": model, "score": record.confidence, "result": result}],
    }


def describe(taxonomy: Taxonomy) -> str:
    """The labelling page: the photo, and one choice for each attribute."""
    lines = ["<View>", '  <Image name="image" value="$image"/>']
    for attribute in taxonomy.attributes:
        layout = "select" if len(attribute.values) >= LONG_LIST else "inline"
        lines.append(f"  <Header value={quoteattr(taxonomy.titles[attribute.name])}/>")
        lines.append(f'  <Choices name={quoteattr(attribute.name)} toName="image" choice="single" layout="{layout}">')
        lines += [f"    <Choice value={quoteattr(value)}/>" for value in attribute.values]
        lines.append("  </Choices>")
    return "\n".join([*lines, "</View>"])


def read_annotations(ledger: Ledger, bundle: Bundle, path: Path) -> Imported:
    """Take the annotations of Label Studio's JSON export as verdicts; taking them again changes nothing.

    What the same person has said of the same tag since then stays. Who gave them is named by mail address where the
    export has it, else by ``label-studio:`` and their number. Raises UsageError for a file in another form.
    """
    tasks = _read_tasks(path)
    n_verdicts = unanswered = unknown = unusable = 0
    for task in tasks:
        annotations = [own for own in task.get("annotations") or [] if not own.get("was_cancelled")]
        if not annotations:
            unanswered += 1
            continue
        record = ledger.find_prediction(str((task.get("data") or {}).get("prediction_id", "")))
        if record is None:
            unknown += 1
            continue
        for annotation in annotations:
            answers = list(_read_choices(annotation, record, bundle.taxonomy))
            verdicts = [_make_verdict(annotation, record, *own) for own in answers if own is not None]
            said = {(own.reviewer, own.attribute): own.at for own in ledger.verdicts(prediction=record.id)}
            newer = [own for own in verdicts if own.at > said.get((own.reviewer, own.attribute), _NEVER)]
            if newer:
                Claims(ledger, newer[0].reviewer).act(record.id, DONE, newer)
            n_verdicts += len(verdicts)
            unusable += len(answers) - len(verdicts)
    return Imported(len(tasks), n_verdicts, unanswered, unknown, unusable)


def _read_tasks(path: Path) -> list[dict[str, Any]]:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON; export it from Label Studio as JSON.") from error
    if not _are_objects(plain) or not all(map(_is_annotated, plain)):
        raise UsageError(
            f"{path} does not hold Label Studio's tasks with their annotations; export it as JSON, not as JSON-MIN."
        )
    return list(plain)


def _is_annotated(task: dict[str, Any]) -> bool:
    annotations = task.get("annotations") or []
    is_whole = "annotations" in task and isinstance(task.get("data"), dict) and _are_objects(annotations)
    return is_whole and all(_are_objects(own.get("result") or []) for own in annotations)


def _are_objects(plain: Any) -> bool:
    return isinstance(plain, list) and all(isinstance(own, dict) for own in plain)


def _read_choices(
    annotation: dict[str, Any], record: PredictionRecord, taxonomy: Taxonomy
) -> Iterator[tuple[str, str] | None]:
    """Attribute and value of each answer, None for one that cannot be used."""
    for result in annotation.get("result") or []:
        if result.get("type") != "choices":
            continue
        name, value = str(result.get("from_name")), result.get("value")
        chosen: Any = value.get("choices") if isinstance(value, dict) else None
        is_known = name in taxonomy.names and name in record.tags and isinstance(chosen, list) and len(chosen) == 1
        place = taxonomy[name].index_of(str(chosen[0])) if is_known else -1
        yield (name, taxonomy[name].values[place]) if place >= 0 else None


def _make_verdict(annotation: dict[str, Any], record: PredictionRecord, attribute: str, value: str) -> Verdict:
    return Verdict(
        prediction_id=record.id,
        attribute=attribute,
        value=value,
        previous_value=record.tags[attribute]["value"],
        reviewer=_name_reviewer(annotation.get("completed_by")),
        at=_read_time(annotation.get("updated_at") or annotation.get("created_at")),
    )


def _name_reviewer(given: Any) -> str:
    if isinstance(given, dict):
        given = given.get("email") or given.get("id")
    if isinstance(given, str):
        given = given.encode("utf-8", "replace").decode()
    return given if isinstance(given, str) and "@" in given else f"label-studio:{given if given is not None else '?'}"


def _read_time(given: Any) -> datetime:
    try:
        at = datetime.fromisoformat(str(given))
    except ValueError:
        return now()
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
