"""A catalogue: products with their true answers, the questions, and every row that did not make it, with its reason."""

from vestiary.catalogue.catalogue import Catalogue, load_catalogue
from vestiary.catalogue.ingest import Progress, ingest
from vestiary.catalogue.rows import Reject, RejectReason
from vestiary.catalogue.sources import Source, open_source

__all__ = ["Catalogue", "Progress", "Reject", "RejectReason", "Source", "ingest", "load_catalogue", "open_source"]
