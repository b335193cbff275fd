"""How the weights of an exported network are stored: as they are, or rounded to 16 bits and widened when loaded."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MIN_NUMBERS = 256
"""Smaller tensors (biases, constants) stay as they are: there is nothing to save on them."""
NARROW = ".fp16"


def narrow_weights(model: bytes) -> bytes:
    """The same network with its weights stored as fp16 and a Cast to fp32 before each use.

    ONNX Runtime folds the casts when it loads the model, so arithmetic, speed and memory stay those of fp32; each
    weight is rounded to 11 significant bits. Tensors with numbers beyond fp16's largest (65,504) stay fp32.
    """
    proto = onnx.load_from_string(model)
    stored, casts = [], []
    for tensor in proto.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= MIN_NUMBERS:
            values = numpy_helper.to_array(tensor)
            if np.abs(values).max() <= np.finfo(np.float16).max:
                casts.append(helper.make_node("Cast", [tensor.name + NARROW], [tensor.name], to=TensorProto.FLOAT))
                tensor = numpy_helper.from_array(values.astype(np.float16), tensor.name + NARROW)
        stored.append(tensor)
    _replace(proto.graph, stored, [*casts, *proto.graph.node])
    return bytes(proto.SerializeToString())


def widen_weights(model: bytes) -> onnx.ModelProto:
    """The network with every weight in fp32, whether ``narrow_weights`` has rounded it or not: the same numbers."""
    proto = onnx.load_from_string(model)
    narrow = {tensor.name: tensor for tensor in proto.graph.initializer if tensor.name.endswith(NARROW)}
    stored = [tensor for tensor in proto.graph.initializer if tensor.name not in narrow]
    nodes = []
    for node in proto.graph.node:
        if node.op_type == "Cast" and node.input[0] in narrow:
            values = numpy_helper.to_array(narrow[node.input[0]]).astype(np.float32)
            stored.append(numpy_helper.from_array(values, node.output[0]))
        else:
            nodes.append(node)
    _replace(proto.graph, stored, nodes)
    return proto


def _replace(graph: onnx.GraphProto, initializers: list[onnx.TensorProto], nodes: list[onnx.NodeProto]) -> None:
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(initializers)
    graph.node.extend(nodes)
