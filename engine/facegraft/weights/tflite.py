"""Reads a TensorFlow Lite file: a FlatBuffer with one graph, its tensors and its operators.

Written against the published schema (tflite `schema.fbs`, version 3); the numbers below are the
schema's field order and enum values. Reads no more than the converter needs: constants (float16,
float32, int32, sparse per-dimension form), and each operator's code, tensors and raw options.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from flatbuffers import flexbuffers
from flatbuffers import number_types as numbers
from flatbuffers.table import Table

from facegraft.errors import BadWeights

INT8, BOOL = numbers.Int8Flags, numbers.BoolFlags  # how small options are stored
IDENTIFIER = b"TFL3"  # bytes 4 to 8 of every file
_DTYPES = {0: np.float32, 1: np.float16, 2: np.int32, 4: np.int64}  # enum TensorType
_OPERATORS = {  # enum BuiltinOperator, the ones these networks use
    0: "ADD",
    2: "CONCATENATION",
    3: "CONV_2D",
    4: "DEPTHWISE_CONV_2D",
    5: "DEPTH_TO_SPACE",
    6: "DEQUANTIZE",
    17: "MAX_POOL_2D",
    18: "MUL",
    22: "RESHAPE",
    23: "RESIZE_BILINEAR",
    34: "PAD",
    45: "STRIDED_SLICE",
    54: "PRELU",
    124: "DENSIFY",
}
_CUSTOM = 32  # BuiltinOperator.CUSTOM: the name stands beside it
_INDEX_VECTORS = {  # union SparseIndexVector
    1: numbers.Int32Flags,
    2: numbers.Uint16Flags,
    3: numbers.Uint8Flags,
}


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One value of the graph; `data` is None for what is computed."""

    index: int
    shape: tuple[int, ...]
    dtype: type
    data: np.ndarray | None


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """One step: `options` is the table of a built-in operator, `custom` a custom one's mapping."""

    name: str
    inputs: tuple[int, ...]  # tensor numbers; -1 where an optional input is absent
    outputs: tuple[int, ...]
    options: Table | None
    custom: dict[str, Any] = field(default_factory=dict)

    def option(self, slot: int, flags: Any = numbers.Int32Flags, default: int = 0) -> int:
        """Scalar field number `slot` of the built-in options."""
        return default if self.options is None else _scalar(self.options, slot, flags, default)


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    tensors: list[Tensor]
    operators: list[Operator]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_graph(path: Path) -> Graph:
    """The one graph of the file, operators in execution order.

    Raises: BadWeights if it is no TensorFlow Lite file or uses what this reader does not know.
    """
    data = path.read_bytes()
    if data[4:8] != IDENTIFIER:
        raise BadWeights(f"{path} is not a TensorFlow Lite file: bytes 4 to 8 are {data[4:8]!r}")
    root = Table(data, int.from_bytes(data[:4], "little"))
    buffers = [_vector(table, 0, numbers.Uint8Flags) for table in _tables(root, 4)]
    subgraphs = _tables(root, 2)
    if len(subgraphs) != 1:
        raise BadWeights(f"{path} holds {len(subgraphs)} graphs; the converter reads one")
    graph = subgraphs[0]
    codes = [_operator_name(table, path) for table in _tables(root, 1)]
    return Graph(
        [_read_tensor(i, table, buffers, path) for i, table in enumerate(_tables(graph, 0))],
        [_read_operator(table, codes) for table in _tables(graph, 3)],
        tuple(_vector(graph, 1, numbers.Int32Flags).tolist()),
        tuple(_vector(graph, 2, numbers.Int32Flags).tolist()),
    )


def _operator_name(table: Table, path: Path) -> str:
    # files older than the 128th operator keep the code in the first, one-byte field
    code = max(_scalar(table, 0, numbers.Int8Flags), _scalar(table, 3, numbers.Int32Flags))
    if code == _CUSTOM:
        return _string(table, 1)
    if code not in _OPERATORS:
        raise BadWeights(f"{path} uses operator {code}, which the converter does not know")
    return _OPERATORS[code]


