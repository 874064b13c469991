"""train(): two facesets in, a run folder with a trained model out. Read it from top to bottom.

    RUN/params.toml         every option of the run
    RUN/saves/...           networks, optimizer, progress (`saves.py`, `checkpoint.py`)
    RUN/preview.png         what the model makes of four faces of each side
    RUN/loss.csv, loss.png  the losses of every iteration, and their curve

Iteration i of a run is a function of the options, the facesets and i: which faces, how they are
warped and which weights learning-rate dropout picks are drawn from (seed, i). So stopping and
resuming at any iteration gives the same numbers as never having stopped, bit by bit on one CPU.
"""

import logging
import math
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from facegraft.controls import plain_values
from facegraft.errors import ParameterError, TrainingDiverged, WriteError
from facegraft.faces.faceset import Faceset
from facegraft.files import write_atomic
from facegraft.models.build import SwapNet, build
from facegraft.models.liae import LIAE
from facegraft.progress import Progress, Request, Silent
from facegraft.training.augment import augment_batch
from facegraft.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    optimizer_tensors,
    restore_group,
    restore_optimizer,
    save_checkpoint,
    set_damaged_aside,
    try_save,
)
from facegraft.training.history import History, draw_curve
from facegraft.training.loss import LossWeights, reconstruction_loss, saehd_weights
from facegraft.training.optim import AdaBelief, RMSprop
from facegraft.training.params import Device, Optimizer, Precision, TrainParams
from facegraft.training.preview import choose_faces, preview_sheet, write_png
from facegraft.training.run_params import PARAMS_NAME, resolve, to_toml
from facegraft.training.samples import Samples, random_seed
from facegraft.training.warp import Amounts, Augmented

