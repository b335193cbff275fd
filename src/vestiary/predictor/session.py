"""An ONNX Runtime session over a bundle: pictures in, predictions out."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from vestiary.bundle import Bundle, open_bundle
from vestiary.calibration import Answers
from vestiary.drift import measure_background, measure_brightness, pack_features
from vestiary.errors import (
    BundleError,
    DamagedPictureError,
    PictureError,
    UsageError,
    VestiaryError,
)
from vestiary.images import DEFAULT_LIMITS, Limits, Picture, read_file, to_upright_rgb
from vestiary.tags import Failure, Observation, Prediction, Tag, Unfamiliar
from vestiary.taxonomy import Attribute

ImageInput = str | Path | bytes | Callable[[], bytes] | Image.Image | NDArray[np.uint8]
"""A path, the bytes of a picture file or a function that gives them when it is the picture's turn, a Pillow picture, or
``uint8 [height, width, 3]`` RGB pixels of any size."""

CONFIDENCE_DIGITS = 6
BATCH = 64


class Predictor:
    """An ONNX Runtime session over a bundle. Safe to share between threads.

    ``threads`` is the number of cores one call may use; 0 takes them all. ``precision`` is "fp32", or "int8" for the
    faster model of a bundle that has one. ``decide_on`` names the attributes whose answers must be accepted for a
    picture to need no person's eye; none stands for all.
    """

    def __init__(
        self,
        bundle: Bundle | None = None,
        *,
        precision: str = "fp32",
        decide_on: Collection[str] = (),
        threads: int = 0,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Load a model of ``bundle`` (None: the default one).

        Raises UsageError when it has none in that precision or does not answer what is to decide, BundleError when it
        does not fit its manifest.
        """
        self.bundle = bundle if bundle is not None else open_bundle()
        self.decide_on = tuple(decide_on)
        self._deciding = self.bundle.choose_attributes(decide_on)
        self.limits = limits
        self.precision = precision
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or os.cpu_count() or 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        model = self.bundle.choose_model(precision)
        self._run_options = onnxruntime.RunOptions()
        # Outputs that nobody asked for (class maps) are not computed.
        self._run_options.only_execute_path_to_fetches = True
        try:
            self._session = onnxruntime.InferenceSession(
                model, sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises its own kinds, none of them exported
            raise BundleError(
                f"The model of bundle {self.bundle.name} cannot be loaded by ONNX Runtime "
                f"{onnxruntime.__version__}; upgrade onnxruntime, or make the bundle again."
            ) from error
        self._check_input()
        self._check_outputs()

    def _check_input(self) -> None:
        height, width = self.bundle.preprocess.height, self.bundle.preprocess.width
        inputs = [(entry.name, entry.type) for entry in self._session.get_inputs()]
        shape = self._session.get_inputs()[0].shape if inputs == [("images", "tensor(uint8)")] else []
        fixed = [
            has if isinstance(has, int) else wanted for has, wanted in zip(shape[1:], (height, width, 3), strict=False)
        ]
        if len(shape) != 4 or fixed != [height, width, 3]:
            raise BundleError(
                f"The model of bundle {self.bundle.name} does not take pictures of {width}×{height} px as 'images', "
                "as its manifest says; make the bundle again."
            )

    def _check_outputs(self) -> None:
        shapes = {output.name: output.shape for output in self._session.get_outputs()}
        for attribute in self.bundle.taxonomy.attributes:
            if shapes.get(attribute.name, [])[1:] != [len(attribute.values)]:
                raise BundleError(
                    f"The model of bundle {self.bundle.name} does not answer {attribute.name} with "
                    f"{len(attribute.values)} values, as its manifest says; make the bundle again."
                )

        familiarity = self.bundle.familiarity
        channels = shapes.get("embedding", [0])[-1]
        if familiarity is not None and isinstance(channels, int) and channels != familiarity.channels:
            raise BundleError(
                f"The model of bundle {self.bundle.name} gives embeddings of {channels} numbers, but its manifest "
                f"compares {familiarity.channels}; make the bundle again."
            )

    def _run(self, names: Sequence[str], pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """The named outputs of the model; only what these need is computed."""
        outputs = self._session.run(list(names), {"images": pixels}, self._run_options)
        return dict(zip(names, outputs, strict=True))

    def outputs(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """All that ``Bundle.answer`` wants of preprocessed ``uint8 [n, height, width, 3]`` pictures.

        The logits ``float32 [n, values]`` per attribute, and the ``embedding`` ``float32 [n, channels]``.
        """
        return self._run([*self.bundle.taxonomy.names, "embedding"], pixels)

    def logits(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Raw scores ``float32 [n, values]`` per attribute of preprocessed ``uint8 [n, height, width, 3]`` pictures."""
        return self._run(self.bundle.taxonomy.names, pixels)

    def embeddings(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeddings ``float32 [n, channels]`` of preprocessed ``uint8 [n, height, width, 3]`` pictures."""
        return self._run(["embedding"], pixels)["embedding"]

    def embed(self, images: Iterable[ImageInput]) -> NDArray[np.float32]:
        """Embeddings ``float32 [n, channels]``, one per picture. Raises a VestiaryError for the first unusable one."""
        return self.embeddings(self._stack(_list_pictures(images)))

    def explain(self, images: Iterable[ImageInput], attribute: str, value: str | None = None) -> NDArray[np.float32]:
        """Class maps ``float32 [n, h, w]``, one per picture: how much each place speaks for a value of an attribute.

        ``value`` None means the answer for each picture. The maps are logits, comparable within a picture; ``h`` and
        ``w`` are those of the model's last features and cover the whole preprocessed picture. UsageError for an
        attribute or value that the bundle does not have, and for an attribute without maps in its model; a
        VestiaryError for the first unusable picture.
        """
        images = _list_pictures(images)
        own = self._find_attribute(attribute)
        wanted = f"{attribute}.map"
        if wanted not in {output.name for output in self._session.get_outputs()}:
            raise UsageError(f"The model of bundle {self.bundle.name} has no class maps for {attribute}.")
        if value is not None and own.index_of(value) < 0:
            raise UsageError(f"{attribute} has no value {value!r}; vestiary inspect --json lists those it has.")
        names = [wanted] if value is not None else [*self.bundle.taxonomy.names, "embedding", wanted]
        maps = []
        for start in range(0, max(len(images), 1), BATCH):
            outputs = self._run(names, self._stack(images[start : start + BATCH]))
            found = outputs[wanted]
            asked = own.index_of(value) if value is not None else self.bundle.answer(outputs)[attribute].indices
            maps.append(found[np.arange(len(found)), asked])
        return np.concatenate(maps)

    def _find_attribute(self, name: str) -> Attribute:
        if name not in self.bundle.taxonomy.names:
            raise UsageError(f"The bundle answers no {name!r}; choose one of: {', '.join(self.bundle.taxonomy.names)}.")
        return self.bundle.taxonomy[name]

    def _stack(self, images: Sequence[ImageInput]) -> NDArray[np.uint8]:
        """Preprocessed pixels ``uint8 [n, height, width, 3]``."""
        size = (len(images), self.bundle.preprocess.height, self.bundle.preprocess.width, 3)
        return np.array([self._preprocess(image)[0] for image in images], dtype=np.uint8).reshape(size)

    def predict(
        self, images: Iterable[ImageInput], *, ids: Sequence[str] | None = None, top_k: int = 3
    ) -> list[Prediction]:
        """One Prediction per picture, in order.

        ``ids`` names the predictions (default: the path as given, else "0", "1", …); ``top_k`` is how many answers are
        told per attribute, the tag itself included. A picture that cannot be read gives a Prediction with a
        ``failure``; it raises nothing and spoils no other. UsageError when ``images`` is a single picture, when ``ids``
        are not as many, or when ``top_k`` is under 1.
        """
        images = _list_pictures(images)
        if top_k < 1:
            raise UsageError(f"top_k is {top_k}, but must be at least 1.")
        if ids is not None and len(ids) != len(images):
            raise UsageError(f"There are {len(images)} pictures but {len(ids)} ids; give one id each.")
        names = ids if ids is not None else [_default_id(image, number) for number, image in enumerate(images)]
        predictions: list[Prediction] = []
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            for start in range(0, len(images), BATCH):
                prepared = pool.map(self.prepare, names[start : start + BATCH], images[start : start + BATCH])
                predictions += self.answer(list(prepared), top_k=top_k)
        return predictions

    def _preprocess(self, image: ImageInput) -> tuple[NDArray[np.uint8], Picture | Image.Image]:
        """What the model sees, and the picture itself: without a file behind it, only its upright pixels."""
        preprocess = self.bundle.preprocess
        if callable(image):
            image = image()
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise UsageError(
                    f"An array of {image.dtype} {list(image.shape)} is no picture; give uint8 [height, width, 3]."
                )
            image = Image.fromarray(image)
        if isinstance(image, Image.Image):
            upright = _convert(image, self.limits)
            return preprocess(upright), upright
        if not isinstance(image, (str, Path, bytes)):
            raise UsageError(
                f"A {type(image).__name__} is no picture; give a path, bytes, a Pillow picture or a uint8 array."
            )
        data = image if isinstance(image, bytes) else read_file(Path(image), limits=self.limits)
        picture = preprocess.read(data, limits=self.limits)
        return preprocess(picture.image), picture

    def prepare(self, name: str, image: ImageInput) -> Prepared:
        """The first half of ``predict`` for one picture: decode it; a picture that cannot be used has a ``failure``."""
        try:
            pixels, picture = self._preprocess(image)
        except VestiaryError as error:
            return Prepared(name, failure=Failure(getattr(error, "code", "unusable"), str(error)))
        if isinstance(picture, Image.Image):
            return Prepared(name, pixels, picture.size)
        return Prepared(name, pixels, (picture.width, picture.height), picture.sha256, picture.note)

    def answer(self, prepared: Sequence[Prepared], *, top_k: int | Mapping[str, int] = 3) -> list[Prediction]:
        """The second half: predictions of pictures that go through the model at once, in order, failures in place.

        ``top_k`` may differ from attribute to attribute.
        """
        good = [entry for entry in prepared if entry.failure is None]
        answered = iter(self._tag(good, top_k) if good else [])
        predictions = []
        for entry in prepared:
            tags, unfamiliar, observed = ((), None, None) if entry.failure else next(answered)
            predictions.append(
                Prediction(
                    id=entry.id,
                    bundle=self.bundle.fingerprint,
                    image_sha256=entry.sha256,
                    tags=tags,
                    failure=entry.failure,
                    note=entry.note,
                    unfamiliar=unfamiliar,
                    observed=observed,
                )
            )
        return predictions

    def _tag(
        self, prepared: Sequence[Prepared], top_k: int | Mapping[str, int]
    ) -> list[tuple[tuple[Tag, ...], Unfamiliar | None, Observation]]:
        """Tags, unfamiliarity and looks of each picture."""
        pixels = np.stack([entry.pixels for entry in prepared if entry.pixels is not None])
        outputs = self.outputs(pixels)
        answers = self.bundle.answer(outputs)
        columns = [
            _build_tags(
                own,
                answers[own.name],
                top_k if isinstance(top_k, int) else top_k[own.name],
                decides=own.name in self._deciding,
            )
            for own in self.bundle.taxonomy.attributes
        ]
        sizes = [entry.size or (0, 0) for entry in prepared]
        observed = self._observe(sizes, pixels, outputs["embedding"])
        unfamiliar = self._find_unfamiliar(outputs["embedding"])
        return list(zip(zip(*columns, strict=True), unfamiliar, observed, strict=True))

    def _observe(
        self, sizes: Sequence[tuple[int, int]], pixels: NDArray[np.uint8], embeddings: NDArray[np.float32]
    ) -> list[Observation]:
        familiarity = self.bundle.familiarity
        features = [None] * len(pixels) if familiarity is None else pack_features(familiarity.project(embeddings))
        brightness, background = measure_brightness(pixels).tolist(), measure_background(pixels).tolist()
        return [
            Observation(*size, *looks) for size, *looks in zip(sizes, brightness, background, features, strict=True)
        ]

    def _find_unfamiliar(self, embeddings: NDArray[np.float32]) -> list[Unfamiliar | None]:
        familiarity = self.bundle.familiarity
        if familiarity is None:
            return [None] * len(embeddings)
        scores, flags = familiarity.scores(embeddings), familiarity.is_unfamiliar(embeddings)
        return [Unfamiliar(float(score), bool(flag)) for score, flag in zip(scores, flags, strict=True)]


def _build_tags(attribute: Attribute, answers: Answers, top_k: int, *, decides: bool) -> list[Tag]:
    """One tag per picture."""
    values = attribute.values
    shares = answers.probabilities
    order = np.argsort(-shares, axis=1, kind="stable")
    sizes = answers.candidates.sum(axis=1).tolist() if answers.candidates is not None else [0] * len(shares)
    best = np.take_along_axis(shares, order[:, :top_k], axis=1).round(CONFIDENCE_DIGITS).tolist()
    tags = []
    for row, ranked, accepted, size in zip(order.tolist(), best, answers.accepted.tolist(), sizes, strict=True):
        told = [(values[index], share) for index, share in zip(row, ranked, strict=False)]
        candidates = tuple(values[index] for index in row[:size])
        tags.append(Tag(attribute.name, *told[0], accepted, tuple(told[1:]), candidates, decides))
    return tags


def _convert(image: Image.Image, limits: Limits) -> Image.Image:
    try:
        return to_upright_rgb(image, limits=limits)
    except PictureError:
        raise
    except Exception as error:  # Pillow opens files lazily, and its plug-ins raise almost anything on broken bytes
        raise DamagedPictureError(
            "The picture is damaged or cut short and cannot be decoded; save or send it again."
        ) from error


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture on its way to the model: preprocessed ``pixels``, or the ``failure`` that stands in for them.

    ``size`` is width and height, upright, in pixels; ``sha256`` (of the encoded bytes) is None for pixels that were
    given directly. Both are None for a failure.
    """

    id: str
    pixels: NDArray[np.uint8] | None = None
    size: tuple[int, int] | None = None
    sha256: str | None = None
    note: str | None = None
    failure: Failure | None = None


def _list_pictures(images: Iterable[ImageInput]) -> list[ImageInput]:
    if isinstance(images, (str, bytes, Path, Image.Image)) or (isinstance(images, np.ndarray) and images.ndim == 3):
        raise UsageError("A single picture was given where a list of them belongs; put it into a list.")
    return list(images)


def _default_id(image: ImageInput, number: int) -> str:
    return str(image) if isinstance(image, (str, Path)) else str(number)


def count_threads(cores: int) -> int:
    """How many threads answer on so many cores: one more than those, since one at times waits for the interpreter."""
    return cores + 1 if cores > 1 else 1


def count_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
