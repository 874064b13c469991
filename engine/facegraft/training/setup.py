"""What a run is made of, chosen by its options: device, precision, networks, optimizers, losses."""

from dataclasses import replace

import torch
from torch import nn

from facegraft.errors import ParameterError
from facegraft.models.build import SwapNet, build, set_checkpointing
from facegraft.models.df import DF
from facegraft.models.discriminator import CodeDiscriminator, PatchDiscriminator
from facegraft.models.winograd import set_winograd
from facegraft.training.loss import LossWeights, amp_weights, saehd_weights
from facegraft.training.mask_params import MaskTrainParams
from facegraft.training.optim import AdaBelief, RMSprop
from facegraft.training.params import Device, Optimizer, Precision, TrainParams
from facegraft.training.sampling import random_seed

KEEP = 0.3  # DeepFaceLab's learning-rate dropout: share of the weights that a step updates


def choose_device(params: TrainParams | MaskTrainParams, local_rank: int = 0) -> torch.device:
    """The device of this process, number `local_rank` of its machine.

    Raises: ParameterError when cuda is asked for and there is none.
    """
    if params.device is Device.CUDA and not torch.cuda.is_available():
        raise ParameterError(
            "device is cuda, and torch finds no CUDA GPU here; install a torch with CUDA and the "
            "driver, or use device cpu"
        )
    use_gpu = params.device is not Device.CPU and torch.cuda.is_available()
    return torch.device("cuda", local_rank) if use_gpu else torch.device("cpu")


def choose_precision(
    params: TrainParams | MaskTrainParams, device: torch.device
) -> torch.dtype | None:
    """The dtype to autocast to, None for float32. On a CPU only on request: few have bf16."""
    if params.precision is Precision.BF16:
        return torch.bfloat16
    automatic = params.precision is Precision.AUTO and device.type == "cuda"
    return torch.bfloat16 if automatic and torch.cuda.is_bf16_supported(False) else None


def build_network(
    params: TrainParams, device: torch.device, autocast: torch.dtype | None
) -> SwapNet:
    """The autoencoder with weights drawn from the run's seed, laid out for `device`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed(params.seed, "weights"))
        net = build(params.spec)
    set_checkpointing(net, params.checkpoint_activations)
    if device.type == "cuda" or autocast is not None:
        # what tensor cores and bf16 instructions read; in float32 on a CPU it measured 3 % slower
        nn.utils.convert_conv2d_weight_memory_format(net, torch.channels_last)
    set_winograd(net, device.type == "cpu" and autocast is None)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # shapes never change
    return net.to(device)


def build_judges(
    params: TrainParams, net: SwapNet, device: torch.device
) -> dict[str, PatchDiscriminator | CodeDiscriminator]:
    """The judges that the options ask for, by their names in a save. Raises: ParameterError."""
    judges: dict[str, PatchDiscriminator | CodeDiscriminator] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed(params.seed, "judges"))
        if params.gan_power:
            patch = params.gan_patch_size or params.resolution // 8
            judges["gan"] = PatchDiscriminator(patch, params.gan_dims)
        if params.true_face_power:
            if not isinstance(net, DF):
                raise ParameterError(
                    f"true_face_power is {params.true_face_power:g}, which compares the codes of "
                    f"df; {params.architecture} has none like them, set it to 0"
                )
            judges["code"] = CodeDiscriminator(net.inter.out_dims, net.inter.out_side)
    for judge in judges.values():
        judge.requires_grad_(False).to(device)
    return judges


def build_optimizer(params: TrainParams, module: nn.Module) -> AdaBelief | RMSprop:
    kind = {Optimizer.ADABELIEF: AdaBelief, Optimizer.RMSPROP: RMSprop}[params.optimizer]
    return kind(
        module.parameters(),
        params.learning_rate,
        keep=KEEP if params.lr_dropout else 1.0,
        cosine=params.lr_cycle,
        seed=params.seed,
        on_cpu=params.optimizer_on_cpu,
    )


def loss_weights(params: TrainParams, side: str) -> LossWeights:
    if params.spec.family == "amp":
        return amp_weights(params.resolution, side)
    weights = saehd_weights(params.resolution, params.masked_training, params.eyes_mouth_priority)
    return replace(weights, dilate=params.wide_mask)