PREVIEW_NAME = "preview.png"
CURVE_NAME = "loss.png"
KEEP = 0.3  # DeepFaceLab's learning-rate dropout: share of the weights that a step updates
READ_EVERY = 32  # iterations between two reads of losses from a GPU, which wait for its queue

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Where a session ended."""

    iteration: int  # finished iterations of the run
    src_loss: float  # of the last one
    dst_loss: float
    session_iterations: int  # of this session alone, as the next two
    session_seconds: float  # inside the loop: without decoding, with saves and previews
    waiting_seconds: float  # of these, spent until a batch was on the device
    reached_target: bool


def train(
    src: Faceset,
    dst: Faceset,
    run_folder: Path,
    params: TrainParams,
    progress: Progress | None = None,
) -> TrainResult:
    """Begin the run in `run_folder`, or go on with it, until its target or until cancelled.

    Raises: ParameterError for options that do not fit the run, BadAlignedImage, CheckpointError,
    WriteError (the last save stays), TrainingDiverged, Cancelled before the first iteration.
    """
    progress = progress or Silent()
    run_folder = Path(run_folder)

    # 1. What is there already; a change of the networks is refused before anything is written.
    resumed = load_checkpoint(run_folder, progress.note)
    if resumed is not None:
        params = resolve(plain_values(params), existing=resumed.params)
        set_damaged_aside(run_folder, resumed)
        _note_other_facesets(resumed, src, dst, progress)
    device = choose_device(params)
    autocast = choose_precision(params, device)
    torch.set_num_threads(params.threads or os.cpu_count() or 1)
    _log.info("training on %s in %s", device, autocast or torch.float32)

    # 2. Networks and optimizer, fresh from the seed or as they were saved.
    net = build_network(params, device)
    optimizer = build_optimizer(params, net)
    if resumed is not None:
        restore_group(resumed, "net", net)
        if resumed.params.optimizer is params.optimizer:
            restore_optimizer(resumed, "optimizer", optimizer, net)
        else:
            progress.note(f"the optimizer is now {params.optimizer}; it starts without memory")
    weights = loss_weights(params)

    # 3. Both facesets, decoded once; four fixed faces of each for the preview sheet.
    threads = max(1, (params.threads or os.cpu_count() or 2) // 2)
    sides = (
        (src, "src", params.random_src_flip),
        (dst, "dst", params.random_dst_flip),
    )
    samples = [
        Samples(
            faces, side, params.face_type, params.resolution, params.batch_size, params.seed,
            threads,
        )
        for faces, side, _ in sides
    ]  # fmt: skip
    amounts = [Amounts.of(params, flip, params.random_warp) for _, _, flip in sides]
    try:
        for one in samples:
            one.load(progress)
        preview_src, preview_dst = (one.squares(choose_faces(one.faces)) for one in samples)

        # 4. The run folder is ours from here on.
        write_atomic(run_folder / PARAMS_NAME, to_toml(params).encode())
        start = resumed.iteration if resumed else 0
        history = History(run_folder, start)
        src_digest, dst_digest = src.digest, dst.digest
        last_loss = resumed.last_loss if resumed else (math.nan, math.nan)

        def save(iteration: int, must: bool) -> None:
            state = Checkpoint(
                params=params,
                iteration=iteration,
                seconds=seconds_before + time.monotonic() - began,
                src_digest=src_digest,
                dst_digest=dst_digest,
                last_loss=last_loss,
                groups={
                    "net": net.state_dict(),
                    "optimizer": optimizer_tensors(optimizer, net),
                },
                crops=preview_dst[..., :3],
                faces=(len(src), len(dst)),
            )
            if must:
                save_checkpoint(run_folder, state, params.keep_saves)
            else:
                try_save(run_folder, state, params.keep_saves, progress.note)
            history.flush()

        def draw_pictures() -> None:
            try:
                history.flush()
                sheet = preview_sheet(net, preview_src.to(device), preview_dst.to(device), autocast)
                write_png(run_folder / PREVIEW_NAME, sheet)
                write_png(run_folder / CURVE_NAME, draw_curve(history.rows))
            except WriteError as error:  # a picture is not worth the run
                progress.note(str(error))

        target = params.target_iterations
        progress.start(max(0, target - start) if target else None, "iterations")
        unread: list[Tensor] = []
        waiting = 0.0
        seconds_before = resumed.seconds if resumed else 0.0
        began = saved_at = drawn_at = time.monotonic()
        iteration = start  # finished ones
        while (not target or iteration < target) and not progress.cancelled:
            # 5. A batch of each side, augmented on the device.
            draw, warp = batch_plan(iteration, params.unwarped_every)
            asked = time.monotonic()
            faces = [one.batch(draw).to(device, non_blocking=True) for one in samples]
            waiting += time.monotonic() - asked
            batch_src, batch_dst = (
                augment(one, params, replace(amount, warp=amount.warp and warp), side, draw)
                for one, amount, (_, side, _) in zip(faces, amounts, sides, strict=True)
            )

            # 6. Forward, loss, backward, step.
            losses = compute_losses(net, batch_src, batch_dst, weights, autocast)  # (2,): src, dst
            optimizer.zero_grad(set_to_none=True)
            losses.sum().backward()
            optimizer.step()
            iteration += 1

            # 7. Log. A GPU is asked for its losses now and then only, since asking waits for it.
            unread.append(losses.detach())
            now = time.monotonic()
            asked_for = progress.take_requests()
            save_due = iteration == 1 or now - saved_at >= params.save_minutes * 60
            save_due = save_due or Request.SAVE in asked_for
            draw_due = 0 < params.preview_minutes * 60 <= now - drawn_at
            if device.type == "cpu" or len(unread) >= READ_EVERY or save_due or draw_due:
                last_loss = _record(unread, iteration, history)
                progress.advance(len(unread), f"src {last_loss[0]:.3f} dst {last_loss[1]:.3f}")
                unread.clear()

            # 8. Preview and save. The first save comes at once, so that a full disk shows early.
            if draw_due or save_due:
                draw_pictures()
                drawn_at = time.monotonic()
            if save_due:
                save(iteration, must=iteration == 1)
                saved_at = time.monotonic()

        # 9. The end, by target or by Ctrl-C: nothing of the work is lost.
        if unread:
            last_loss = _record(unread, iteration, history)
            progress.advance(len(unread))
        if iteration > start:
            save(iteration, must=True)
            draw_pictures()
        return TrainResult(
            iteration=iteration,
            src_loss=last_loss[0],
            dst_loss=last_loss[1],
            session_iterations=iteration - start,
            session_seconds=time.monotonic() - began,
            waiting_seconds=waiting,
            reached_target=bool(target) and iteration >= target,
        )
    finally:
        for one in samples:
            one.close()


def batch_plan(iteration: int, unwarped_every: int) -> tuple[int, bool]:
    """(number of the batch, warped or not) for an iteration, both counted from 0.

    Every `unwarped_every`-th iteration repeats the batch before it as it is; 0 never does.
    """
    if not unwarped_every:
        return iteration, True
    repeats = iteration // unwarped_every
    return iteration - repeats, iteration == 0 or iteration % unwarped_every != 0


def choose_device(params: TrainParams) -> torch.device:
    """Raises: ParameterError when cuda is asked for and there is none."""
    if params.device is Device.CUDA and not torch.cuda.is_available():
        raise ParameterError(
            "device is cuda, and torch finds no CUDA GPU here; install a torch with CUDA and the "
            "driver, or use device cpu"
        )
    use_gpu = params.device is not Device.CPU and torch.cuda.is_available()
    return torch.device("cuda" if use_gpu else "cpu")


def choose_precision(params: TrainParams, device: torch.device) -> torch.dtype | None:
    """The dtype to autocast to, None for float32. On a CPU only on request: few have bf16."""
    if params.precision is Precision.BF16:
        return torch.bfloat16
    automatic = params.precision is Precision.AUTO and device.type == "cuda"
    return torch.bfloat16 if automatic and torch.cuda.is_bf16_supported(False) else None


def build_network(params: TrainParams, device: torch.device) -> SwapNet:
    """The networks with weights drawn from the run's seed, laid out for `device`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed(params.seed, "weights"))
        net = build(params.spec)
    if isinstance(net, LIAE) and not params.random_warp:
        # as in DeepFaceLab: without warp the shared inter would unlearn what src and dst share
        net.inter_ab.requires_grad_(False)
    reduced = choose_precision(params, device) is not None
    if device.type == "cuda" or reduced:
        # what tensor cores and bf16 instructions read; in float32 on a CPU it measured 3 % slower
        torch.nn.utils.convert_conv2d_weight_memory_format(net, torch.channels_last)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # shapes never change
    return net.to(device)


