"""`revisit`: an audit's pictures through its network again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from tests.audit.materials import classifier, lay_out, picture

from seewhy.audit.local import Wish, run
from seewhy.audit.opened import open_audit
from seewhy.audit.revisit import Revisit, revisit
from seewhy.errors import AuditError, DataError, ImageError

COUNT = 7


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures of two classes."""
    return lay_out(tmp_path_factory.mktemp("pictures"), COUNT)


@pytest.fixture(scope="module")
def again(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Revisit:
    """An audit of them."""
    out = tmp_path_factory.mktemp("run")
    run(pictures, classifier(), out, Wish(batch_size=4, threads=1, engine="torch"))
    return revisit(open_audit(out), classifier())


def test_frames_become_what_the_network_was_given(again: Revisit, pictures: Path) -> None:
    rows = [5, 0, 3]
    made = again.inputs(again.frames(rows))
    for row, values in zip(rows, made, strict=True):
        image = PIL.Image.open(pictures / again.listing.ids[row]).convert("RGB")
        np.testing.assert_array_equal(values, again.classifier.preprocess(image)[0])


def test_the_network_says_again_what_the_audit_has_kept(again: Revisit) -> None:
    ran = again.run(again.inputs(again.frames(range(COUNT))), batch_size=3)
    assert ran.logits.shape == (COUNT, 5)
    assert ran.features.shape == (COUNT, 8, 4, 6)
    for row, logits in zip(again.audit, ran.logits, strict=True):
        kept = dict(zip(row["classes"], row["logits"], strict=True))
        for number, logit in kept.items():
            assert logits[number] == pytest.approx(logit, rel=1e-4, abs=1e-4)


def test_pooled_features_make_the_logits(again: Revisit) -> None:
    told: list[int] = []
    pooled = again.pooled([6, 1, 2], told.append)
    assert pooled.shape == (3, 8)
    assert pooled.dtype == np.float32
    assert sum(told) == 3
    ran = again.run(again.inputs(again.frames([6, 1, 2])))
    made = torch.from_numpy(pooled) @ again.weight.T + again.bias
    torch.testing.assert_close(made, ran.logits, rtol=1e-4, atol=1e-4)
    assert again.pooled([]).shape == (0, 8)


def test_the_weights_are_those_of_the_last_layer(again: Revisit) -> None:
    last = again.classifier.module.get_submodule("fc")
    torch.testing.assert_close(again.weight, last.get_parameter("weight").detach())
    torch.testing.assert_close(again.bias, last.get_parameter("bias").detach())


def test_another_network_is_refused(again: Revisit) -> None:
    other = classifier()
    with torch.no_grad():
        other.module.get_parameter("fc.bias")[0] += 1
    with pytest.raises(AuditError, match=r"expected the weights of tiny, .*, got others in tiny;"):
        revisit(again.audit, other)


def test_other_pictures_are_refused(again: Revisit, tmp_path: Path) -> None:
    other = lay_out(tmp_path, COUNT)
    moved = revisit(again.audit, classifier(), other)
    np.testing.assert_array_equal(moved.frames([1]), again.frames([1]))
    picture(0).save(other / "cat" / "-first.png")
    moved = revisit(again.audit, classifier(), other)
    with pytest.raises(DataError, match=r"expected .* in row 1, got another picture; make the"):
        moved.frames([1])


def test_a_damaged_picture_is_named(again: Revisit, tmp_path: Path) -> None:
    other = lay_out(tmp_path, COUNT)
    damaged = other / again.listing.ids[2]
    damaged.write_bytes(b"no picture")
    with pytest.raises(ImageError, match=rf"{damaged.name}: expected a picture that can be read"):
        revisit(again.audit, classifier(), other).pooled([1, 2])


@pytest.mark.parametrize("head", ["class-maps", "normalised", "pooled"])
def test_another_head_is_refused(head: str, pictures: Path, tmp_path: Path) -> None:
    net = classifier(head)
    run(pictures, net, tmp_path, Wish(batch_size=4, threads=1, engine="torch"))
    with pytest.raises(AuditError, match=r"ends in mean pooling and linear layers.*, got .*: "):
        revisit(open_audit(tmp_path), net)
