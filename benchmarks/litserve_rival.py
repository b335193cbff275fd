"""A rival of benchmarks/serving.py: LitServe with the same model in ONNX Runtime, batches of up to 16.

A file of its own, since LitServe's workers are new processes that must find the class by its name.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from vestiary.bundle import open_bundle
from vestiary.predictor import Predictor

litserve: Any = importlib.import_module("litserve")


class Api(litserve.LitAPI):  # type: ignore[misc]
    """Decodes as it receives, and answers a batch in one call."""

    def setup(self, device: str) -> None:
        """Load the model."""
        self.predictor = Predictor(open_bundle(), threads=len(os.sched_getaffinity(0)))

    def decode_request(self, request: Any) -> Any:
        """The picture of one request."""
        return self.predictor.prepare("a", request["file"].file.read())

    def batch(self, inputs: list[Any]) -> list[Any]:
        """The model takes a list."""
        return inputs

    def predict(self, prepared: list[Any]) -> list[Any]:
        """The answers of a batch."""
        return list(self.predictor.answer(prepared))

    def unbatch(self, outputs: list[Any]) -> list[Any]:
        """The model gives a list."""
        return outputs

    def encode_response(self, output: Any) -> Any:
        """One answer as JSON."""
        return output.to_dict()


for method in (Api.decode_request, Api.encode_response):
    method.__annotations__.clear()  # LitServe would read them as the fields of its requests


if __name__ == "__main__":
    api = Api(max_batch_size=16, batch_timeout=0.003, api_path="/predict")
    litserve.LitServer(api, accelerator="cpu").run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
