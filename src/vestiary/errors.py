"""Every error that Vestiary raises on purpose.

    VestiaryError
    ├── UsageError              a path, option or argument that cannot be used
    │   └── AddressError            an address (s3://…) that gives nothing
    │       └── AddressUnreachableError  the same, but for now only: its store does not answer
    ├── PictureError            one picture that cannot be read; never stops the others
    │   ├── NotAPictureError        the bytes are no picture in a format we read
    │   ├── DamagedPictureError     a known format, but broken or cut short
    │   ├── PictureTooLargeError    more bytes or pixels than the limits allow
    │   └── PictureTooSmallError    too few pixels to tell anything
    ├── TaxonomyError           attributes or values that contradict each other
    ├── CatalogueError          a catalogue, or the source of one, that cannot be read
    ├── BundleError             a bundle that cannot be opened
    │   ├── BundleDamagedError      a file missing or changed since the bundle was written
    │   └── BundleFormatError       a format number this version does not read
    ├── SimilarError            an index of similar products that cannot be opened, or belongs to another bundle
    ├── RecipeError             a training recipe with wrong keys or values, all named at once
    ├── TrainingError           a training run that cannot start, go on or be shipped
    │   └── TrainingUnwritableError  the same, since its files cannot be written: no fault of its recipe
    ├── PrecisionError          an int8 model that answers worse than is let through: the answer is no
    ├── LedgerError             a ledger that cannot be opened, read or written
    │   └── LedgerUnavailableError  the same, but for now only: it is worth trying again later
    ├── ServiceError            a running service that gave no answer, or a refusal
    ├── BatchError              a batch that ended before all pictures were answered, or never began: the answer is no
    ├── DeliveryError           a mail or a message to a webhook that did not arrive: the answer is no
    └── MissingExtraError       a feature whose optional packages are not installed

Each message is one plain sentence: what was found, where, and what to do.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class VestiaryError(Exception):
    """Base of the tree. ``exit_code`` is what the command line ends with."""

    exit_code = 2


class UsageError(VestiaryError):
    """A path, option or argument that cannot be used."""


class AddressError(UsageError):
    """An address that gives nothing: nothing is there, or the store does not let it be read."""


class AddressUnreachableError(AddressError):
    """An address whose store does not answer, for now."""


class PictureError(VestiaryError):
    """One picture that cannot be read. ``code`` is a stable word for scripts."""

    code = "picture"


class NotAPictureError(PictureError):
    """The bytes are no picture in a format Vestiary reads."""

    code = "not-a-picture"


class DamagedPictureError(PictureError):
    """A picture in a known format that is broken or cut short."""

    code = "damaged"


class PictureTooLargeError(PictureError):
    """More bytes or pixels than the limits allow."""

    code = "too-large"


class PictureTooSmallError(PictureError):
    """Too few pixels to tell anything."""

    code = "too-small"


class TaxonomyError(VestiaryError):
    """Attributes or values that contradict each other."""


class CatalogueError(VestiaryError):
    """A catalogue, or the source of one, that cannot be read."""


class BundleError(VestiaryError):
    """A bundle that cannot be opened."""


class BundleDamagedError(BundleError):
    """A file missing or changed since the bundle was written."""


class BundleFormatError(BundleError):
    """A format number that this version of Vestiary does not read."""


class SimilarError(VestiaryError):
    """An index of similar products that cannot be opened, or belongs to another bundle."""


class RecipeError(VestiaryError):
    """A training recipe with wrong keys or values; ``problems`` lists them all."""

    def __init__(self, where: str, problems: list[str]) -> None:
        self.where, self.problems = where, problems
        super().__init__(f"{where}: " + "; ".join(problems) + ".")

    def __reduce__(self) -> tuple[type[RecipeError], tuple[str, list[str]]]:
        """As it was made, so that it can be sent from one process to another."""
        return type(self), (self.where, self.problems)


class TrainingError(VestiaryError):
    """A training run that cannot start, go on or be shipped."""


class TrainingUnwritableError(TrainingError):
    """A training run whose files cannot be written, for want of room, say."""


class PrecisionError(VestiaryError):
    """An int8 model that answers worse than is let through."""

    exit_code = 1


class LedgerError(VestiaryError):
    """A ledger that cannot be opened, read or written until a person does something about it."""


class LedgerUnavailableError(LedgerError):
    """A ledger that cannot be used now but may come back by itself: locked, out of space, or its server away."""


class ServiceError(VestiaryError):
    """A running service that gave no answer (``status`` None), or a refusal with its HTTP status and request id."""

    def __init__(self, detail: str, *, status: int | None = None, request_id: str = "") -> None:
        self.status, self.request_id = status, request_id
        super().__init__(detail)


class BatchError(VestiaryError):
    """A batch that another run is at, or that had to stop before its end and can be taken up again."""

    exit_code = 1


class DeliveryError(VestiaryError):
    """A mail, or a message to a webhook, that was not taken."""

    exit_code = 1


class MissingExtraError(VestiaryError):
    """A feature whose optional packages are not installed."""


def first_sentence(error: BaseException) -> str:
    """What a foreign error says first, without its full stop, to be put into a sentence of ours."""
    text = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".: ")
    return text or type(error).__name__


def require(module: str, *, extra: str, feature: str) -> ModuleType:
    """Import ``module`` or raise MissingExtraError naming the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{feature} needs the package '{error.name}', which is not installed; "
            f"install it with: pip install 'vestiary[{extra}]'."
        ) from error
