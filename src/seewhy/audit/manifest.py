"""The manifest of an audit: what was asked, of which model and data, and which shards there are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from seewhy.audit.schema import VERSION
from seewhy.errors import AuditError
from seewhy.files import write_whole
from seewhy.wording import complaint

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Shard:
    """One file of rows.

    Attributes:
        file: its path below the run's folder.
        first: its first row.
        rows: how many it has.
        failed: how many of them are of pictures that could not be explained.
        inexact: how many have maps that do not add up, though they should.
        bytes: its size.
        sha256: of its bytes, in hexadecimal.
    """

    file: str
    first: int
    rows: int
    failed: int
    inexact: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an audit was asked for, and what there is of it. All but the last five is pinned.

    Attributes:
        model: name, fingerprint, head, kind, num_classes, channels, grid, class_names, task,
            additive (whether maps of this kind are to add up) and tolerance.
        preprocess: how pictures are prepared.
        engine: what ran the network: its name, precision, threads and versions.
        settings: top, rows_per_shard, batch_size.
        data: source, count, and a fingerprint of the listing.
        versions: of the packages that have a say in the numbers.
        shards: those that are there, in order of their rows.
        created: when it was begun, UTC, ISO 8601.
        complete: whether every row is there.
        version: of the schema.
    """

    model: dict[str, Any]
    preprocess: dict[str, Any]
    engine: dict[str, Any]
    settings: dict[str, Any]
    data: dict[str, Any]
    versions: dict[str, str]
    shards: tuple[Shard, ...] = ()
    created: str = ""
    complete: bool = False
    version: int = VERSION

    @property
    def pinned(self) -> dict[str, Any]:
        """What may not change while an audit is made."""
        return {name: getattr(self, name) for name in _PINNED}

    @property
    def fingerprint(self) -> str:
        """Of what is pinned: shards of another audit have another one."""
        text = json.dumps(self.pinned, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def counts(self) -> dict[str, int]:
        """Rows, failed rows and inexact ones."""
        return {
            name: sum(getattr(shard, name) for shard in self.shards)
            for name in ("rows", "failed", "inexact")
        }

    def with_shards(self, shards: Sequence[Shard]) -> Manifest:
        """The same with these shards; complete if they hold every row."""
        ordered = tuple(sorted(shards, key=lambda shard: shard.first))
        complete = sum(shard.rows for shard in ordered) == self.data["count"]
        return replace(self, shards=ordered, complete=complete)

    def to_json(self) -> dict[str, Any]:
        """A plain document."""
        return {
            "format": "seewhy-audit",
            "version": self.version,
            "created": self.created,
            "complete": self.complete,
            "counts": self.counts,
            **self.pinned,
            "shards": [asdict(shard) for shard in self.shards],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Manifest:
        """Read what `to_json` wrote; KeyError, TypeError or ValueError if it is anything else."""
        if document["format"] != "seewhy-audit":
            raise ValueError("another document")
        names = [each.name for each in fields(cls) if each.name != "shards"]
        shards = tuple(Shard(**shard) for shard in document["shards"])
        return cls(**{name: document[name] for name in names}, shards=shards)


_PINNED = ("model", "preprocess", "engine", "settings", "data", "versions")


def read_manifest(folder: str | Path) -> Manifest | None:
    """Return a run's manifest, or None where there is none.

    Raises:
        AuditError: it is damaged, or of another version.
    """
    path = Path(folder) / MANIFEST
    try:
        document = json.loads(path.read_text("utf-8"))
        if document.get("format") == "seewhy-audit" and document["version"] != VERSION:
            raise _another_version(path, document["version"])
        return Manifest.from_json(document)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise AuditError(
            str(path),
            expected="the manifest of an audit",
            got=complaint(problem),
            fix="pass --restart to begin anew, or another --out",
        ) from problem


def _another_version(path: Path, version: object) -> AuditError:
    return AuditError(
        str(path),
        expected=f"version {VERSION}",
        got=f"version {version}",
        fix="update seewhy, or make the audit anew",
    )


def write_manifest(folder: str | Path, manifest: Manifest) -> None:
    """Write a run's manifest; whoever reads it meanwhile sees the old one or the new one.

    Raises:
        FileError: it cannot be written.
    """
    text = json.dumps(manifest.to_json(), indent=1, ensure_ascii=False) + "\n"
    write_whole(Path(folder) / MANIFEST, [text.encode("utf-8", "backslashreplace")], durable=True)


def check_same(folder: str | Path, begun: Manifest, asked: Manifest) -> None:
    """See that an audit that was begun is the one that is asked for.

    Raises:
        AuditError: it is not; the message says what differs.
    """
    was, now = _flat(begun.pinned), _flat(asked.pinned)
    for name in [*was, *(name for name in now if name not in was)]:
        if was.get(name) != now.get(name):
            raise AuditError(
                f"audit {folder}",
                expected=f"{name} {was.get(name)!r:.80}, as it was begun",
                got=f"{now.get(name)!r:.80}",
                fix="pass the same to go on, another --out, or --restart to begin anew",
            )


def _flat(pinned: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        f"{part} {name}": _as_json(value)
        for part, values in pinned.items()
        for name, value in values.items()
    }


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))