def _read_operator(table: Table, codes: list[str]) -> Operator:
    options = table.Offset(_slot(4))
    custom = _vector(table, 5, numbers.Uint8Flags)
    return Operator(
        codes[_scalar(table, 0, numbers.Uint32Flags)],
        tuple(_vector(table, 1, numbers.Int32Flags).tolist()),
        tuple(_vector(table, 2, numbers.Int32Flags).tolist()),
        Table(table.Bytes, table.Indirect(table.Pos + options)) if options else None,
        # what custom operators write is a map; fewer than 3 bytes cannot be one
        cast(dict[str, Any], flexbuffers.Loads(custom.tobytes())) if custom.size > 2 else {},
    )


def _read_tensor(index: int, table: Table, buffers: list[np.ndarray], path: Path) -> Tensor:
    shape = tuple(_vector(table, 0, numbers.Int32Flags).tolist())
    code = _scalar(table, 1, numbers.Int8Flags)
    if code not in _DTYPES:
        raise BadWeights(f"{path}: tensor {index} has type {code}, which the converter cannot read")
    raw = buffers[_scalar(table, 2, numbers.Uint32Flags)]
    sparsity = table.Offset(_slot(6))
    if not raw.size:
        return Tensor(index, shape, _DTYPES[code], None)
    values = raw.view(_DTYPES[code])
    if sparsity:
        form = Table(table.Bytes, table.Indirect(table.Pos + sparsity))
        return Tensor(index, shape, _DTYPES[code], _densify(values, shape, form, path))
    return Tensor(index, shape, _DTYPES[code], values.reshape(shape))


def _densify(values: np.ndarray, shape: tuple[int, ...], form: Table, path: Path) -> np.ndarray:
    """Sparse constant to dense: each dimension is either dense or compressed rows (CSR)."""
    order = _vector(form, 0, numbers.Int32Flags).tolist()
    if order != list(range(len(shape))) or _vector(form, 1, numbers.Int32Flags).size:
        raise BadWeights(f"{path}: a sparse tensor is blocked or reordered; not supported")
    positions = np.zeros(1, np.int64)  # flat index of every stored entry, one dimension at a time
    for size, dimension in zip(shape, _tables(form, 2), strict=True):
        if _scalar(dimension, 0, numbers.Int8Flags) == 0:  # dense
            steps = np.arange(size)
            positions = (positions[:, None] * size + steps).ravel()
            continue
        segments = _index_vector(dimension, 2).astype(np.int64)
        indices = _index_vector(dimension, 4).astype(np.int64)
        positions = np.repeat(positions, np.diff(segments)) * size + indices
    dense = np.zeros(int(np.prod(shape)), values.dtype)
    dense[positions] = values
    return dense.reshape(shape)


def _index_vector(dimension: Table, slot: int) -> np.ndarray:
    """A union of integer vectors: its type in `slot`, its table in the next one."""
    flags = _INDEX_VECTORS[_scalar(dimension, slot, numbers.Uint8Flags)]
    offset = dimension.Offset(_slot(slot + 1))
    return _vector(Table(dimension.Bytes, dimension.Indirect(dimension.Pos + offset)), 0, flags)


def _slot(field_number: int) -> int:
    return 4 + 2 * field_number  # a vtable starts with two 16-bit sizes


def _scalar(table: Table, slot: int, flags: Any, default: int = 0) -> int:
    offset = table.Offset(_slot(slot))
    return int(table.Get(flags, table.Pos + offset)) if offset else default


def _string(table: Table, slot: int) -> str:
    return table.String(table.Pos + table.Offset(_slot(slot))).decode()


def _vector(table: Table, slot: int, flags: Any) -> np.ndarray:
    offset = table.Offset(_slot(slot))
    if not offset:
        return np.zeros(0, numbers.to_numpy_type(flags))
    return table.GetVectorAsNumpy(flags, offset)


def _tables(table: Table, slot: int) -> list[Table]:
    offset = table.Offset(_slot(slot))
    if not offset:
        return []
    start = table.Vector(offset)
    return [
        Table(table.Bytes, table.Indirect(start + 4 * i)) for i in range(table.VectorLen(offset))
    ]
