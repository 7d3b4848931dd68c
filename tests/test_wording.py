from __future__ import annotations

import pytest

from seewhy.wording import complaint, first_few, near, near_or


def test_near_names_come_best_first_in_their_own_case() -> None:
    assert near("RESNET18", ["vgg16", "ResNet180", "resnet18", "ResNet50"])[:2] == [
        "resnet18",
        "ResNet180",
    ]
    assert near("zebra", ["vgg16", "alexnet"]) == []


def test_a_fix_offers_what_is_near() -> None:
    assert near_or("timmm", ["timm", "hf"], "else") == "did you mean timm?"
    assert near_or("zebra", ["timm", "hf"], "else") == "else"


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (ValueError("first\nsecond"), "ValueError: first"),
        (ValueError(), "ValueError"),
        (ValueError("\n  late  \n"), "ValueError: late"),
        (FileNotFoundError(2, "No such file or directory", "x"), "no such file or directory"),
        (IsADirectoryError(21, "Is a directory", "x"), "a folder"),
        (OSError("plain"), "OSError: plain"),
        (ValueError("x" * 500), "ValueError: " + "x" * 147 + "…"),
    ],
)
def test_complaints_are_one_short_line(problem: Exception, text: str) -> None:
    assert complaint(problem) == text


def test_the_first_few() -> None:
    assert first_few(["a"]) == "a"
    assert first_few("abc") == "a, b, c"
    assert first_few("abcdefg") == "a, b, c and 4 more"
