"""One training from its first step to its last: steps, validation, and the point that can be returned to."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from exporters.errors import GateError
from squeezebert_edge.checkpoint import weights
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.plumbing.progress import Progress
from squeezebert_edge.training import data as training_data
from squeezebert_edge.training.config import INT4, INT8, TrainingConfig
from squeezebert_edge.training.data import Batch, EncodedExample, epoch_order, fingerprint
from squeezebert_edge.training.fake_quantization import ActivationRanges, fake_quantize
from squeezebert_edge.training.layers import BatchNoise, prepare_for_training
from squeezebert_edge.training.objective import Objective
from squeezebert_edge.training.processes import Processes
from squeezebert_edge.training.rounding_noise import add_rounding_noise
from squeezebert_edge.training.state import catch_stop, read_state, write_state
from squeezebert_edge.training.stepped import compute_on_steps
from squeezebert_edge.training.teacher import Teacher

SECONDS_BETWEEN_LOGS = 10
SECONDS_BETWEEN_STATES = 600
CALIBRATION_BATCHES = 16  # whose mean ranges quantization-aware training begins with
RANGES_LEARNED = 0.75  # the share of the steps after which they are frozen
RANGES_SPAN = 0.1  # the share of those steps that their moving average spans, or 100 steps if that is less


@dataclass(frozen=True)
class EpochResult:
    """One pass over the training data.

    loss: the mean of what was minimized; validation_loss: a mean cross entropy; validation_accuracy: a share.
    """

    epoch: int
    loss: float
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True)
class Data:
    """Encoded examples, and what pads them."""

    training: list[EncodedExample]
    validation: list[EncodedExample]
    pad_id: int

    def batch(self, examples: Sequence[EncodedExample], rows: slice, device: torch.device) -> Batch:
        """Those rows of the examples, padded to the longest of all."""
        longest = max(len(example.ids) for example in examples)
        return training_data.collate(examples[rows], longest, self.pad_id, device)


class Run:
    """One training: the network, its optimizer and the point that it has reached."""

    def __init__(
        self,
        config: TrainingConfig,
        model: SqueezeBertPreTrainedModel,
        teacher: Teacher | None,
        data: Data,
        processes: Processes,
        state_path: Path,
        origin: str | None = None,
    ) -> None:
        self.config, self.data, self.processes = config, data, processes
        self.state_path = state_path
        self.settings = _settings(config, model, teacher, data, origin)
        self.noise = BatchNoise(processes.device)
        self.network = prepare_for_training(model, self.noise, config.dropout).to(processes.device)
        self.ranges = fake_quantize(self.network) if config.quantize == INT8 else None
        if config.quantize == INT4:
            compute_on_steps(self.network)
        if config.noise_bits is not None:
            add_rounding_noise(self.network, self.noise, config.noise_bits)
        if teacher is not None:
            teacher.network.to(processes.device)
        self.objective = Objective(self.network, config, teacher).to(processes.device)
        self.optimizer = _optimizer(self.objective, config)
        self.batches_an_epoch = math.ceil(len(data.training) / config.batch_size)
        self.sizes = [len(example.ids) for example in data.training]
        self.step, self.saved, self.loss_sum = 0, 0, 0.0
        self.epochs: list[EpochResult] = []
        self.best_weights: dict[str, Tensor] = {}
        self.best_reach: Tensor | None = None

    @property
    def best(self) -> EpochResult:
        """The best epoch so far."""
        return max(self.epochs, key=lambda epoch: (epoch.validation_accuracy, -epoch.validation_loss))

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.batches_an_epoch * self.config.epochs

    def resume(self, log: Callable[[str], None]) -> None:
        """Go to where an interrupted training was."""
        read = read_state(self.state_path, self.settings) if self.processes.is_leader else None
        state = self.processes.broadcast(read)
        self.objective.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = self.saved = state["step"]
        self.loss_sum = state["loss_sum"]
        self.epochs = [EpochResult(**epoch) for epoch in state["epochs"]]
        self.best_weights, self.best_reach = state["best_weights"], state["best_reach"]
        if self.ranges is not None:
            self.ranges.set(state["reach"].to(self.processes.device))
        log(f"resumed after step {self.step} of {self.steps}")

    def save(self) -> None:
        """Write the state of the point that was reached."""
        self.saved = self.step
        if self.processes.is_leader:
            state = {
                "weights": self.objective.state_dict(),
                "reach": None if self.ranges is None else self.ranges.reach,
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "loss_sum": self.loss_sum,
                "epochs": [asdict(epoch) for epoch in self.epochs],
                "best_weights": self.best_weights,
                "best_reach": self.best_reach,
            }
            write_state(self.state_path, self.settings, state)

    def run_to_end(self, progress: Progress, log: Callable[[str], None]) -> float:
        """Take every step that is left, and validate after each epoch; the seconds it took."""
        began = saved = time.monotonic()
        if self.ranges is not None and self.step == 0:
            self._calibrate(self.ranges, progress, log)
        objective: nn.Module = self.objective
        if self.processes.count > 1:
            objective = DistributedDataParallel(objective)
        speed = _SpeedLog(self, log)
        order: list[list[int]] = []
        with catch_stop() as stop:
            while self.step < self.steps:
                epoch, number = divmod(self.step, self.batches_an_epoch)
                if number == 0 or not order:
                    order = epoch_order(self.sizes, self.config.batch_size, self.config.seed, epoch)
                loss, stopped = self._take_step(objective, order[number], stop())
                self.step += 1
                self.loss_sum += loss * len(order[number])
                speed.add(loss, len(order[number]))
                progress(f"epoch {epoch + 1} of {self.config.epochs}", number + 1, self.batches_an_epoch)
                ended = number + 1 == self.batches_an_epoch
                if ended:
                    self._end_epoch(epoch + 1, log)
                if stopped or ended or time.monotonic() - saved > SECONDS_BETWEEN_STATES:
                    self.save()
                    saved = time.monotonic()
                if stopped:
                    raise KeyboardInterrupt
        return time.monotonic() - began

    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        warm = self.config.warmup * self.steps
        rising, falling = (self.step + 1) / max(warm, 1), (self.steps - self.step) / (self.steps - warm)
        return self.config.learning_rate * min(rising, falling, 1)

    def _calibrate(self, ranges: ActivationRanges, progress: Progress, log: Callable[[str], None]) -> None:
        """Begin with the mean ranges of the first batches, and log how good the network is with them."""
        first = epoch_order(self.sizes, self.config.batch_size, self.config.seed, 0)[:CALIBRATION_BATCHES]
        self.network.eval()
        ranges.quantizing = False
        for number, batch in enumerate(first, start=1):
            examples = [self.data.training[index] for index in batch]
            rows, _ = self.processes.share(len(examples))
            inputs = self.data.batch(examples, rows, self.processes.device)
            ranges.observe(inputs.attention_mask)
            with torch.no_grad():
                self.network(inputs.input_ids, inputs.attention_mask, inputs.token_type_ids)
            ranges.learn(self.processes, 1 / number)
            progress("calibrating", number, len(first))
        ranges.quantizing = True
        loss, accuracy = validate(self.network, self.data, self.config, self.processes)
        self.network.train()
        log(f"quantized, before training: validation loss {loss:.4f}, accuracy {accuracy:.2%}")

    def _take_step(self, objective: nn.Module, batch: Sequence[int], stop: bool) -> tuple[float, bool]:
        """One step of all processes: the mean loss of the batch, and whether any of them is to stop."""
        examples = [self.data.training[index] for index in batch]
        rows, weight = self.processes.share(len(examples))
        self.noise.begin(self.config.seed, self.step, len(examples), rows)
        inputs = self.data.batch(examples, rows, self.processes.device)
        learning_steps = RANGES_LEARNED * self.steps
        learned = self.ranges if self.step < learning_steps else None
        if learned is not None:
            learned.observe(inputs.attention_mask)
        loss = weight * objective(inputs).sum()
        self.optimizer.zero_grad()
        # DistributedDataParallel takes the mean over processes of what is a sum here.
        (loss * self.processes.count).backward()
        norm = nn.utils.clip_grad_norm_(self.objective.parameters(), self.config.clip_norm).item()
        mean, stops = self.processes.sum_over_all([loss.item(), float(stop)])
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        if not (math.isfinite(mean) and math.isfinite(norm)):
            self._give_up(f"the loss is {mean:g}, the gradients' norm {norm:g}")
        self.optimizer.step()
        if learned is not None:
            learned.learn(self.processes, 1 / min(max(RANGES_SPAN * learning_steps, 1), 100))
        return mean, stops > 0

    def _give_up(self, reason: str) -> NoReturn:
        raise GateError(
            f"step {self.step + 1} of {self.steps}, at learning rate {self.learning_rate():.2g}: {reason}",
            allowed="finite numbers",
            hint="--force with a lower --lr or a longer --warmup"
            + (f"; {self.state_path} holds the state of step {self.saved}" if self.saved else ""),
        )

    def _end_epoch(self, number: int, log: Callable[[str], None]) -> None:
        """Validate, and keep the weights if no epoch was better."""
        mean = self.loss_sum / len(self.data.training)
        self.loss_sum = 0.0
        self.network.eval()
        result = EpochResult(number, mean, *validate(self.network, self.data, self.config, self.processes))
        self.network.train()
        self.epochs.append(result)
        if self.best is result:
            self.best_weights = {
                name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()
            }
            self.best_reach = None if self.ranges is None else self.ranges.reach.cpu()
        log(
            f"epoch {number} of {self.config.epochs}: loss {result.loss:.4f}, validation loss "
            f"{result.validation_loss:.4f}, accuracy {result.validation_accuracy:.2%}"
        )


class _SpeedLog:
    """Logs loss, learning rate and speed from time to time."""

    def __init__(self, run: Run, log: Callable[[str], None]) -> None:
        self._run, self._log = run, log
        self._begin()

    def _begin(self) -> None:
        self._since, self._loss, self._examples = time.monotonic(), 0.0, 0

    def add(self, loss: float, examples: int) -> None:
        """Count a step, and log if it is time."""
        self._loss += loss * examples
        self._examples += examples
        seconds = time.monotonic() - self._since
        if seconds >= SECONDS_BETWEEN_LOGS:
            self._log(
                f"step {self._run.step} of {self._run.steps}: loss {self._loss / self._examples:.4f}, "
                f"learning rate {self._run.learning_rate():.2e}, {self._examples / seconds:.0f} examples/s"
            )
            self._begin()


def validate(
    network: nn.Module, data: Data, config: TrainingConfig, processes: Processes
) -> tuple[float, float]:
    """Mean loss and accuracy on the validation data of a network in eval mode."""
    by_length = sorted(data.validation, key=lambda example: len(example.ids))
    batches = [by_length[at : at + config.batch_size] for at in range(0, len(by_length), config.batch_size)]
    loss = right = 0.0
    with torch.inference_mode():
        for examples in batches[processes.rank :: processes.count]:
            batch = data.batch(examples, slice(None), processes.device)
            inputs = batch.input_ids, batch.attention_mask, batch.token_type_ids
            logits = network(*inputs, return_dict=True).logits
            loss += F.cross_entropy(logits, batch.labels, reduction="sum").item()
            right += (logits.argmax(1) == batch.labels).sum().item()
    loss, right = processes.sum_over_all([loss, right])
    return loss / len(data.validation), right / len(data.validation)


def _optimizer(objective: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices and embeddings only."""
    parameters = list(objective.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def _settings(
    config: TrainingConfig,
    model: SqueezeBertPreTrainedModel,
    teacher: Teacher | None,
    data: Data,
    origin: str | None,
) -> dict[str, str | int | float | None]:
    """Everything that the result depends on, by name; of the first weights their origin, if it is given."""
    settings = asdict(config)
    del settings["device"]
    network = {name: json.dumps(value) for name, value in model.config.to_dict().items()}
    return {
        **settings,
        **network,
        "starting weights": origin or weights.sha256(model.state_dict()),
        "teacher": None if teacher is None else teacher.sha256,
        "training data": fingerprint(data.training),
        "validation data": fingerprint(data.validation),
    }
