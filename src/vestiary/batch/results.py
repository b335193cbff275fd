"""What a batch leaves in its folder, and how it gets there without a half-written file under a final name.

    results.jsonl|csv|parquet   one row a picture, answered or not
    errors.jsonl                the pictures that were given up, with reason and number of attempts
    summary.json                the counts of all that
    .batch/                     the state of the job; removed together with the folder, never alone
        job.json                which job of the ledger this folder belongs to
        lock                    held by the run that is at it
        parts/000001.jsonl …    answers of one block each, until they are merged
        merge.json              a merge that is complete but for its renames

A part is written under another name, brought to the disk and renamed before the ledger learns of it: a part that the
ledger does not know is dropped by the next run, and its pictures are answered again. Merging writes each final file
anew under another name (the earlier one, then the parts), then ``merge.json``, then renames, then removes the parts. A
run that finds ``merge.json`` finishes these renames; without it, whatever was written is made again.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vestiary.batch.formats import FORMATS, LAYOUTS, Row, dump_line, read_lines, require_packages, write_lines
from vestiary.errors import UsageError
from vestiary.taxonomy import Taxonomy

STATE: Final = ".batch"
ERRORS: Final = "errors.jsonl"
SUMMARY: Final = "summary.json"


@dataclass
class Tally:
    """Counts of answers: pictures, those answered, those that need no person's eye, those unlike all that was learnt.

    ``values`` counts per attribute, ``reasons`` the failures by their code.
    """

    pictures: int = 0
    answered: int = 0
    accepted: int = 0
    unfamiliar: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    values: dict[str, Counter[str]] = field(default_factory=dict)

    def count(self, answer: Row) -> None:
        """Take one more answer in."""
        self.pictures += 1
        if "error" in answer:
            self.reasons[answer["error"]["code"]] += 1
            return
        self.answered += 1
        self.accepted += answer["decision"] == "auto"
        self.unfamiliar += bool(answer["unfamiliar"] and answer["unfamiliar"]["flag"])
        for name, tag in answer["tags"].items():
            self.values.setdefault(name, Counter())[tag["value"]] += 1

    def to_dict(self) -> dict[str, Any]:
        """The counts as ``summary.json`` has them, most frequent first."""
        return {
            "pictures": self.pictures,
            "answered": self.answered,
            "failed": self.pictures - self.answered,
            "accepted": self.accepted,
            "review": self.answered - self.accepted,
            "unfamiliar": self.unfamiliar,
            "reasons": dict(self.reasons.most_common()),
            "values": {name: dict(counts.most_common()) for name, counts in self.values.items()},
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Tally:
        """Read what ``to_dict`` wrote."""
        values = {name: Counter(counts) for name, counts in plain["values"].items()}
        counts = {name: int(plain[name]) for name in ("pictures", "answered", "accepted", "unfamiliar")}
        return cls(**counts, reasons=Counter(plain["reasons"]), values=values)


class Results:
    """The folder of one job. ``describe`` turns the counts into what ``summary.json`` says."""

    def __init__(
        self, out: Path, taxonomy: Taxonomy, *, out_format: str, layout: str, describe: Callable[[Tally], Row]
    ) -> None:
        for option, chosen, known in (("--format", out_format, FORMATS), ("--layout", layout, LAYOUTS)):
            if chosen not in known:
                raise UsageError(f"{option} {chosen} is not known; choose one of: {', '.join(known)}.")
        require_packages(out_format)
        self.out = out
        self.final = out / f"results.{out_format}"
        self._write = FORMATS[out_format]
        self._layout, self._plain = LAYOUTS[layout](taxonomy), LAYOUTS["full"](taxonomy)
        self._describe = describe
        self._parts = out / STATE / "parts"
        self._intent = out / STATE / "merge.json"

    def prepare(self) -> None:
        """Make the folder, and finish a merge that was broken off. Raises OSError when it cannot be written."""
        self._parts.mkdir(parents=True, exist_ok=True)
        if self._intent.exists():
            self._finish_merge(json.loads(self._intent.read_text(encoding="utf-8")))

    def drop_parts(self, after: int) -> None:
        """Remove the parts with higher numbers than ``after``, and what was left half-written."""
        for file in self._parts.iterdir():
            if file.suffix == ".part" or (is_part(file) and int(file.stem) > after):
                file.unlink()

    def write_part(self, number: int, answers: Iterable[Row]) -> None:
        """Bring the answers of one block to the disk. Raises OSError, and then leaves nothing behind."""
        with write_whole(self.part(number)) as file, file.open("w", encoding="utf-8", newline="\n") as text:
            text.writelines(dump_line(answer) for answer in answers)

    def read_part(self, number: int) -> list[Row]:
        """The answers of one part; none when it is merged."""
        file = self.part(number)
        return list(read_lines([file])) if file.exists() else []

    def find_lost(self, known: Mapping[int, int]) -> list[int] | None:
        """Which of the ``known`` parts (number: rows) are gone or damaged; None where that cannot explain what is here.

        The first parts are merged, as many as the summary counts rows; the others must lie here.
        """
        there = {int(file.stem): file.read_bytes().count(b"\n") for file in find_parts(self.out)}
        n_merged, lost = self.read_tally().pictures, []
        if not n_merged and self.final.exists() and not (self.out / SUMMARY).exists():
            return None
        for number in sorted(known):
            if n_merged > 0:
                n_merged -= known[number]
            elif there.pop(number, 0) != known[number]:
                lost.append(number)
        return None if n_merged or there else lost

    @property
    def is_behind(self) -> bool:
        """Whether there are answers that are in no final file, or no final files yet."""
        return not (self.out / SUMMARY).exists() or bool(find_parts(self.out))

    def part(self, number: int) -> Path:
        """Where a part lies."""
        return self._parts / f"{number:06d}.jsonl"

    def read_tally(self) -> Tally:
        """The counts of all that is merged. Raises UsageError for a summary that is no longer what was written."""
        file = self.out / SUMMARY
        try:
            return Tally.from_dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else Tally()
        except (ValueError, LookupError, TypeError, AttributeError):
            raise UsageError(
                f"{file} is not as it was written; put it back, or begin anew with another folder for --out."
            ) from None

    def merge(self) -> Row:
        """Put the parts behind what the final files have, and give the new summary."""
        parts = find_parts(self.out)
        names = [self.final.name, ERRORS, SUMMARY]
        intent = {"files": names, "parts": [file.name for file in parts]}
        try:
            summary = self._draft(parts)
            for name in names:
                sync(_hidden(self.out / name))
            with write_whole(self._intent) as file:
                file.write_text(json.dumps(intent), encoding="utf-8")
        except BaseException:
            if not self._intent.exists():
                for name in names:
                    _hidden(self.out / name).unlink(missing_ok=True)
            raise
        self._finish_merge(intent)
        return summary

    def _draft(self, parts: Iterable[Path]) -> Row:
        """Write each final file anew under its hidden name."""
        tally, errors = self.read_tally(), self.out / ERRORS
        with ExitStack() as stack:
            write = stack.enter_context(self._write(_hidden(self.final), _there(self.final), self._layout))
            tell = stack.enter_context(write_lines(_hidden(errors), _there(errors), self._plain))
            for answer in read_lines(parts):
                tally.count(answer)
                write(answer)
                if "error" in answer:
                    tell({"id": answer["id"], **answer["error"], "attempts": answer["attempts"], "at": answer["at"]})
        summary = self._describe(tally)
        _hidden(self.out / SUMMARY).write_text(
            json.dumps(summary, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )
        return summary

    def _finish_merge(self, intent: Mapping[str, list[str]]) -> None:
        for name in intent["files"]:
            if _hidden(self.out / name).exists():
                os.replace(_hidden(self.out / name), self.out / name)
        sync(self.out)
        for name in intent["parts"]:
            (self._parts / name).unlink(missing_ok=True)
        sync(self._parts)
        self._intent.unlink()
        sync(self._intent.parent)


def find_parts(out: Path) -> list[Path]:
    """The parts in the folder of a job, in order; what a system puts beside its files (``._000001.jsonl``) is none."""
    return sorted(filter(is_part, (out / STATE / "parts").glob("*.jsonl")))


def is_part(file: Path) -> bool:
    """Whether a file is a part, by its name."""
    return file.suffix == ".jsonl" and file.stem.isdecimal()


@contextmanager
def write_whole(file: Path) -> Iterator[Path]:
    """A place to write to, which becomes ``file`` at the end, on the disk; after an error nothing is left."""
    draft = _hidden(file)
    try:
        yield draft
        sync(draft)
        os.replace(draft, file)
        sync(file.parent)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows keeps no handle of a folder
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _hidden(file: Path) -> Path:
    return file.with_name(f".{file.name}.part")


def _there(file: Path) -> Path | None:
    return file if file.exists() else None
