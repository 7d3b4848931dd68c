"""Small data sets on disk, made as the real ones are: Python 2's pickles, tar, Parquet, folders."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

CLASSES = ("cat", "dog", "owl")


def pixels(number: int, width: int = 32, height: int = 32) -> NDArray[np.uint8]:
    random = np.random.default_rng(number)
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(number: int, width: int = 32, height: int = 32, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels(number, width, height)).save(file, kind)
    return file.getvalue()


def python2_pickle(value: Any) -> bytes:
    """What Python 2's `cPickle.dump(value, file, 2)` writes, opcode by opcode, without its memo."""
    return b"\x80\x02" + _opcodes(value) + b"."


def _opcodes(value: Any) -> bytes:
    match value:
        case None | True | False:
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        case int() | float():
            is_float = isinstance(value, float)
            return b"G" + struct.pack(">d", value) if is_float else b"J" + struct.pack("<i", value)
        case str():
            return _opcodes(value.encode())  # Python 2's text was bytes
        case bytes():
            return b"T" + struct.pack("<I", len(value)) + value
        case np.ndarray():
            return _array_opcodes(value)
    return _container_opcodes(value)


def _container_opcodes(value: Any) -> bytes:
    is_dict = isinstance(value, dict)
    inside = [each for pair in value.items() for each in pair] if is_dict else value
    marks = {"tuple": (b"(", b"t"), "list": (b"](", b"e"), "dict": (b"}(", b"u")}
    before, after = marks[type(value).__name__]
    return before + b"".join(map(_opcodes, inside)) + after


def _array_opcodes(array: NDArray[Any]) -> bytes:
    code = array.dtype.str[1:].encode()
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + _opcodes((0,))
    kind = b"cnumpy\ndtype\n" + _opcodes((code, 0, 1)) + b"R"
    kind += _opcodes((3, b"|", None, None, None, -1, -1, 0)) + b"b"
    state = _opcodes(1) + _opcodes(array.shape) + kind + b"\x89" + _opcodes(array.tobytes())
    return empty + _opcodes(b"b") + b"\x87R(" + state + b"tb"


def batch(start: int, labels: Sequence[Any], key: str = "labels") -> dict[str, Any]:
    """A batch of CIFAR whose pictures are `pixels(start)`, `pixels(start + 1)` and so on."""
    rows = [pixels(start + row).transpose(2, 0, 1).ravel() for row in range(len(labels))]
    data = np.stack(rows) if rows else np.empty((0, 3072), np.uint8)
    return {"batch_label": "a batch", key: list(labels), "data": data}


def cifar10_files() -> dict[str, Any]:
    """Six pictures a batch, two of each class; batch n begins with picture 10 n."""
    labels = [0, 1, 2, 2, 1, 0]
    files = {f"data_batch_{number}": batch(10 * number, labels) for number in range(1, 6)}
    names = {"num_cases_per_batch": 6, "label_names": list(CLASSES), "num_vis": 3072}
    return files | {"test_batch": batch(60, labels), "batches.meta": names}


def cifar100_files() -> dict[str, Any]:
    labels = [0, 1, 2, 2, 1, 0]
    files = {part: batch(n, labels, "fine_labels") for part, n in (("train", 10), ("test", 60))}
    coarse = {"coarse_labels": [0] * 6}
    names = {"fine_label_names": list(CLASSES), "coarse_label_names": ["animal"]}
    return {name: content | coarse for name, content in files.items()} | {"meta": names}


def pickled(files: Mapping[str, Any]) -> dict[str, bytes]:
    return {
        name: value if isinstance(value, bytes) else python2_pickle(value)
        for name, value in files.items()
    }


def write_files(folder: Path, files: Mapping[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in pickled(files).items():
        (folder / name).write_bytes(content)
    return folder


def tar_of(files: Mapping[str, Any], folder: str = "cifar-10-batches-py") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in pickled(files).items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(file.getvalue(), compresslevel=1)


def write_folders(root: Path, counts: Mapping[str, int], first: int = 0) -> Path:
    """So many pictures in each folder, each picture another."""
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            first += 1
            (root / folder / f"{number}.png").write_bytes(encoded(first))
    return root


def write_parquet(
    path: Path,
    pictures: Sequence[bytes | None],
    labels: Sequence[Any],
    *,
    names: Sequence[str] | None = CLASSES,
    columns: tuple[str, str] = ("image", "label"),
    label_type: Any = None,
    plain: bool = False,
    group: int = 4,
) -> Path:
    """Hugging Face's schema; `plain` stores bytes without the struct."""
    kind = pa.binary() if plain else pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    values = list(pictures) if plain else [{"bytes": each, "path": None} for each in pictures]
    arrays = [pa.array(values, kind), pa.array(labels, label_type)]
    table = pa.table(dict(zip(columns, arrays, strict=True)))
    if names is not None:
        label = {"_type": "ClassLabel", "names": list(names)}
        features = {columns[0]: {"_type": "Image"}, columns[1]: label}
        about = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": about})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path, row_group_size=group)
    return path
