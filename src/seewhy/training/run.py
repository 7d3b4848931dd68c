"""train: from a net's name and a data set to a folder that `load_model` loads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from seewhy.datasets import Dataset
from seewhy.errors import InputError
from seewhy.files import writable_folder
from seewhy.geometry import Size
from seewhy.models import Classifier, usable_device
from seewhy.models.folder import WEIGHTS, save_model
from seewhy.training import state
from seewhy.training.augment import augmentation
from seewhy.training.evaluate import accuracy, evaluate
from seewhy.training.feed import Feed, Timetable
from seewhy.training.job import Job, Prepared, begin, machine, prepare
from seewhy.training.loop import Learner, Loop, Watch
from seewhy.training.metrics import Diary
from seewhy.training.optimise import Average, OneCycle, decay_over, optimiser
from seewhy.training.processes import here
from seewhy.training.recipe import Recipe

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
    size: Size | None = None,
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
        size: (width, height) that pictures are brought to; by default what the net was made for.
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
    if not checkpoint_every > 0:
        raise InputError(
            "checkpoint_every",
            expected="seconds above 0",
            got=repr(checkpoint_every),
            fix="pass another checkpoint_every",
        )
    job = Job(
        net, data, Path(out), recipe or Recipe(), init, gap, size, usable_device(device), here()
    )
    say = tell if tell and job.processes.is_first else _silence
    with state.locked(writable_folder(job.out)) if job.processes.is_first else nullcontext():
        with job.processes.first_first():
            if restart and job.processes.is_first:
                state.forget(job.out)
            begun = begin(job)
            if begun and begun.get("result"):
                say(f"{job.out} is finished; --restart trains it again")
                return Result(job.out, begun["account"], begun["result"], is_new=False)
            prepared = prepare(job, begun)
            if not begun:
                state.write_run(job.out, prepared.document)
        return _train(job, prepared, say, watch, checkpoint_every)


def _train(
    job: Job, prepared: Prepared, say: Tell, watch: Watch | None, checkpoint_every: float
) -> Result:
    if prepared.start.account:
        say(prepared.start.account)
    _note_differences(prepared.document["machine"], machine(job.device), say)
    loop = _loop(job, prepared, _learner(job, prepared))
    loop.watch = watch if job.processes.is_first else None
    loop.checkpoint_every = checkpoint_every
    if loop.resume():
        say(f"goes on after step {loop.step:,} of {loop.feed.timetable.steps:,}")
    with torch.random.fork_rng(), _diary(job, loop):
        loop.run()
    if job.processes.is_first:
        _finish(job, prepared, loop)
    job.processes.wait()
    done = state.read_run(job.out) or {}
    return Result(job.out, done["account"], done["result"], is_new=True)


def _silence(_line: str) -> None:
    pass


def _note_differences(begun: Mapping[str, Any], now: Mapping[str, Any], say: Tell) -> None:
    """Say what has changed since a run was begun that its last digits depend on."""
    changes = [f"{name} {begun.get(name)}" for name in now if now[name] != begun.get(name)]
    if changes:
        say(f"begun with {', '.join(changes)}: the weights may differ in their last digits")


def _learner(job: Job, prepared: Prepared) -> Learner:
    network, recipe = prepared.start, prepared.recipe
    assert recipe.lr is not None
    module = network.module.to(job.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = dict(module.named_parameters())
    called: Callable[[Tensor], object] = job.processes.spread(module)
    steps = _timetable(prepared).steps
    return Learner(
        module=module,
        network=torch.compile(called) if recipe.compile else called,
        average=Average(module, decay_over(steps, recipe.average)),
        sgd=optimiser(module, (weights[name] for name in network.new), recipe),
        schedule=OneCycle(recipe.lr, steps, recipe.warm_up),
        recipe=recipe,
        preprocess=network.preprocess,
        device=job.device,
        rank=job.processes.rank,
    )


def _loop(job: Job, prepared: Prepared, learner: Learner) -> Loop:
    recipe, source, processes = prepared.recipe, prepared.source, job.processes
    views = augmentation(
        recipe.seed,
        source.size,
        margin=recipe.margin,
        flip=recipe.flip,
        count=source.count,
        hole=recipe.hole,
        cutout=recipe.cutout,
        hide_and_seek=recipe.hide_and_seek,
        cutmix=recipe.cutmix,
        mean=prepared.start.preprocess.mean,
    )
    feed = Feed(source, _timetable(prepared), views, processes.rank, processes.world)
    loop = Loop(learner, feed, job.out, processes)
    held_out = prepared.held_out
    if held_out is not None:
        average, preprocess = learner.average.module, learner.preprocess
        loop.validate = lambda: accuracy(average, held_out, preprocess)
    return loop


def _timetable(prepared: Prepared) -> Timetable:
    recipe = prepared.recipe
    return Timetable(recipe.seed, prepared.source.count, recipe.batch_size, recipe.epochs)


@contextmanager
def _diary(job: Job, loop: Loop) -> Iterator[None]:
    """Let the first process write the metrics down while the context lasts."""
    if not job.processes.is_first:
        yield
        return
    path = job.out / state.METRICS
    loop.diary = Diary(path, step=loop.step, events=job.out / state.EVENTS)
    with closing(loop.diary):
        yield


def _finish(job: Job, prepared: Prepared, loop: Loop) -> None:
    """Save the averaged weights, score what was saved, and note the score beside it."""
    names = job.data.class_names
    module = loop.learner.average.module
    model = Classifier(
        job.net, module, prepared.start.preprocess, names if job.data.is_named else None, len(names)
    )
    _save(job, prepared, model, None)
    module.load_state_dict(load_file(job.out / WEIGHTS))  # as they were rounded
    test = evaluate(model, job.data).account()
    account = _account(job, prepared, loop, test)
    _save(job, prepared, model, account)
    state.write_run(job.out, {**prepared.document, "account": account, "result": test})
    (job.out / state.CHECKPOINT).unlink(missing_ok=True)


def _save(
    job: Job, prepared: Prepared, model: Classifier, trained: Mapping[str, Any] | None
) -> None:
    assert model.num_classes is not None
    save_model(
        job.out,
        net=prepared.start.net,
        module=model.module,
        num_classes=model.num_classes,
        class_names=model.class_names,
        preprocess=model.preprocess,
        gap=prepared.start.gap,
        trained=trained,
        dtype=torch.float16 if job.recipe.half else None,
    )


def _account(job: Job, prepared: Prepared, loop: Loop, test: Mapping[str, Any]) -> dict[str, Any]:
    """What people want to know of a trained net, as JSON can hold it."""
    steps, recipe = loop.feed.timetable.steps, prepared.recipe
    return {
        "net": job.net,
        "from": "trained weights" if job.init else "random weights",
        "data": prepared.document["asked"]["data"],
        "pictures": prepared.source.count,
        "skipped": list(prepared.source.skipped),
        "recipe": recipe.account(),
        "processes": job.processes.world,
        "steps": steps,
        "seconds": round(loop.seconds, 1),
        "pictures_per_second": round(steps * recipe.batch_size / max(loop.seconds, 1e-9), 1),
        "test_accuracy": test["accuracy"],
        "test_loss": test["loss"],
        "test_pictures": test["count"],
        "machine": dict(prepared.document["machine"]),
    }
