"""The artefact: one folder (or a zip of it) with everything a prediction needs, and nothing that runs code when opened.

    manifest.json   what the bundle is: taxonomy, preprocess, calibration, reference, figures, and the SHA-256 of every
                    other file
    model.onnx      images: uint8 [n, height, width, 3]
                    → <attribute>: float32 [n, values] logits
                    → <attribute>.map: float32 [n, values, h, w] what each location says for each value: the gradient of
                      the logit by the embedding, applied to the location's share of the embedding; for a linear head
                      the mean of the map plus a constant is the logit
                    → embedding: float32 [n, channels]
    model.int8.onnx the same with an 8-bit backbone, where one was asked for; its hash stands under ``int8`` in the
                    manifest, so that readers from before pass it over
    card.md         the model card

Opening reads the manifest, checks the format number and its own fingerprint, then checks every file's hash, and only
then builds anything.

When to raise FORMAT: a reader of the old number would misread a bundle of the new one (a key's meaning, unit or place
has changed, a file or model output that it needs was renamed or removed). Not for keys, files or outputs that it may
ignore. A raised number keeps the old reader: every older format stays loadable, and a test opens one of each. A bundle
is written with the lowest number whose readers understand it.

    1   each attribute is answered on its own
    2   temperatures and thresholds are meant for attributes answered together (calibration.joint)
    3   thresholds and sets are meant for confidences that a curve has moved (calibration.curves)
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vestiary.calibration import Answers, Calibration, Familiarity, Hierarchy, answer
from vestiary.catalogue import Source, open_source
from vestiary.catalogue.sources import FolderSource, is_address
from vestiary.drift import Reference
from vestiary.errors import AddressError, BundleDamagedError, BundleError, BundleFormatError, UsageError, VestiaryError
from vestiary.images import Preprocess
from vestiary.taxonomy import Taxonomy

FORMATS: Final = (1, 2, 3)
"""The format numbers that this version reads."""
MANIFEST: Final = "manifest.json"
MODEL: Final = "model.onnx"
INT8: Final = "model.int8.onnx"
CARD: Final = "card.md"
DEFAULT: Final = "default"
MAX_FILE_BYTES: Final = 4_000_000_000
PRECISIONS: Final = ("fp32", "int8")


@dataclass(frozen=True)
class Int8:
    """The 8-bit model of a bundle: same inputs, outputs and calibration as the fp32 one.

    ``scores`` holds its figures by split, as those of the bundle; ``training`` how it was made (catalogue fingerprint,
    number of pictures, and the fp32 model's accuracies, which it was held against).
    """

    model: bytes
    scores: Mapping[str, Any]
    training: Mapping[str, Any]

    def manifest(self) -> dict[str, Any]:
        """What the manifest says of it: JSON-ready."""
        digest = hashlib.sha256(self.model).hexdigest()
        return {"sha256": digest, "scores": self.scores, "training": self.training}


@dataclass(frozen=True)
class Bundle:
    """An opened, verified bundle.

    ``scores`` holds figures by split ({"validation": {attribute: {...}}}), ``training`` how it was made (recipe,
    backbone, catalogue fingerprint, parity with the trained network, seconds of training). ``familiarity`` tells
    pictures unlike the training split; a bundle without it calls none unfamiliar. ``reference`` is what drift is
    measured from; without it there is no telling. ``fingerprint`` is the SHA-256 (hex) of the whole manifest and,
    through it, of every file; it is empty before the bundle is written.
    """

    name: str
    version: str
    taxonomy: Taxonomy
    preprocess: Preprocess
    calibration: Calibration
    model: bytes
    card: str
    licence: str
    scores: Mapping[str, Any]
    training: Mapping[str, Any]
    created_at: str
    familiarity: Familiarity | None = None
    fingerprint: str = ""
    int8: Int8 | None = None
    reference: Reference | None = None

    def choose_attributes(self, names: Collection[str]) -> frozenset[str]:
        """The attributes of these names, all of them where none is named. UsageError for one that is not answered."""
        chosen = {name.strip() for name in names} - {""}
        if unknown := sorted(chosen - set(self.taxonomy.names)):
            raise UsageError(f"The bundle answers no {unknown[0]!r}; choose from: {', '.join(self.taxonomy.names)}.")
        return frozenset(chosen or self.taxonomy.names)

    def choose_model(self, precision: str) -> bytes:
        """ONNX bytes of the model in a precision of PRECISIONS. UsageError for another, or when there is none in it."""
        if precision not in PRECISIONS:
            raise UsageError(f"Precision {precision!r} is not known; choose one of: {', '.join(PRECISIONS)}.")
        if precision == "fp32":
            return self.model
        if self.int8 is None:
            raise UsageError(
                f"Bundle {self.name} has no int8 model; make one with vestiary quantise, or choose precision fp32."
            )
        return self.int8.model

    @property
    def calibrated_on(self) -> str | None:
        """Fingerprint of the catalogue whose validation split its confidences were fitted on; None if not recorded."""
        trained: str | None = self.training.get("catalogue", {}).get("fingerprint")
        fitted: str | None = self.training.get("calibration", {}).get("catalogue")
        return fitted or trained

    @property
    def learnt_from(self) -> frozenset[str]:
        """Fingerprints of the catalogues that it, its parts and its teachers learnt from; "" for one not recorded."""
        return _list_catalogues(self.training)

    @property
    def format(self) -> int:
        """The lowest format number whose readers understand this bundle."""
        if self.calibration.curves:
            return 3
        return 2 if self.calibration.joint else 1

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """The attributes that are answered together: none in a bundle that was not calibrated so."""
        return Hierarchy.of(self.taxonomy) if self.calibration.joint else Hierarchy(())

    def answer(self, outputs: Mapping[str, NDArray[np.float32]]) -> dict[str, Answers]:
        """What a user gets, per attribute, of the model's outputs for ``n`` pictures: the one way there is.

        ``outputs`` holds the logits ``float32 [n, values]`` of every attribute and, in a bundle with a familiarity,
        the ``embedding`` ``float32 [n, channels]``: nothing is accepted of an unfamiliar picture.
        """
        unfamiliar = self.familiarity.is_unfamiliar(outputs["embedding"]) if self.familiarity else None
        logits = {name: outputs[name] for name in self.taxonomy.names}
        return answer(logits, self.calibration, self.hierarchy, unfamiliar=unfamiliar)

    def manifest(self) -> dict[str, Any]:
        """The manifest without its fingerprint: JSON-ready."""
        plain: dict[str, Any] = {
            "format": self.format,
            "name": self.name,
            "version": self.version,
            "created_at": self.created_at,
            "licence": self.licence,
            "taxonomy": self.taxonomy.to_dict(),
            "preprocess": self.preprocess.to_dict(),
            "calibration": self.calibration.to_dict(),
            "scores": self.scores,
            "training": self.training,
            "files": {
                MODEL: hashlib.sha256(self.model).hexdigest(),
                CARD: hashlib.sha256(self.card.encode()).hexdigest(),
            },
        }
        plain |= {"familiarity": self.familiarity.to_dict()} if self.familiarity else {}
        plain |= {"reference": self.reference.to_dict()} if self.reference else {}
        return plain | ({"int8": self.int8.manifest()} if self.int8 else {})

    def write(self, folder: Path, *, overwrite: bool = False) -> Bundle:
        """Write the bundle, whole or not at all, and return it with its fingerprint.

        Raises UsageError when ``folder`` holds something and may not be replaced, or is something else than a bundle.
        """
        check_writable(folder, overwrite=overwrite)
        body = self.manifest()
        fingerprint = _fingerprint(body)
        files = {
            MANIFEST: canonical(body | {"fingerprint": fingerprint}),
            MODEL: self.model,
            CARD: self.card.encode(),
        } | ({} if self.int8 is None else {INT8: self.int8.model})
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_folder(folder, files)
        return replace(self, fingerprint=fingerprint)


def _list_catalogues(training: Mapping[str, Any]) -> frozenset[str]:
    if "merged" in training:
        return frozenset[str]().union(*(_list_catalogues(part.get("training", {})) for part in training["merged"]))
    taught = (own for teacher in training.get("teachers", ()) for own in teacher.get("catalogues", ("",)))
    return frozenset((training.get("catalogue", {}).get("fingerprint", ""), *taught))


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """A folder of these files, whole or not at all, in the place of what was there."""
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        (staging / "new").mkdir()
        for name, data in files.items():
            (staging / "new" / name).write_bytes(data)
        swap_folders(staging / "new", folder, aside=staging / "old")
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def swap_folders(new: Path, folder: Path, *, aside: Path) -> None:
    """Put ``new`` in the place of ``folder``; when that fails, what was there is there again."""
    if folder.exists():
        os.replace(folder, aside)
    try:
        os.replace(new, folder)
    except OSError:
        if aside.exists():
            os.replace(aside, folder)
        raise


def check_writable(folder: Path, *, overwrite: bool) -> None:
    """Raise UsageError when a bundle may not be written to ``folder``: only a bundle is ever replaced."""
    if Path.cwd().resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{folder} holds the working folder; name a new folder for the bundle.")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not _is_bundle(folder):
        raise UsageError(f"{folder} exists and is no bundle; choose another place.")
    if not overwrite:
        raise UsageError(f"{folder} already holds a bundle; choose another place or add --overwrite.")


def _is_bundle(folder: Path) -> bool:
    """Whether a folder holds what ``write`` puts there and nothing else, whole or damaged."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        names = {file.name for file in folder.iterdir()}
    except (OSError, ValueError, RecursionError):
        return False
    return names <= {MANIFEST, MODEL, INT8, CARD} and isinstance(manifest, dict) and "fingerprint" in manifest


def locate_bundle(path: Path | str | None) -> Path:
    """Where a bundle lies on this machine; what is at an address (``s3://…``) is fetched, see ``fetch_bundle``.

    None, and the word ``default`` unless there is a file or folder of that name, mean the bundle that ships.
    Raises UsageError when there is nothing there.
    """
    if isinstance(path, str) and is_address(path):
        from vestiary.bundle.cache import fetch_bundle

        return fetch_bundle(path)
    if path is None or (str(path) == DEFAULT and not Path(DEFAULT).exists()):
        where = Path(str(resources.files("vestiary") / "bundles" / DEFAULT))
        if not where.exists():
            raise BundleError("This installation of Vestiary has no default bundle; install it again or name a bundle.")
        return where
    if not Path(path).exists():
        raise UsageError(f"There is no bundle at {path}; check the path, or write default for the one that ships.")
    return Path(path)


def open_bundle(path: Path | str | None = None) -> Bundle:
    """Open and verify a bundle: a folder or a zip of one, here or at an address, or for None the one that ships.

    ``path`` is read as by ``locate_bundle``. Raises UsageError when there is nothing there, BundleFormatError for a
    format number this version does not read, BundleDamagedError when a file is missing or differs from what was
    written, BundleError for what is no bundle.
    """
    where = locate_bundle(path)
    try:
        source = open_source(where)
    except VestiaryError as error:
        raise BundleError(f"{where} is neither a bundle folder nor a zip of one; name one of these.") from error
    plain, files = read_parts(where, source, find_manifest(where, source).removesuffix(MANIFEST))
    try:
        taxonomy = Taxonomy.from_dict(plain["taxonomy"])
        familiarity, reference = plain.get("familiarity"), plain.get("reference")
        return Bundle(
            name=str(plain["name"]),
            version=str(plain["version"]),
            taxonomy=taxonomy,
            preprocess=Preprocess.from_dict(plain["preprocess"]),
            calibration=_read_calibration(plain["calibration"], taxonomy),
            model=files[MODEL],
            card=files[CARD].decode(),
            licence=str(plain["licence"]),
            scores=plain["scores"],
            training=plain["training"],
            created_at=str(plain["created_at"]),
            familiarity=Familiarity.from_dict(familiarity) if familiarity else None,
            fingerprint=str(plain["fingerprint"]),
            int8=Int8(files[INT8], plain["int8"]["scores"], plain["int8"]["training"]) if INT8 in files else None,
            reference=Reference.from_dict(reference, taxonomy.values) if reference else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError, VestiaryError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise BundleError(f"{where}: the manifest cannot be used ({reason}); make the bundle again.") from error


def read_parts(where: Path | str, source: Source, prefix: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What the manifest says, and every file of a bundle, with its hash checked.

    ``prefix`` is the folder in ``source`` that holds the manifest ("" or "name/"), ``where`` the place in messages.
    """
    plain = read_manifest(where, source, prefix)
    files = {MANIFEST: canonical(plain)}
    for name, expected in _listed_files(where, plain).items():
        if name in (MODEL, INT8, CARD):
            files[name] = _read_file(where, source, prefix + name)
        if name not in files or hashlib.sha256(files[name]).hexdigest() != expected:
            raise BundleDamagedError(f"{where}: {name} is not as it was written; fetch or make the bundle again.")
    return plain, files


def _read_calibration(plain: Mapping[str, Any], taxonomy: Taxonomy) -> Calibration:
    calibration = Calibration.from_dict(plain)
    for name in taxonomy.names:
        if name not in calibration.temperatures or name not in calibration.thresholds:
            raise ValueError(f"its calibration leaves out {name}")
        if not calibration.temperatures[name] > 0:
            raise ValueError(f"the temperature of {name} is not above 0")
        if calibration.limits is not None and name not in calibration.limits:
            raise ValueError(f"its sets leave out {name}")
    if calibration.joint:
        Hierarchy.of(taxonomy)
    return calibration


def find_manifest(where: Path | str, source: Source) -> str:
    """The name of the one manifest of a folder, or of a zip with or without a folder around it. Raises BundleError."""
    if isinstance(source, FolderSource):
        manifests = [MANIFEST] if source.exists(MANIFEST) else []
    else:
        manifests = [name for name in source.names() if name.rpartition("/")[2] == MANIFEST and name.count("/") < 2]
    if not manifests:
        raise BundleError(f"{where} is no bundle (no {MANIFEST} in it); name a folder that vestiary train wrote.")
    if len(manifests) > 1:
        raise BundleError(f"{where} holds {len(manifests)} bundles; unpack it and name one of them.")
    return manifests[0]


def _read_file(where: Path | str, source: Source, name: str) -> bytes:
    try:
        return source.read(name, max_bytes=MAX_FILE_BYTES)
    except AddressError:
        raise
    except VestiaryError as error:
        raise BundleDamagedError(f"{where}: {str(error).rstrip('.')}; fetch or make the bundle again.") from error


def read_manifest(where: Path | str, source: Source, prefix: str) -> dict[str, Any]:
    """What the manifest says, its format number and its fingerprint checked."""
    data = _read_file(where, source, prefix + MANIFEST)
    damaged = BundleDamagedError(f"{where}: {MANIFEST} is not as it was written; fetch or make the bundle again.")
    try:
        plain = json.loads(data)
        number = plain["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged from error
    if number not in FORMATS:
        raise BundleFormatError(
            f"{where} has bundle format {number}, but this version of Vestiary reads {_list_formats()}; "
            "upgrade Vestiary, or make the bundle again with this version."
        )
    body = {key: value for key, value in plain.items() if key != "fingerprint"}
    try:
        intact = plain.get("fingerprint") == _fingerprint(body) and data == canonical(plain)
    except ValueError as error:  # numbers or characters that no manifest of ours has, such as 1e999
        raise damaged from error
    if not intact:
        raise damaged
    return dict(plain)


def _list_formats() -> str:
    return f"formats {', '.join(map(str, FORMATS[:-1]))} and {FORMATS[-1]}"


def _listed_files(where: Path | str, plain: Mapping[str, Any]) -> dict[str, str]:
    files = plain.get("files")
    if not isinstance(files, dict) or MODEL not in files or CARD not in files:
        raise BundleError(f"{where}: the manifest does not list {MODEL} and {CARD}; make the bundle again.")
    int8 = plain.get("int8", {"sha256": None, "scores": {}, "training": {}})
    if not isinstance(int8, dict) or not {"sha256", "scores", "training"} <= int8.keys():
        raise BundleError(f"{where}: the manifest does not describe {INT8}; make the bundle again.")
    return {str(name): str(digest) for name, digest in files.items()} | (
        {INT8: str(int8["sha256"])} if "int8" in plain else {}
    )


def canonical(plain: Mapping[str, Any]) -> bytes:
    """The bytes of a manifest: the one way to write it."""
    return (json.dumps(plain, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _fingerprint(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(body)).hexdigest()
