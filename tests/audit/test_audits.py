from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.audit.materials import CLASSES, HEADS, classifier, content, lay_out, picture

import seewhy
from seewhy import Preprocess, localize, open_audit
from seewhy.audit.columns import halves
from seewhy.audit.explaining import Settings, explain_rows, normalised
from seewhy.audit.local import Watching, Wish, explainer_of, matched, ranges, run
from seewhy.audit.opened import Audit
from seewhy.audit.sources import list_pictures
from seewhy.errors import AuditError, DataError, InputError
from seewhy.models import Classifier

SMALL = Wish(engine="torch", top=2, batch_size=3, rows_per_shard=4, threads=2)


def audited(data: Path, out: Path, model: Classifier | None = None, **wish: Any) -> Audit:
    run(data, model or classifier(), out, replace(SMALL, **wish))
    return open_audit(out)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="module")
def audit(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return audited(pictures, tmp_path_factory.mktemp("out") / "run")


def test_it_is_whole(audit: Audit) -> None:
    assert len(audit) == 10
    assert audit.manifest.complete
    assert [shard.rows for shard in audit.manifest.shards] == [4, 4, 2]
    assert audit.manifest.counts == {"rows": 10, "failed": 0, "inexact": 0}
    assert audit.table(["row"])["row"].to_pylist() == list(range(10))
    assert len(set(audit.table(["id"])["id"].to_pylist())) == 10
    audit.verify()


def test_every_row_is_what_explain_says(audit: Audit, pictures: Path) -> None:
    model = classifier()
    for row in audit:
        classes = row["classes"]
        expected = seewhy.explain(model, row["path"], classes)
        own = {name: getattr(expected, name)[0].numpy() for name in ("target", "bias", "maps")}
        np.testing.assert_allclose(row["logits"], own["target"], atol=2e-5)
        np.testing.assert_allclose(row["bias"], own["bias"], atol=1e-5)
        maps = audit.maps(row)
        np.testing.assert_allclose(maps, own["maps"], atol=np.abs(own["maps"]).max() / 2**10)
        chosen = expected.probabilities[0, classes].numpy()
        np.testing.assert_allclose(row["probabilities"], chosen, atol=1e-6)
        assert max(row["certificate"]) <= 1e-5
        boxes = localize.boxes(own["maps"][0], components="all", size=(24, 16))
        geometry = expected.geometry[0]
        assert geometry is not None
        found = localize.to_original(boxes, geometry)
        np.testing.assert_allclose(np.reshape(row["predicted_boxes"], (-1, 4)), found, atol=1e-3)
        assert (row["width"], row["height"]) == geometry.original


def test_classes_are_the_most_probable_ones_and_the_label(audit: Audit) -> None:
    model = classifier()
    lengths = set()
    for row in audit:
        every = seewhy.explain(model, row["path"], "all")
        best = every.logits[0].topk(2)
        expected = best.indices.tolist()
        expected += [row["label"]] if row["label"] not in expected else []
        assert row["classes"] == expected
        lengths.add(len(expected))
        assert row["predicted"] == expected[0]
        assert row["predicted_name"] == CLASSES[expected[0]]
        assert row["label_name"] == CLASSES[row["label"]] == row["id"].partition("/")[0]
        assert row["correct"] == (row["predicted"] == row["label"])
        assert row["margin"] == pytest.approx(float(best.values[0] - best.values[1]), abs=1e-5)
    assert lengths == {2, 3}


def test_a_descriptor_sums_to_the_logit_less_its_bias(audit: Audit) -> None:
    for row in audit:
        descriptor = np.asarray(row["descriptor"], np.float64) * row["descriptor_scale"]
        assert len(descriptor) == 8
        bound = 8 * row["descriptor_scale"] / 2**12
        assert descriptor.sum() == pytest.approx(row["logits"][0] - row["bias"][0], abs=bound)


def test_the_error_of_the_stored_maps_is_that_of_what_is_read_back(audit: Audit) -> None:
    model = classifier()
    for row in audit:
        largest = float(seewhy.explain(model, row["path"]).logits.abs().max())
        total = audit.maps(row).astype(np.float64).mean((1, 2)) + row["bias"]
        expected = np.abs(total - row["logits"]) / largest
        np.testing.assert_allclose(row["map_error"], expected, atol=1e-7)
        assert max(row["map_error"]) < 1e-3


@pytest.mark.parametrize("head", HEADS)
def test_every_kind_of_head(head: str, pictures: Path, tmp_path: Path) -> None:
    model = classifier(head)
    audit = audited(pictures, tmp_path / "run", model, limit=5)
    assert audit.manifest.model["kind"] == head
    for row in audit:
        expected = seewhy.explain(model, row["path"], row["classes"], strict=False)
        own = expected.maps[0].numpy()
        np.testing.assert_allclose(audit.maps(row), own, atol=np.abs(own).max() / 2**10)
        assert (row["descriptor"] is None) == (head not in ("linear", "normalised"))


def test_numbers_do_not_depend_on_how_many_workers_there_are(
    audit: Audit, pictures: Path, tmp_path: Path
) -> None:
    for threads in (1, 3):
        audited(pictures, tmp_path / str(threads), threads=threads)
        assert content(tmp_path / str(threads)) == content(audit.folder)


def test_rows_of_a_shard_are_a_pure_function(audit: Audit, pictures: Path) -> None:
    model = classifier()
    made = explainer_of(model, "torch", model.example(3), top=2)
    listing = matched(list_pictures(pictures), made)
    settings = Settings(top=2, batch_size=3, rows_per_shard=4)
    table = explain_rows(listing, ranges(audit.manifest)[1], made, settings)
    assert table.equals(audit.table().slice(4, 4).combine_chunks().cast(table.schema))


def test_batches_never_cross_shards() -> None:
    settings = Settings(batch_size=3, rows_per_shard=4)
    assert [list(rows) for rows in settings.batches(range(4, 8))] == [[4, 5, 6], [7]]


# Pictures that fail


def broken(root: Path) -> Path:
    lay_out(root)
    (root / "cat" / "0000.png").write_bytes(b"\x89PNG\r\n")
    (root / "dog" / "0001.jpg").write_text("no picture")
    return root


def test_a_failure_is_a_row(tmp_path: Path) -> None:
    lines: list[str] = []
    data = broken(tmp_path / "data")
    manifest = run(data, classifier(), tmp_path / "run", SMALL, Watching(failed=lines.append))
    assert manifest.counts == {"rows": 10, "failed": 2, "inexact": 0}
    rows = {row["id"]: row for row in open_audit(tmp_path / "run")}
    failed = rows["dog/0001.jpg"]
    assert failed["error"] == (
        f"{data}/dog/0001.jpg: expected a picture, got text that begins 'no picture'; "
        "check where it came from"
    )
    assert [row["error"] for row in rows.values() if row["error"]] == lines
    kept = {"id", "row", "path", "label", "label_name", "error"}
    assert {name for name, value in failed.items() if value is not None} == kept


def test_what_fails_does_not_change_the_others(audit: Audit, tmp_path: Path) -> None:
    other = audited(broken(tmp_path / "data"), tmp_path / "run")
    for mine, whole in zip(other, audit, strict=True):
        if mine["error"] is None:
            assert {**mine, "path": ""} == {**whole, "path": ""}


def test_a_network_that_gives_no_numbers_fails_every_row(pictures: Path, tmp_path: Path) -> None:
    model = classifier()
    run(pictures, model, tmp_path / "good", SMALL)
    audit = audited(pictures, tmp_path / "run", _poisoned(model))
    assert audit.manifest.counts["failed"] == 10
    row = audit.row(0)
    assert "expected finite logits and maps, got NaN or infinity" in row["error"]
    assert row["width"] == 30
    assert row["maps"] is None


def _poisoned(model: Classifier) -> Classifier:
    """Its head is found while all is well; what it gives then is not a number."""
    from seewhy import heads

    heads.cached_head(model.module, model.example())
    with torch.no_grad():
        next(iter(model.module.parameters())).fill_(float("nan"))
    return model


# Going on


def test_a_lost_shard_is_made_again(audit: Audit, pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    audited(pictures, folder)
    (folder / "shards" / "00001.parquet").unlink()
    audited(pictures, folder)
    assert content(folder) == content(audit.folder)


def test_a_store_without_its_last_lines_is_gone_on_with(
    audit: Audit, pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    audited(pictures, folder)
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "shards": document["shards"][:1], "complete": False}))
    (folder / "shards" / "00002.parquet").write_bytes(b"PAR1")
    done: list[int] = []
    run(pictures, classifier(), folder, SMALL, Watching(advance=done.append))
    assert sum(done) == 2  # the second shard is recognised, the third is not
    assert content(folder) == content(audit.folder)
    assert json.loads(path.read_text()) == document


