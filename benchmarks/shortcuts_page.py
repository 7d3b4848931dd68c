"""What the proving ground found, as docs/shortcuts.md: the part between the marks is made anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.planting import PLANTED

PAGE = Path(__file__).parents[1] / "docs" / "shortcuts.md"
BEGIN, END = "<!-- measured -->\n", "<!-- end -->\n"
WAYS = (
    "project",
    "head",
    "finetune",
    "project, random group",
    "true groups, head (oracle)",
    "JTT, head",
    "P-ClArC",
)

Told = dict[str, Any]


def write(home: Path) -> None:
    """Put the tables of all results that are there into the page."""
    results = [json.loads(path.read_text()) for path in sorted(home.glob("*/result.json"))]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(lines(results))
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n\n{END}{after}", encoding="utf-8")


def lines(results: Sequence[Told]) -> Iterator[str]:
    """The tables, as Markdown."""
    yield "### What it cost, and whether it was found"
    yield ""
    yield from _found(results)
    yield ""
    yield "### What repairs gave back"
    yield ""
    yield from _repaired(results)
    yield ""
    yield "### How long it took"
    yield ""
    yield from _seconds(results)


def _found(results: Sequence[Told]) -> Iterator[str]:
    heads = (
        "planted",
        "seeds",
        "decisions it turns",
        "right without",
        "right with it",
        "verdicts",
        "precision",
        "recall",
        "IoU",
        "border strip, precision / recall",
        "confirmed elsewhere",
    )
    yield from _header(heads)
    for name in PLANTED:
        of_name = [each for each in results if each["name"] == name]
        reasons = dict.fromkeys(told["reason"] for each in of_name for told in each["reasons"])
        for reason in reasons:
            yield _row(_of_reason(name, reason, of_name))
        if of_name and not reasons:
            confirmed = sum(len(each["confirmed"]) for each in of_name)
            yield _row([name, str(len(of_name)), *["-"] * 8, str(confirmed)])


def _of_reason(name: str, reason: str, results: Sequence[Told]) -> list[str]:
    told = [(each, one) for each in results for one in each["reasons"] if one["reason"] == reason]
    ones = [one for _, one in told]
    planted = {each.class_id for each in PLANTED[name]}
    return [
        name if reason == name else f"{name}: {reason}",
        str(len(ones)),
        *(_percent(one["harm"][key] for one in ones) for key in ("turned", "without", "carrying")),
        ", ".join(one["verdicts"][0] if one["verdicts"] else "not found" for one in ones),
        _number(one["flagged"]["precision"] for one in ones),
        _number(one["flagged"]["recall"] for one in ones),
        _number(one["iou"] for one in ones),
        " / ".join(
            _number(one["finders"]["border strip"][key] for one in ones)
            for key in ("precision", "recall")
        ),
        str(sum(_elsewhere(each, planted) for each, _ in told)),
    ]


def _elsewhere(result: Told, planted: set[int]) -> int:
    from benchmarks.planting import CLASSES

    names = {CLASSES[number] for number in planted}
    return sum(each["class"] not in names for each in result["confirmed"])


def _repaired(results: Sequence[Told]) -> Iterator[str]:
    untaught = {each["seed"]: each["untaught"] for each in results if each.get("untaught")}
    heads = (
        "planted",
        "means",
        "right with it",
        "recovered",
        "of what is not hidden",
        "clean, points",
        "worst group",
        "of that",
        "seconds",
    )
    yield from _header(heads)
    for name in PLANTED:
        told = [
            (each["seed"], one)
            for each in results
            for one in each["reasons"]
            if each["name"] == name
        ]
        for reason in dict.fromkeys(one["reason"] for _, one in told):
            ones = [(seed, one) for seed, one in told if one["reason"] == reason]
            bounds = [untaught.get(seed, {}).get(reason) for seed, _ in ones]
            title = name if reason == name else f"{name}: {reason}"
            yield from _ways(title, [one for _, one in ones], bounds)


def _ways(title: str, ones: Sequence[Told], bounds: Sequence[Told | None]) -> Iterator[str]:
    before = [one["harm"] for one in ones]
    yield _row(
        [
            title,
            "none",
            _of(before, "carrying"),
            "0 %",
            "0 %",
            "0.0",
            _of(before, "worst"),
            "0 %",
            "-",
        ]
    )
    for way in WAYS:
        done = [
            (one["harm"], bound, each)
            for one, bound in zip(ones, bounds, strict=True)
            for each in one["repairs"]
            if each["how"] == way
        ]
        if done:
            after = [each["harm"] for _, _, each in done]
            lost = [100 * (each["harm"]["clean"] - old["clean"]) for old, _, each in done]
            yield _row(
                [
                    "",
                    way,
                    _of(after, "carrying"),
                    _percent(each["recovered"] for _, _, each in done),
                    _percent(_not_hidden(*each) for each in done if each[1] is not None),
                    _spread(lost, lambda value: f"{value:+.1f}"),
                    _of(after, "worst"),
                    _percent(_of_worst(*each) for each in done if each[1] is not None),
                    _spread([each["seconds"] for _, _, each in done], lambda value: f"{value:.0f}"),
                ]
            )
    known = [bound for bound in bounds if bound is not None]
    yield _row(
        [
            "",
            "*trained without it*",
            _of(known, "carrying"),
            "-",
            "-",
            "-",
            _of(known, "worst"),
            "100 %",
            "-",
        ]
    )


def _not_hidden(before: Told, bound: Told | None, repaired: Told) -> float:
    """What is back of the cost, less what the reason hides from a network never taught it."""
    hidden = float(bound["without"] - bound["carrying"]) if bound else 0.0
    was, now = (float(each["carrying"]) for each in (before, repaired["harm"]))
    return (now - was) / (float(before["without"]) - hidden - was)


def _of_worst(before: Told, bound: Told | None, repaired: Told) -> float:
    """Of the way to the worst group of that network."""
    was, now = (float(each["worst"]) for each in (before, repaired["harm"]))
    return (now - was) / (bound["worst"] - was) if bound else float("nan")


def _of(harms: Sequence[Told], key: str) -> str:
    return _percent(each[key] for each in harms)


def _seconds(results: Sequence[Told]) -> Iterator[str]:
    yield from _header(("step", "seconds, median", "most"))
    for step in ("find", "prove"):
        took = [each["seconds"][step] for each in results]
        if took:
            yield _row([step, f"{median(took):.0f}", f"{max(took):.0f}"])


def _header(names: Sequence[str]) -> Iterator[str]:
    yield _row(names)
    yield _row(["---"] * len(names))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(values: Iterable[float]) -> str:
    return _spread(list(values), lambda value: f"{100 * value:.1f} %")


def _number(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None and value == value]
    return _spread(known, lambda value: f"{value:.2f}")


def _spread(values: Sequence[float], said: Callable[[float], str]) -> str:
    """The median, and the range where it is one."""
    if not values:
        return "-"
    low, middle, high = said(min(values)), said(median(values)), said(max(values))
    return middle if low == high else f"{middle} ({low} to {high})"
