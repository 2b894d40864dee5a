"""One training run: a split manifest and settings in, a run folder out.

A run folder holds config.json, split.csv, environment.json, curve.csv, weights.safetensors and predictions.csv:
enough to do it again. During training it also holds checkpoint.pt. Every epoch seeds its random generators with the
seed and its own number, so that a run that was killed goes on to the same final weights.
"""

import io
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from brainsift.core import environment
from brainsift.core.errors import ManifestError, RunError
from brainsift.core.files import read_json, replacing, write_bytes, write_json
from brainsift.core.progress import Progress, Report, silent
from brainsift.datasets.split import with_subsets
from brainsift.inference.bundle import load_bundle
from brainsift.training import devices, networks, pretrained, trackers
from brainsift.training.augment import augment, burn_in, degrade, reframe, to_input
from brainsift.training.cache import cached_pixels
from brainsift.training.distillation import Teachers, blend
from brainsift.training.lesion_synthesis import draw_lesions
from brainsift.training.lesion_transplant import transplant
from brainsift.training.mask_loss import Masks, load_masks, map_loss
from brainsift.training.other_findings import draw_findings
from brainsift.training.pack import unpacked
from brainsift.training.recipes import TrainConfig, make_config
from brainsift.training.runs import build_network, claim, finish, predict_logits
from brainsift.training.sampling import sampling_weights
from brainsift.training.skull_strip import SkullStripper

_WARM_UP_SHARE = 0.1
_UNFOLD_IMAGES = 256

Curve = list[dict[str, float]]
OnEpoch = Callable[[dict[str, float]], None]