def test_it_may_be_begun_anew(pictures: Path, tmp_path: Path) -> None:
    audited(pictures, tmp_path / "run")
    again = audited(pictures, tmp_path / "run", top=1, restart=True)
    assert again.manifest.settings["top"] == 1
    assert {len(row["classes"]) for row in again} <= {1, 2}


def _other_weights() -> Classifier:
    model = classifier()
    with torch.no_grad():
        next(iter(model.module.parameters()))[0, 0, 0, 0] += 1e-6
    return model


@pytest.mark.parametrize(
    ("model", "wish", "named"),
    [
        (_other_weights, {}, "model fingerprint"),
        (lambda: classifier("normalised"), {}, "model head"),
        (lambda: classifier(preprocess=Preprocess(size=(24, 16))), {}, "preprocess crop"),
        (classifier, {"top": 3}, "settings top"),
        (classifier, {"batch_size": 2}, "settings batch_size"),
        (classifier, {"limit": 9}, "data count"),
        (classifier, {"precision": "bfloat16"}, "model tolerance"),
        (classifier, {"labels": "never"}, "data fingerprint"),
    ],
)
def test_what_changed_is_refused(
    model: Any, wish: dict[str, Any], named: str, pictures: Path, tmp_path: Path
) -> None:
    audited(pictures, tmp_path / "run")
    before = content(tmp_path / "run")
    with pytest.raises(AuditError, match=rf"expected {named} .*, as it was begun, got"):
        audited(pictures, tmp_path / "run", model(), **wish)
    assert content(tmp_path / "run") == before


