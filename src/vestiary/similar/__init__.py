"""Similar products: an index over a catalogue's pictures, and the products that look most like a photo.

    index = build_index(load_catalogue("catalogue"), predictor, Path("index"))
    [found] = find_similar(index, predictor, [("mine", "photo.jpg")])
    print([(neighbour.product_id, neighbour.distance) for neighbour in found.neighbours])

``open_index`` opens one that was built before. Needs usearch, which is imported only when an index is built or opened.
"""

from vestiary.similar.building import build_index
from vestiary.similar.files import check_place
from vestiary.similar.index import Index, Neighbour, open_index
from vestiary.similar.photos import Photo, Similar, find_similar
from vestiary.similar.place import locate

__all__ = [
    "Index",
    "Neighbour",
    "Photo",
    "Similar",
    "build_index",
    "check_place",
    "find_similar",
    "locate",
    "open_index",
]
