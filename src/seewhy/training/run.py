"""train: from a net's name and a data set to a folder that `load_model` loads."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from seewhy._version import __version__
from seewhy.datasets import Dataset, Pixels, Split
from seewhy.datasets.memory import fits_in_memory
from seewhy.datasets.stratify import stratified
from seewhy.errors import DataError, InputError
from seewhy.files import writable_folder
from seewhy.models import Classifier
from seewhy.models.folder import WEIGHTS, save_model
from seewhy.training import state
from seewhy.training.augment import augmentation
from seewhy.training.draws import seed_of
from seewhy.training.evaluate import accuracy, evaluate
from seewhy.training.feed import Disk, Feed, Memory, Source, Timetable
from seewhy.training.loop import Learner, Loop, Watch
from seewhy.training.metrics import Diary
from seewhy.training.optimise import Average, OneCycle, decay_over, optimiser
from seewhy.training.processes import Processes, here
from seewhy.training.recipe import Recipe
from seewhy.training.start import Start, start

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Attributes:
        folder: a model that `load_model` loads.
        account: how it was trained: recipe, data, machine, seconds.
        test: how well it does on the test part, as `Evaluation.account` has it.
        is_new: whether this call trained it; it may have been finished before.
    """

    folder: Path
    account: Mapping[str, Any]
    test: Mapping[str, Any]
    is_new: bool


def train(
    net: str,
    data: Dataset,
    out: str | Path,
    recipe: Recipe | None = None,
    *,
    init: bool = False,
    gap: bool = False,
    device: str | torch.device = "cpu",
    checkpoint_every: float = 60.0,
    restart: bool = False,
    watch: Watch | None = None,
    tell: Tell | None = None,
) -> Result:
    """Train a network, or go on where an interrupted run stopped.

    Killed at any moment, the same call goes on, and ends with the weights of an undisturbed run on
    the same machine with as many threads. The test part is looked at once, at the end.

    Args:
        net: a net's name such as `resnet20`, or what else `load_model` takes.
        data: what `load_dataset` returned.
        out: the folder of the run; the model, its metrics and checkpoints go there.
        recipe: how it is trained.
        init: start from the trained weights of `net`.
        gap: replace its head by global average pooling and a linear layer first; with `init`.
        device: where to train.
        checkpoint_every: seconds between checkpoints; there is one after each epoch, too.
        restart: forget an earlier run in this folder.
        watch: told how far it is.
        tell: told in words what is worth knowing.

    Raises:
        InputError: an argument makes no sense.
        DataError: the data cannot be used.
        ModelError: the network cannot be had.
        TrainingError: the loss is not finite, or the folder has another run.
        FileError: a file cannot be read or written.
        Stopped: by Ctrl-C; a checkpoint is saved.
    """
    recipe, out, processes = recipe or Recipe(), Path(out), here()
    say = tell if tell and processes.is_first else lambda _line: None
    _check(recipe, data, processes, init=init, gap=gap, every=checkpoint_every)
    asked = {
        "net": net,
        "init": init,
        "gap": gap,
        "processes": processes.world,
        "data": fingerprint(data),
        **recipe.account(),
    }
    with state.locked(writable_folder(out)) if processes.is_first else nullcontext():
        if restart and processes.is_first:
            state.forget(out)
        processes.wait()
        begun = state.read_run(out)
        if begun:
            state.check_same(out, begun["asked"], asked)
        if begun and begun.get("result"):
            say(f"{out} is finished; --restart trains it again")
            return Result(out, begun["account"], begun["result"], is_new=False)
        run = _Run(net, data, out, recipe, processes, torch.device(device), asked, say)
        return run.train(begun, init=init, gap=gap, every=checkpoint_every, watch=watch)


def fingerprint(data: Dataset) -> str:
    """Return what tells data sets apart: names and number of classes, and the labels in order."""
    digest = hashlib.sha256("\n".join(data.class_names).encode())
    for split in (data.train, data.test):
        digest.update(split.labels.tobytes())
    return f"{data.name}, {len(data.train)} + {len(data.test)} pictures, {digest.hexdigest()[:16]}"


