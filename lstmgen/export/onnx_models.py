"""A model in the ONNX format, as two files: one step, and a chunk.

    step    ids (batch,), states -> logits (batch, vocab), next states
    chunk   ids (batch, time), states -> logits (batch, time, vocab), next states

A state is named by its layer and field, such as `layers.0.hidden`, (batch, hidden); attention has `memory`, (batch,
window, hidden). The next states are named `next.layers.0.hidden` and so on. Before any text all states are zeros. The
ids are int64, everything else is float32. The metadata has one key, `lstmgen`: a JSON object with the model's `name`,
its `characters` in the order of their ids (empty for a model of bytes), `lines` and `model`.

torch's exporter makes the step from the cells' own equations. The chunk repeats the step over time (ONNX's Scan), so
both are the same network with the same weights.
"""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lstmgen.checkpoint import Checkpoint
from lstmgen.errors import ConfigError, missing_package
from lstmgen.network.architecture import Network, NetworkState, map_state
from lstmgen.network.forward import step

if TYPE_CHECKING:
    from onnx import ModelProto

_IDS, _LOGITS, _NEXT = "ids", "logits", "next."
_MAX_BYTES = 2_000_000_000  # a protobuf file holds at most 2 GiB
_EXAMPLE_ROWS = 2  # from a batch of one, the exporter would conclude that it is always one


def onnx_files(checkpoint: Checkpoint, name: str) -> tuple[bytes, bytes]:
    """Make the step and the chunk of a checkpoint, with this name in the metadata.

    Raises ConfigError if a package is missing or the network is too large.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # the exporter needs it
    except ModuleNotFoundError as error:
        raise ConfigError("onnx", True, missing_package(error, "onnx")) from error
    size = 4 * checkpoint.network.parameter_count()
    if size > _MAX_BYTES:
        raise ConfigError("onnx", True, f"the weights are {size:,} bytes, but a file holds at most {_MAX_BYTES:,}")
    model = _step_model(checkpoint)
    about = {
        "name": name,
        "characters": checkpoint.vocabulary.characters,
        "lines": checkpoint.record.text.lines,
        "model": asdict(checkpoint.model),
    }
    chunk = _chunk_model(model, state_names(checkpoint.network))
    for each in (model, chunk):
        onnx.helper.set_model_props(each, {"lstmgen": json.dumps(about)})
        onnx.checker.check_model(each)
    return model.SerializeToString(deterministic=True), chunk.SerializeToString(deterministic=True)


def state_names(network: Network) -> list[str]:
    """The names of the states, in the order of a `NetworkState`."""
    fields = (cell.state_type._fields for cell in network.cells)
    names = [f"layers.{number}.{field}" for number, layer in enumerate(fields) for field in layer]
    return names + (["memory"] if network.attention else [])


class _Step(nn.Module):
    """One step of the network, with its state as separate tensors."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self._network = checkpoint.network
        self._names = {name: name.replace(".", "_") for name in checkpoint.weights}
        for name, array in checkpoint.weights.items():
            self.register_buffer(self._names[name], torch.from_numpy(array))

    def forward(self, ids: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Read one token per row."""
        weights = self._network.arrange({name: getattr(self, buffer) for name, buffer in self._names.items()})
        fields = iter(states)
        state = map_state(lambda _: next(fields), self._network.initial_state(1, torch.zeros(1)))
        output = step(self._network, weights, ids, state)
        return output.logits, *_flat(output.state)


def _flat(state: NetworkState) -> list[Tensor]:
    fields: list[Tensor] = []
    map_state(fields.append, state)
    return fields


def _step_model(checkpoint: Checkpoint) -> "ModelProto":
    """Export one step, without the exporter's notes about the program, which include file names."""
    names = state_names(checkpoint.network)
    states = _flat(checkpoint.network.initial_state(_EXAMPLE_ROWS, torch.zeros(1)))
    batch = torch.export.Dim("batch")
    with _quiet_exporter():
        program = torch.onnx.export(
            _Step(checkpoint).eval(),
            (torch.arange(_EXAMPLE_ROWS) % checkpoint.network.vocab_size, *states),
            input_names=[_IDS, *names],
            output_names=[_LOGITS, *(_NEXT + name for name in names)],
            dynamic_shapes={"ids": {0: batch}, "states": tuple({0: batch} for _ in states)},
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # noqa: S101  # None only if the exporter writes a file itself
    model: ModelProto = program.model_proto
    graph = model.graph
    for each in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        each.ClearField("metadata_props")
        each.ClearField("doc_string")
    graph.ClearField("value_info")
    graph.name = "step"
    return model


def _chunk_model(step_model: "ModelProto", names: list[str]) -> "ModelProto":
    """Repeat a step over time. The weights stay outside the loop."""
    from onnx import ModelProto, ValueInfoProto, helper

    graph, next_names = step_model.graph, [_NEXT + name for name in names]
    values = {value.name: value for value in (*graph.input, *graph.output)}
    body = helper.make_graph(
        graph.node,
        "step",
        [values[name] for name in (*names, _IDS)],
        [values[name] for name in (*next_names, _LOGITS)],
    )
    inner = {name: f"step.{name}" for name in values}  # the names inside and outside must differ
    for node in body.node:
        node.input[:] = [inner.get(name, name) for name in node.input]
        node.output[:] = [inner.get(name, name) for name in node.output]
    for value in (*body.input, *body.output):
        value.name = inner[value.name]

    def over_time(name: str) -> ValueInfoProto:
        kind = values[name].type.tensor_type
        sizes = [size.dim_param or size.dim_value for size in kind.shape.dim]
        return helper.make_tensor_value_info(name, kind.elem_type, [sizes[0], "time", *sizes[1:]])

    scan = helper.make_node(
        "Scan",
        [*names, _IDS],
        [*next_names, _LOGITS],
        body=body,
        num_scan_inputs=1,
        scan_input_axes=[1],
        scan_output_axes=[1],
    )
    chunk = ModelProto()
    chunk.CopyFrom(step_model)
    chunk.graph.CopyFrom(
        helper.make_graph(
            [scan],
            "chunk",
            [over_time(_IDS), *(values[name] for name in names)],
            [over_time(_LOGITS), *(values[name] for name in next_names)],
            initializer=list(graph.initializer),
        )
    )
    return chunk


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter from warning about packages that it does not need here."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