def build_optimizer(params: TrainParams, net: SwapNet) -> AdaBelief | RMSprop:
    kind = {Optimizer.ADABELIEF: AdaBelief, Optimizer.RMSPROP: RMSprop}[params.optimizer]
    return kind(
        net.parameters(),
        params.learning_rate,
        keep=KEEP if params.lr_dropout else 1.0,
        cosine=params.lr_cycle,
        seed=params.seed,
    )


def loss_weights(params: TrainParams) -> LossWeights:
    weights = saehd_weights(params.resolution, params.masked_training)
    return replace(weights, dilate=params.wide_mask)


def augment(
    faces: Tensor, params: TrainParams, amounts: Amounts, side: str, draw: int
) -> Augmented:
    """Batch `draw` of a side, augmented by what (seed, side, draw) draws."""
    return augment_batch(faces, params.resolution, amounts, params.seed, side, draw)


def compute_losses(
    net: SwapNet,
    src: Augmented,
    dst: Augmented,
    weights: LossWeights,
    autocast: torch.dtype | None,
) -> Tensor:
    """(2,) float32: the mean loss of the src and of the dst side."""
    with torch.autocast(src.warped.device.type, autocast, enabled=autocast is not None):
        made = net(src.warped, dst.warped)
    src_loss = reconstruction_loss(made.src_src, made.src_src_mask, src.target, src.mask, weights)
    dst_loss = reconstruction_loss(made.dst_dst, made.dst_dst_mask, dst.target, dst.mask, weights)
    return torch.stack([src_loss.mean(), dst_loss.mean()])


def _record(unread: list[Tensor], iteration: int, history: History) -> tuple[float, float]:
    """Losses of the last iterations into the history; the last one's.

    Raises: TrainingDiverged, before such weights could be saved.
    """
    values = torch.stack(unread).cpu().tolist()
    for number, (src_loss, dst_loss) in enumerate(values, start=iteration - len(values) + 1):
        if not math.isfinite(src_loss + dst_loss):
            raise TrainingDiverged(
                f"the loss is {src_loss:g} (src), {dst_loss:g} (dst) at iteration {number}; the "
                "last save is kept. Resume with a lower learning_rate or with precision fp32"
            )
        history.add(number, src_loss, dst_loss)
    return values[-1][0], values[-1][1]


def _note_other_facesets(resumed: Checkpoint, src: Faceset, dst: Faceset, to: Progress) -> None:
    for faces, digest, side in ((src, resumed.src_digest, "src"), (dst, resumed.dst_digest, "dst")):
        if faces.digest != digest:
            to.note(f"the {side} faces are not those that this run was trained on so far")
