"""Questions to the store of an audit, in SQL: DuckDB over its Parquet files, for reading only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seewhy.audit.opened import Audit, open_audit
from seewhy.errors import AuditError, InputError, MissingExtraError, SeewhyError

VIEW = "audit"

Value = Any  # None, bool, int, float, str, or a list of these


@dataclass(frozen=True)
class Answer:
    """What a question found.

    Attributes:
        columns: their names.
        rows: a tuple of values each, in the order asked for.
        sql: the question.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    sql: str

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Value]]:
        """Each row as a dict."""
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)


def query(run: str | Path | Audit, sql: str, parameters: Sequence[Value] = ()) -> Answer:
    """Ask the store of an audit a question.

    The view `audit` has a row for each picture and the columns of docs/audit.md. Nothing can be
    written, and no other file be read.

    Args:
        run: the audit's folder, finished or not, or what `open_audit` gave.
        sql: one SELECT, as DuckDB understands it.
        parameters: what stands for each `?` in it.

    Raises:
        AuditError: there is no such audit, or it has no rows yet.
        InputError: DuckDB does not understand the question, or it is not one.
        FileError: a shard is missing or damaged.
        MissingExtraError: DuckDB is not installed.
    """
    audit = run if isinstance(run, Audit) else open_audit(run)
    duckdb = _duckdb()
    try:
        _require_question(duckdb, sql)
        with connect(audit) as connection:
            found = connection.execute(sql, list(parameters))
            columns = tuple(each[0] for each in found.description)
            return Answer(columns, tuple(found.fetchall()), sql)
    except duckdb.Error as problem:
        audit.check()
        raise _refusal(problem) from problem


def connect(audit: Audit) -> Any:
    """A DuckDB connection with the view `audit`, locked: it reads the shards and nothing else.

    Raises:
        AuditError: it has no rows yet.
        MissingExtraError: DuckDB is not installed.
    """
    if not audit.files:
        raise AuditError(
            f"audit {audit.folder}",
            expected="a row at least",
            got="none yet",
            fix="let it go on: run the same seewhy audit again",
        )
    files = _list([str(path.resolve()) for path in audit.files])
    connection = _duckdb().connect(":memory:")
    connection.execute(f"SET allowed_paths = {files}")
    connection.execute(f"CREATE VIEW {VIEW} AS FROM read_parquet({files})")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _list(paths: Sequence[str]) -> str:
    quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    return f"[{quoted}]"


def _require_question(duckdb: Any, sql: str) -> None:
    kinds = [statement.type for statement in duckdb.extract_statements(sql)]
    if kinds != [duckdb.StatementType.SELECT]:
        raise InputError(
            "SQL",
            expected=f"one SELECT from {VIEW}",
            got="nothing" if not kinds else ", then ".join(kind.name for kind in kinds),
            fix=f'ask for example: "SELECT path, border FROM {VIEW} ORDER BY border DESC LIMIT 9"',  # noqa: S608
        )


def _refusal(problem: Exception) -> SeewhyError:
    """What DuckDB says, without the picture of the place that it draws below."""
    said, _, _ = str(problem).partition("\n\nLINE")
    return InputError(
        "SQL",
        expected="a question that DuckDB understands",
        got=" ".join(said.split()).rstrip("."),
        fix=f"see docs/audit.md for the columns, or ask: DESCRIBE {VIEW}",
    )


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError as problem:
        raise MissingExtraError(
            "query",
            expected="the package duckdb, to ask questions in SQL",
            got="none installed",
            fix="pip install 'seewhy[audit]'",
        ) from problem
    return duckdb
