"""A catalogue: products with their true answers, the questions, and every row that did not make it, with its reason."""

from vestiary.catalogue.catalogue import Catalogue, load_catalogue
from vestiary.catalogue.ingest import ingest
from vestiary.catalogue.rows import Reject, RejectReason
from vestiary.catalogue.sources import Source, ZipSource, open_source

__all__ = ["Catalogue", "Reject", "RejectReason", "Source", "ZipSource", "ingest", "load_catalogue", "open_source"]
