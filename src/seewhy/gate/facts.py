"""What rules are asked of: the columns of an audit as arrays, each read when it is first wanted."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seewhy.audit.findings import Findings, read_findings
from seewhy.audit.opened import Audit, open_audit
from seewhy.audit.reading import Floats, Numbers, as_floats, as_ids, first_of, name_of
from seewhy.classes import class_id
from seewhy.gate.diff import Diff, diff


@dataclass(frozen=True, eq=False)
class Facts:
    """An audit, and what it is compared with.

    Attributes:
        audit: a finished one.
        beside: the folder that other audits' paths count from.
    """

    audit: Audit
    beside: Path = Path()

    def numbers(self, column: str) -> Floats:
        """A column as float64, (rows,); NaN where it is null."""
        return as_floats(self._column(column))

    def ids(self, column: str) -> Numbers:
        """A column of class numbers, (rows,); -1 where it is null."""
        return as_ids(self._column(column))

    @functools.cached_property
    def probability(self) -> Floats:
        """Of the predicted class, (rows,); NaN where there is none."""
        return first_of(self._column("probabilities"))

    @functools.cached_property
    def findings(self) -> Findings:
        """What was found in it.

        Raises:
            AuditError: nobody looked, or in another audit.
        """
        return read_findings(self.audit.folder, self.audit.manifest.fingerprint)

    def diff(self, against: str) -> Diff:
        """What changed since another audit.

        Raises:
            AuditError: there is none, or it is of other pictures.
        """
        if against not in self._diffs:
            other = open_audit(self.beside / Path(against).expanduser())
            self._diffs[against] = diff(other, self.audit)
        return self._diffs[against]

    @functools.cached_property
    def _diffs(self) -> dict[str, Diff]:
        return {}

    def class_number(self, wanted: str) -> int:
        """The number of a class, by its name or number.

        Raises:
            ClassError: there is no such class.
        """
        return class_id(wanted, self.audit.class_names, self.audit.manifest.model["num_classes"])

    def class_name(self, number: int) -> str:
        """The name of a class."""
        return name_of(self.audit, number)

    def id_of(self, row: int) -> str:
        """What a picture is called."""
        return str(self.audit.row(row, ["id"])["id"])

    def _column(self, name: str) -> Any:
        return self.audit.table([name])[name].combine_chunks()
