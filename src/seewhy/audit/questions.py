"""Questions that are always asked: each a name, what it finds, and the SQL that finds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from seewhy.audit.opened import Audit
from seewhy.audit.query import Answer, Value, query
from seewhy.classes import class_id
from seewhy.errors import AuditError, InputError
from seewhy.wording import near_or

USUAL_LIMIT = 20
EDGE = 0.5  # of the evidence: "mostly at the edge" is more than this


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        finds: in words, what comes first.
        columns: what is shown of each picture found, in SQL.
        where: which pictures are asked about.
        order: which come first.
        needs: a column that has to be known of some picture, and what it takes to know it.
    """

    finds: str
    columns: str
    where: str
    order: str
    needs: tuple[str, str] | None = None

    def sql(self, *, of_class: bool, limit: int) -> str:
        """The whole question; with `of_class` it has a `?` for the predicted class."""
        one = " AND predicted = ?" if of_class else ""
        return (
            f"SELECT row, path, {self.columns}\nFROM audit\n"
            f"WHERE {self.where}{one}\nORDER BY {self.order}, row\nLIMIT {int(limit)}"
        )


_SAID = "predicted_name AS predicted, round(probabilities[1], 3) AS probability"
_TRUE = "label_name AS label"
_LABELS = ("correct", "pictures with labels that are classes of the model")
_BOXES = ("inside", "pictures with the object's boxes")

QUESTIONS: Mapping[str, Question] = {
    "worst": Question(
        "the most confident mistakes",
        f"{_TRUE}, {_SAID}, round(margin, 2) AS margin, round(border, 3) AS border",
        "NOT correct",
        "probabilities[1] DESC",
        _LABELS,
    ),
    "narrow": Question(
        "the closest calls",
        f"{_TRUE}, {_SAID}, round(margin, 3) AS margin",
        "margin IS NOT NULL",
        "margin",
    ),
    "border": Question(
        f"more than {EDGE:.0%} of the evidence in the outer 10 % at the edges",
        f"{_TRUE}, {_SAID}, round(border, 3) AS border, round(area, 3) AS area",
        f"border > {EDGE}",
        "border DESC",
    ),
    "outside": Question(
        "the least evidence inside the object's boxes",
        f"{_TRUE}, {_SAID}, round(1 - inside, 3) AS outside",
        "inside IS NOT NULL",
        "inside",
        _BOXES,
    ),
    "failed": Question("pictures that could not be explained", "error", "error IS NOT NULL", "row"),
}

_PER_CLASS = """SELECT coalesce({name}, 'class ' || {group}) AS class, count(*) AS pictures,
  round(avg(correct::INT), 4) AS "right", round(avg(probabilities[1]), 3) AS probability,
  round(median(margin), 2) AS margin, round(avg(area), 3) AS area,
  round(avg(concentration), 3) AS concentration, round(avg(border), 3) AS border,
  round(avg(inside), 3) AS inside
FROM audit
WHERE error IS NULL AND {group} IS NOT NULL
GROUP BY {group}, {name}
ORDER BY "right" NULLS LAST, {group}"""


def ask(
    audit: Audit, name: str, *, of_class: int | str | None = None, limit: int = USUAL_LIMIT
) -> Answer:
    """Ask one of `QUESTIONS`.

    Args:
        audit: what `open_audit` gave.
        name: of the question.
        of_class: only pictures predicted as this class, its id or name.
        limit: how many pictures at most.

    Raises:
        InputError: there is no such question.
        ClassError: there is no such class.
        AuditError: the audit knows nothing of what the question is about: no labels, no boxes.
        FileError: a shard is missing or damaged.
    """
    if name not in QUESTIONS:
        raise InputError(
            "question",
            expected=f"one of {', '.join(QUESTIONS)}",
            got=repr(name),
            fix=near_or(name, QUESTIONS, "ask in SQL"),
        )
    question, chosen = QUESTIONS[name], _chosen(audit, of_class)
    answer = query(audit, question.sql(of_class=bool(chosen), limit=limit), chosen)
    if not answer.rows and question.needs:
        _require_known(audit, name, *question.needs)
    return answer


def per_class(audit: Audit) -> Answer:
    """How many pictures each class has, how often they are right, and where their evidence lies.

    By true class, the worst first; where nothing has a label, by predicted class. `right` is the
    share of correct predictions; the rest are means (of `margin` the median) over its pictures,
    null where they are unknown.

    Raises:
        FileError: a shard is missing or damaged.
    """
    has_labels = _any(audit, "correct")
    group, name = ("label", "label_name") if has_labels else ("predicted", "predicted_name")
    return query(audit, _PER_CLASS.format(group=group, name=name))


def _chosen(audit: Audit, of_class: int | str | None) -> tuple[Value, ...]:
    if of_class is None:
        return ()
    return (class_id(of_class, audit.class_names, audit.manifest.model["num_classes"]),)


def _any(audit: Audit, column: str) -> bool:
    # S608: the name of a column is one of this file's
    counted = query(audit, f"SELECT count({column}) FROM audit")  # noqa: S608
    return bool(counted.rows[0][0])


def _require_known(audit: Audit, name: str, column: str, what: str) -> None:
    if not _any(audit, column):
        raise AuditError(
            f"--{name}",
            expected=what,
            got=f"none in {audit.folder}",
            fix="audit data that has them, or ask another question",
        )