def test_changed_data_are_refused(tmp_path: Path) -> None:
    data = lay_out(tmp_path / "data")
    audited(data, tmp_path / "run")
    picture(99).save(data / "dog" / "0001.jpg")
    with pytest.raises(AuditError, match="expected data fingerprint"):
        audited(data, tmp_path / "run")


# Models of other tasks


def test_yes_or_no(pictures: Path, tmp_path: Path) -> None:
    model = classifier(outputs=1, class_names=("no", "yes"))
    audit = audited(pictures, tmp_path / "run", model)
    for row in audit:
        assert sorted(row["classes"]) == [0, 1]
        assert row["predicted_name"] == ("no", "yes")[row["predicted"]]
        assert row["margin"] == pytest.approx(2 * abs(row["logits"][0]), rel=1e-5)
        assert sum(row["probabilities"]) == pytest.approx(1)
        assert max(row["certificate"]) <= 1e-5


def test_a_regression_is_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a classifier.*got a regression"):
        audited(pictures, tmp_path / "run", classifier(task="regression"))


def test_folders_that_are_no_classes_are_no_labels(pictures: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    model = classifier(class_names=("a", "b", "c", "d", "e"))
    run(pictures, model, tmp_path / "run", SMALL, Watching(note=notes.append))
    assert notes == [f"no labels: the folders of {pictures} are no classes of tiny"]
    assert set(open_audit(tmp_path / "run").table(["label"])["label"].to_pylist()) == {None}
    with pytest.raises(DataError, match="expected classes of tiny"):
        audited(pictures, tmp_path / "other", model, labels="always")


# Parts


def test_how_the_engines_did_is_told_once_and_an_engine_by_name_is_not_tried(
    pictures: Path, tmp_path: Path
) -> None:
    told: dict[str, list[str]] = {"auto": [], "torch": []}
    for engine, lines in told.items():
        wish = replace(SMALL, engine=engine)
        run(pictures, classifier(), tmp_path / engine, wish, Watching(note=lines.append))
    trials = [line for line in told["auto"] if "pictures/s" in line or "left out" in line]
    assert [line.partition(":")[0] for line in trials].count("torch") == 1
    assert len(trials) == len({line.partition(":")[0] for line in trials}) > 1
    assert not any("pictures/s" in line for line in told["torch"])


def test_pictures_are_normalised_as_one_by_one() -> None:
    preprocess = Preprocess(size=(32, 24), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.1))
    images = [picture(number) for number in range(5)]
    frames = np.stack([np.asarray(preprocess.frame(image)[0]) for image in images])
    expected = np.stack([preprocess(image)[0] for image in images])
    assert normalised(frames, preprocess).numpy().tobytes("C") == expected.tobytes()


@pytest.mark.parametrize("unit", [1e-30, 1e-3, 1.0, 1e6, 3e37])
def test_half_precision_serves_every_unit(unit: float) -> None:
    values = np.array([[0.0, -1.5, 0.7], [0.0, 0.0, 0.0], [3.0, 1e-3, 2.0]], np.float32)
    values *= np.float32(unit)
    stored, scale = halves(values)
    assert np.all(np.frexp(scale)[0] == 0.5)
    back = stored.astype(np.float64) * scale[:, None]
    largest = np.abs(values).max(1, keepdims=True).astype(np.float64)
    assert np.all(np.abs(back - values) <= largest / 2**11)
    assert not np.any(np.isinf(stored))


@pytest.mark.parametrize("name", ["top", "threads", "batch_size", "rows_per_shard", "limit"])
def test_numbers_that_make_no_sense_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: expected 1 or more, got 0"):
        replace(Wish(), **{name: 0})  # type: ignore[arg-type]


def test_the_usual_batch_fits_the_pictures() -> None:
    sizes = {(32, 32): 256, (224, 224): 32, (384, 384): 8, (4000, 4000): 1}
    for size, batch in sizes.items():
        assert Wish().settings(Preprocess(size=size)).batch_size == batch
