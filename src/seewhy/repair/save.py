"""A repaired network on disk: a model folder, its account, and a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seewhy.audit.revisit import Revisit
from seewhy.files import write_whole
from seewhy.models.folder import find_folder, read_card, save_model
from seewhy.repair.make import Repair

ACCOUNT = "repair.json"


def document(repair: Repair) -> dict[str, Any]:
    """The account of a repair, and of all that was tried, as JSON can hold it."""
    return {
        "version": 1,
        **repair.account.to_json(),
        "tried": [each.to_json() for each in repair.tried],
    }


def write_account(folder: Path, repair: Repair) -> Path:
    """Write FOLDER/repair.json.

    Raises:
        FileError: it cannot be written.
    """
    text = json.dumps(document(repair), indent=1, allow_nan=False) + "\n"
    return write_whole(folder / ACCOUNT, [text.encode()])


def save_repaired(folder: Path, revisit: Revisit, repair: Repair) -> Path:
    """Write a model folder that `load_model` takes; net, class names and preprocessing stay.

    Raises:
        FileError: it cannot be written.
    """
    classifier = revisit.classifier
    known = find_folder(classifier.name)
    card = read_card(known) if known else None
    return save_model(
        folder,
        net=card.net if card else classifier.name,
        module=repair.module,
        num_classes=revisit.head.num_classes,
        class_names=classifier.class_names,
        preprocess=classifier.preprocess,
        gap=card.gap if card else None,
        trained={
            "repaired": repair.account.to_json(),
            "from": classifier.name,
            "before": card.trained if card else None,
        },
    )