@dataclass(frozen=True)
class _Run:
    """One call of `train`, checked; see there."""

    net: str
    data: Dataset
    out: Path
    recipe: Recipe
    processes: Processes
    device: torch.device
    asked: Mapping[str, Any]
    say: Tell

    def train(
        self,
        begun: Mapping[str, Any] | None,
        *,
        init: bool,
        gap: bool,
        every: float,
        watch: Watch | None,
    ) -> Result:
        begins = start(
            self.net, len(self.data.class_names), seed=self.recipe.seed, init=init, gap=gap
        )
        if begins.account:
            self.say(begins.account)
        stay, aside = self._parts()
        source = self._source(stay, begins, begun)
        settled = self._settled(begins, source.count, begun)
        document = begun or {
            "asked": self.asked,
            "settled": settled.account(),
            "in_memory": isinstance(source, Memory),
            "machine": machine(self.device),
        }
        self._note_differences(document["machine"])
        if self.processes.is_first and not begun:
            state.write_run(self.out, document)
        held_out = aside.load(begins.preprocess) if aside is not None else None
        learner = self._learner(begins, settled, source.count)
        loop = self._loop(learner, source, held_out, every=every, watch=watch)
        with torch.random.fork_rng():
            loop.run()
        return self._finish(begins, learner, loop, source, document)

    def _parts(self) -> tuple[Split, Split | None]:
        """What is trained with, and what is held out."""
        share, train = self.recipe.validation, self.data.train
        if not share:
            return train, None
        seed = seed_of(self.recipe.seed, "validation")
        stay, aside = stratified(train.labels, share, seed)
        return train.take("train", stay), train.take("validation", aside)

    def _source(self, split: Split, begins: Start, begun: Mapping[str, Any] | None) -> Source:
        fits = fits_in_memory(split.nbytes(begins.preprocess))
        if begun["in_memory"] if begun else fits:
            return Memory(split.load(begins.preprocess))
        return Disk(split, begins.preprocess)

    def _settled(self, begins: Start, count: int, begun: Mapping[str, Any] | None) -> Recipe:
        if begun:
            return Recipe(**begun["settled"])
        return self.recipe.settled(
            begins.module, pictures=count, device=self.device, is_trained=begins.is_trained
        )

    def _note_differences(self, begun_on: Mapping[str, Any]) -> None:
        now = machine(self.device)
        differing = [name for name in now if now[name] != begun_on.get(name)]
        if differing:
            changes = ", ".join(
                f"{each} {begun_on.get(each)}, now {now[each]}" for each in differing
            )
            self.say(f"begun with {changes}: the weights may differ in their last digits")

    def _learner(self, begins: Start, settled: Recipe, count: int) -> Learner:
        module = begins.module.to(self.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        timetable = _timetable(settled, count)
        weights = dict(module.named_parameters())
        assert settled.lr is not None
        network: Callable[[Tensor], object] = self.processes.spread(module)
        if settled.compile:
            network = torch.compile(network)
        return Learner(
            module=module,
            network=network,
            average=Average(module, decay_over(timetable.steps, settled.average)),
            sgd=optimiser(module, (weights[name] for name in begins.new), settled),
            schedule=OneCycle(settled.lr, timetable.steps, settled.warm_up),
            recipe=settled,
            preprocess=begins.preprocess,
            device=self.device,
            rank=self.processes.rank,
        )

    def _loop(
        self,
        learner: Learner,
        source: Source,
        held_out: Pixels | None,
        *,
        every: float,
        watch: Watch | None,
    ) -> Loop:
        recipe = learner.recipe
        views = augmentation(
            recipe.seed, source.size, margin=recipe.margin, flip=recipe.flip, count=source.count
        )
        processes = self.processes
        timetable = _timetable(recipe, source.count)
        loop = Loop(
            learner,
            Feed(source, timetable, views, processes.rank, processes.world),
            self.out,
            processes,
            watch=watch if processes.is_first else None,
            checkpoint_every=every,
        )
        if held_out is not None:
            average, preprocess = learner.average.module, learner.preprocess
            loop.validate = lambda: accuracy(average, held_out, preprocess)
        if loop.resume():
            self.say(f"goes on after step {loop.step:,} of {timetable.steps:,}")
        if processes.is_first:
            events = self.out / "tensorboard"
            loop.diary = Diary(self.out / state.METRICS, step=loop.step, events=events)
        return loop

    def _finish(
        self,
        begins: Start,
        learner: Learner,
        loop: Loop,
        source: Source,
        document: Mapping[str, Any],
    ) -> Result:
        """Save the averaged weights, score what was saved, and note the score beside it."""
        if loop.diary:
            loop.diary.close()
        if not self.processes.is_first:
            self.processes.wait()
            return Result(self.out, {}, {}, is_new=True)
        model = Classifier(
            self.net,
            learner.average.module,
            begins.preprocess,
            self.data.class_names if self.data.is_named else None,
            len(self.data.class_names),
        )
        self._save(begins, model, learner.recipe, None)
        model.module.load_state_dict(load_file(self.out / WEIGHTS))  # as rounded
        test = evaluate(model, self.data).account()
        account = self._account(learner.recipe, loop, source, test, document["machine"])
        self._save(begins, model, learner.recipe, account)
        state.write_run(self.out, {**document, "account": account, "result": test})
        (self.out / state.CHECKPOINT).unlink(missing_ok=True)
        self.processes.wait()
        return Result(self.out, account, test, is_new=True)

    def _save(
        self, begins: Start, model: Classifier, recipe: Recipe, trained: Mapping[str, Any] | None
    ) -> None:
        assert model.num_classes is not None
        save_model(
            self.out,
            net=begins.net,
            module=model.module,
            num_classes=model.num_classes,
            class_names=model.class_names,
            preprocess=begins.preprocess,
            gap=begins.gap,
            trained=trained,
            dtype=torch.float16 if recipe.half else None,
        )

    def _account(
        self,
        recipe: Recipe,
        loop: Loop,
        source: Source,
        test: Mapping[str, Any],
        on: Mapping[str, Any],
    ) -> dict[str, Any]:
        pictures = loop.feed.timetable.steps * recipe.batch_size
        return {
            "net": self.net,
            "from": "trained weights" if self.asked["init"] else "random weights",
            "data": self.asked["data"],
            "pictures": source.count,
            "skipped": list(source.skipped),
            "recipe": recipe.account(),
            "steps": loop.feed.timetable.steps,
            "seconds": round(loop.seconds, 1),
            "pictures_per_second": round(pictures / max(loop.seconds, 1e-9), 1),
            "test_accuracy": test["accuracy"],
            "test_loss": test["loss"],
            "test_pictures": test["count"],
            "machine": dict(on),
        }


def machine(device: torch.device) -> dict[str, Any]:
    """Return what the last digits of the weights depend on."""
    is_gpu = device.type == "cuda"
    return {
        "seewhy": __version__,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if is_gpu else device.type,
        "processor": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "threads": torch.get_num_threads(),
    }


def _timetable(recipe: Recipe, count: int) -> Timetable:
    return Timetable(recipe.seed, count, recipe.batch_size, recipe.epochs)


def _check(
    recipe: Recipe,
    data: Dataset,
    processes: Processes,
    *,
    init: bool,
    gap: bool,
    every: float,
) -> None:
    if gap and not init:
        raise InputError(
            "to_gap",
            expected="a trained network whose head it replaces",
            got="a net to train from scratch",
            fix="pass --init MODEL with --to-gap",
        )
    if not every > 0:
        raise InputError(
            "checkpoint_every",
            expected="seconds above 0",
            got=repr(every),
            fix="pass another checkpoint_every",
        )
    if recipe.batch_size % processes.world:
        raise InputError(
            "batch_size",
            expected=f"a multiple of the {processes.world} processes",
            got=str(recipe.batch_size),
            fix="pass another --batch-size",
        )
    if len(data.class_names) < 2:
        raise DataError(
            f"data {data.name}",
            expected="two classes at least",
            got=f"{len(data.class_names)}",
            fix="add pictures of another class",
        )