@dataclass
class _State:
    """Everything that changes during training."""

    model: networks.Classifier
    averaged: AveragedModel | None
    optimizer: torch.optim.Optimizer
    curve: Curve
    best_loss: float
    best: dict[str, Tensor] | None = None
    waited: int = 0

    def trained(self) -> networks.Classifier:
        return cast(networks.Classifier, self.averaged.module) if self.averaged else self.model

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict() if self.averaged else None,
            "optimizer": self.optimizer.state_dict(),
            "curve": self.curve,
            "best_loss": self.best_loss,
            "best": self.best,
            "waited": self.waited,
        }

    def load_dict(self, saved: dict[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])
        if self.averaged:
            self.averaged.load_state_dict(saved["averaged"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.curve, self.best_loss = saved["curve"], saved["best_loss"]
        self.best, self.waited = saved["best"], saved["waited"]


def train(
    manifest: pd.DataFrame | str | Path,
    config: TrainConfig | str,
    folder: str | Path,
    *,
    cache: Path | None = None,
    origin: Mapping[str, Any] | None = None,
    report: Report = silent,
    on_epoch: OnEpoch | None = None,
    **settings: Any,
) -> Path:
    """Trains one network. A run that was interrupted goes on, a finished one is left as it is.

    Args:
        manifest: audited table, CSV file, or ZIP file of `pack.pack`. Without the column `part` it is split, as `split`
            does by default.
        config: the settings, or the name of a network for its standard recipe.
        folder: of the run.
        cache: folder of preprocessed pixels; None for ``cache`` beside the run.
        origin: where the manifest comes from (name, protocol, fold), recorded in config.json; None for the name of the
            folder and the split that was made here.
        report: takes the progress, from the first process only.
        on_epoch: called with each new row of the training curve; what it raises ends the run.
        settings: fields of `TrainConfig` that differ from ``config``.

    Returns:
        The run folder.

    Raises:
        RunError: the folder holds another run, or a loss is not finite.
        ManifestError: the manifest was not audited, or the training or validation set lacks a class.
        UsageError, InputError: a setting out of its range, or the device or the file of weights is not there.

    >>> run = train("audit/manifest.csv", "compact", "run", epochs=4)  # doctest: +SKIP
    >>> evaluate_run(run)["test"]["scores"]["roc_auc"]  # doctest: +SKIP
    """
    folder = Path(folder)
    config = make_config(config, **settings) if isinstance(config, str) else replace(config, **settings)
    cache = folder.parent / "cache" if cache is None else cache
    manifest = unpacked(manifest, cache, size=config.size, preprocessing=config.preprocessing, report=report)
    table, plan = with_subsets(manifest)
    origin = {"name": folder.resolve().name, **plan} if origin is None else origin
    used = table[table["part"] != ""].reset_index(drop=True)
    _check_parts(used)
    if not (folder / "config.json").exists():  # settings that cannot work on this machine claim no folder
        devices.choose_device(config.device)
        pretrained.check(config.weights)
        for teacher in config.teachers:
            load_bundle(Path(teacher))
    claim(folder, {**origin, **asdict(config)}, used)
    if (folder / "predictions.csv").exists():
        return folder
    device = devices.choose_device(config.device)
    devices.prepare(threads=config.threads, seed=config.seed)
    pixels, rows = cached_pixels(used, cache, preprocessing=config.preprocessing, size=config.size, report=report)
    with devices.process_group(device) as (rank, world):
        trainer = _Trainer(config, folder, used, pixels, rows, cache=cache, device=device, rank=rank, world=world)
        model = trainer.run(report if rank == 0 else silent, on_epoch)
        if rank == 0:
            finish(folder, used, model, pixels, rows)
    return folder


class _Trainer:
    """Holds the data on the device and runs the loop over epochs."""

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        table: pd.DataFrame,
        pixels: npt.NDArray[np.uint8],
        rows: npt.NDArray[np.int64],
        *,
        cache: Path,
        device: torch.device,
        rank: int,
        world: int,
    ) -> None:
        self.config, self.folder, self.device, self.rank, self.world = config, folder, device, rank, world
        self.bf16 = devices.uses_bf16(config.model, config.precision, device)
        self.images, self.labels = _part(table, "train", pixels, rows, device)
        self.validation = _part(table, "validation", pixels, rows, device)
        self.masks = _masks(table[_chosen(table, "train", rows)], config, cache, self.labels)
        self.weights = _class_weights(self.labels) if config.balance else torch.ones(2, device=device)
        self.steps = max((config.epoch_images or len(self.labels)) // config.batch_size, 1)
        balanced = config.sampling == "balanced"
        self.shares = sampling_weights(table[_chosen(table, "train", rows)]) if balanced else None
        self.validation_shares = sampling_weights(table[_chosen(table, "validation", rows)]) if balanced else None
        self.strip = SkullStripper()
        self.teachers = Teachers(config.teachers, threads=torch.get_num_threads()) if config.teachers else None
        self.log = trackers.open_log(config.log if rank == 0 else "none", folder, asdict(config))

    def run(self, report: Report, on_epoch: OnEpoch | None) -> networks.Classifier:
        state = self._start()
        while len(state.curve) < self.config.epochs and state.waited < self.config.patience:
            row = self._epoch(state, report)
            self._keep_best(state, row)
            if self.rank == 0:
                self._save(state)
                self.log(row)
            if on_epoch:
                on_epoch(row)
        model = state.trained()
        if self.config.keep_best and state.best is not None:
            model.load_state_dict(state.best)
        return model

    def _start(self) -> _State:
        config = self.config
        model = build_network(config).to(self.device)
        _set_norm_momentum(model, 0.01 if config.recipe == "baseline" else 0.1)
        saved = self.folder / "checkpoint.pt"
        if not saved.exists():
            some = self.images[:: -(-len(self.images) // _UNFOLD_IMAGES)]  # of all sources: they stand in order
            origin = pretrained.load(model, config.model, config.weights, to_input(some))
            write_json(self.folder / "environment.json", self._environment(model, origin))
        if not read_json(self.folder / "environment.json")["pretrained"].startswith(pretrained.SCRATCH):
            model.freeze(config.frozen, bf16=devices.freezes_bf16(config.precision, self.device))
        averaged = _averaged(model, config.average * self.steps)
        best = math.inf if config.best_before is None else config.best_before
        state = _State(model, averaged, _optimizer(model, config), [], best)
        if saved.exists():
            state.load_dict(torch.load(saved, map_location=self.device, weights_only=True))
        return state

    def _environment(self, model: nn.Module, origin: str) -> dict[str, Any]:
        return {
            **environment.describe(),
            "device": str(self.device),
            "precision": "bf16" if self.bf16 else "fp32",
            "processes": self.world,
            "threads": torch.get_num_threads(),
            "parameters": networks.count_parameters(model),
            "pretrained": origin,
        }

    def _epoch(self, state: _State, report: Report) -> dict[str, float]:
        config, epoch, started = self.config, len(state.curve), time.perf_counter()
        torch.manual_seed(config.seed * 100_003 + epoch * self.world + self.rank)
        generator = torch.Generator().manual_seed(config.seed * 100_003 + epoch)
        order = self._order(generator)
        size = _size_at(epoch, config)
        total = torch.zeros((), device=self.device)
        last = f", validation loss {state.curve[-1]['validation_loss']:.3f}" if state.curve else ""
        state.model.train()
        for step in range(self.steps):
            rate = _learning_rate(epoch * self.steps + step, config.epochs * self.steps, config)
            batch = order[step * config.batch_size : (step + 1) * config.batch_size][self.rank :: self.world]
            total += self._step(state, batch.to(self.device), rate, size, generator)
            done = epoch * self.steps + step + 1
            report(Progress(config.model, done, config.epochs * self.steps, f"epoch {epoch + 1}/{config.epochs}{last}"))
        devices.share_buffers(state.model, self.world)
        self._check_finite(total, "training", epoch)
        loss, auc, accuracy = self._validate(state, epoch)
        return {
            "epoch": epoch + 1,
            "seconds": round(time.perf_counter() - started, 3),
            "learning_rate": rate,
            "train_loss": float(total) / self.steps,
            "validation_loss": loss,
            "validation_auc": auc,
            "validation_accuracy": accuracy,
        }

    def _order(self, generator: torch.Generator) -> Tensor:
        """Returns the positions of the images of an epoch, in random order."""
        wanted = self.steps * self.config.batch_size
        if self.shares is not None:
            return torch.multinomial(self.shares, wanted, replacement=True, generator=generator)
        rounds = -(-wanted // len(self.labels))
        return torch.cat([torch.randperm(len(self.labels), generator=generator) for _ in range(rounds)])

    def _step(self, state: _State, batch: Tensor, rate: float, size: int, generator: torch.Generator) -> Tensor:
        config, labels = self.config, self.labels[batch]
        masks, known = self.masks.of(batch) if self.masks else (None, None)
        images = to_input(self.images[batch])
        images, masks = self.strip(images, masks, batch, share=config.strip, generator=generator)
        if masks is not None and known is not None:
            images, masks, labels, known = transplant(
                images, masks, labels, known, share=config.transplant, generator=generator
            )
            images, masks, labels, known = draw_lesions(
                images, masks, labels, known, share=config.drawn, generator=generator
            )
            images, masks = draw_findings(images, masks, labels, share=config.findings, generator=generator)
        images, masks = reframe(images, masks, labels, share=config.reframed, generator=generator)
        images, masks = augment(
            images, strength=config.augment, generator=generator, turned=config.turned, size=size, masks=masks
        )
        images = degrade(images, strength=config.artifacts, generator=generator)
        images = burn_in(images, share=config.letters, generator=generator)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        state.optimizer.zero_grad(set_to_none=True)
        with devices.autocast(self.device, self.bf16):
            outputs, tumor_map = state.model.outputs(images)
        loss = _loss(outputs.float(), labels, self.weights, config.label_smoothing)
        of_map = torch.zeros((), device=self.device)
        if tumor_map is not None and masks is not None and known is not None:
            of_map = map_loss(tumor_map.float(), masks, known)
        if self.teachers:
            said, drawn = self.teachers.predict(images)
            loss = blend(loss, said, networks.log_odds(outputs.float()), config.taught)
            if tumor_map is not None and drawn is not None:
                drawn = F.interpolate(drawn, tumor_map.shape[-2:], mode="bilinear")
                of_map = blend(of_map, drawn, tumor_map.float(), config.taught)
        whole = loss + state.model.penalty() + config.outline_weight * of_map
        whole.backward()
        devices.average_gradients(state.model, self.world)
        state.optimizer.step()
        if state.averaged:
            state.averaged.update_parameters(state.model)
        return loss.detach()

    def _validate(self, state: _State, epoch: int) -> tuple[float, float, float]:
        images, labels = self.validation
        logits = predict_logits(state.trained(), images, bf16=self.bf16)
        loss = _mean_loss(logits, labels.cpu(), self.validation_shares)
        self._check_finite(loss, "validation", epoch)
        if self.world > 1:
            loss = loss.to(self.device)
            distributed.broadcast(loss, 0)
        truth = labels.cpu().numpy()
        accuracy = float(((logits > 0).float() == labels.cpu()).float().mean())
        return float(loss), float(roc_auc_score(truth, logits.numpy())), accuracy

    def _check_finite(self, loss: Tensor, part: str, epoch: int) -> None:
        if not math.isfinite(loss):
            rate = self.config.learning_rate
            rule = f"the {part} loss of epoch {epoch + 1} is {float(loss)} at the learning rate {rate}"
            raise RunError(self.folder, rule, "Train in another folder with a smaller --learning-rate.")

    def _keep_best(self, state: _State, row: dict[str, float]) -> None:
        state.curve.append(row)
        state.waited += 1
        if row["validation_loss"] < state.best_loss:
            state.best_loss, state.waited = row["validation_loss"], 0
            state.best = {key: value.detach().clone() for key, value in state.trained().state_dict().items()}

    def _save(self, state: _State) -> None:
        with replacing(self.folder / "curve.csv") as temporary:
            pd.DataFrame(state.curve).to_csv(temporary, index=False)
        checkpoint = io.BytesIO()  # of a disk that is full, torch says something else
        torch.save(state.to_dict(), checkpoint)
        write_bytes(self.folder / "checkpoint.pt", checkpoint.getvalue())


def _check_parts(table: pd.DataFrame) -> None:
    for part in ("train", "validation"):
        found = sorted(table.loc[table["part"] == part, "label"].dropna().unique())
        if found != [0.0, 1.0]:
            raise ManifestError(
                f"{part} set", f"needs both classes, has the labels {found}", "Add images of the missing class."
            )


def _part(
    table: pd.DataFrame, part: str, pixels: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64], device: torch.device
) -> tuple[Tensor, Tensor]:
    chosen = _chosen(table, part, rows)
    images = torch.from_numpy(np.asarray(pixels[rows[chosen]]))
    labels = torch.tensor(table.loc[chosen, "label"].to_numpy(dtype=np.float32, copy=True))
    return images.to(device), labels.to(device)


def _chosen(table: pd.DataFrame, part: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    return ((table["part"] == part) & table["label"].notna()).to_numpy() & (rows >= 0)


def _masks(table: pd.DataFrame, config: TrainConfig, cache: Path, labels: Tensor) -> Masks | None:
    if not (config.outline_weight and config.preprocessing == "standard" and networks.draws_map(config.model)):
        return None
    return load_masks(table.reset_index(drop=True), labels, cache, config.size)


def _class_weights(labels: Tensor) -> Tensor:
    counts = torch.stack([(labels == 0).sum(), (labels == 1).sum()]).float()
    return len(labels) / (2 * counts)


def _loss(outputs: Tensor, labels: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    if outputs.shape[1] > 1:  # the softmax of the baseline study
        return F.cross_entropy(outputs, labels.long())
    soft = labels * (1 - smoothing) + smoothing / 2
    return F.binary_cross_entropy_with_logits(outputs[:, 0], soft, weight=weights[labels.long()])


def _mean_loss(logits: Tensor, labels: Tensor, shares: Tensor | None) -> Tensor:
    """Averages over images, weighted if there are ``shares``: otherwise one group of copies could stop the training."""
    losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return losses.mean() if shares is None else (losses * shares).sum().div(shares.sum()).to(losses.dtype)


def _optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trained if parameter.ndim > 1]
    others = [parameter for parameter in trained if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def _learning_rate(step: int, n_steps: int, config: TrainConfig) -> float:
    if config.schedule == "constant":
        return config.learning_rate
    warm_up = max(_WARM_UP_SHARE * n_steps, 1)
    if step < warm_up:
        return config.learning_rate * (step + 1) / (warm_up + 1)
    return config.learning_rate * (1 + math.cos(math.pi * (step - warm_up) / (n_steps - warm_up + 1))) / 2


def _size_at(epoch: int, config: TrainConfig) -> int:
    """Returns the side of the training images: half of it at first, then three quarters, then all."""
    if not config.progressive:
        return config.size
    done = epoch / config.epochs
    quarters = 2 if done < 0.6 else 3 if done < 0.85 else 4
    return config.size * quarters // 4


def _averaged(model: nn.Module, memory: float) -> AveragedModel | None:
    """Returns an exponential moving average of weights and batch statistics over about ``memory`` steps."""
    if not memory:
        return None
    average = get_ema_multi_avg_fn(1 - 1 / max(memory, 1.0))
    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)


def _set_norm_momentum(model: nn.Module, momentum: float) -> None:
    """Sets the momentum of batch norms: 0.01, as Keras has in the baseline study, or the 0.1 of torch."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum
