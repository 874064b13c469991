"""Networks and optimizers as the tensors of a save, and back from them."""

import torch
from torch import Tensor, nn

from facegraft.errors import CheckpointError
from facegraft.training.checkpoint import Checkpoint, Tensors

STEP = "step"  # name of an optimizer's own step count within its group


def optimizer_tensors(optimizer: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """The optimizer's state as tensors named PARAMETER.STATE, and its step count."""
    state = {
        f"{name}.{key}": value
        for name, parameter in module.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }
    return {STEP: torch.tensor(optimizer.param_groups[0]["step"]), **state}


def restore_group(checkpoint: Checkpoint, name: str, module: nn.Module) -> None:
    """Put a network's weights back. Raises: CheckpointError where they are absent or do not fit."""
    tensors = _group(checkpoint, name)
    wanted = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key) != found.get(key):
            raise CheckpointError(
                f"the save's {key} has shape {found.get(key)}, the network's {wanted.get(key)}; "
                "the file belongs to another architecture"
            )
    module.load_state_dict(dict(tensors))


def restore_optimizer(
    checkpoint: Checkpoint, name: str, optimizer: torch.optim.Optimizer, module: nn.Module
) -> None:
    """Put the state and step of the optimizer of `module` back. Raises: as restore_group."""
    tensors = dict(_group(checkpoint, name))
    step = tensors.pop(STEP, None)  # version 1 has none: there a step was an iteration
    for group in optimizer.param_groups:
        group["step"] = checkpoint.iteration if step is None else int(step)
    parameters = dict(module.named_parameters())
    for key, value in tensors.items():
        owner, _, state = key.rpartition(".")
        parameter = parameters.get(owner)
        if parameter is None or parameter.shape != value.shape:
            raise CheckpointError(f"optimizer state {key} does not fit the networks")
        # in the parameter's own memory format, as the optimizer made it
        home = "cpu" if optimizer.defaults.get("on_cpu") else parameter.device
        optimizer.state[parameter][state] = torch.empty_like(parameter, device=home).copy_(value)


def _group(checkpoint: Checkpoint, name: str) -> Tensors:
    if name not in checkpoint.groups:
        known = ", ".join(checkpoint.groups)
        raise CheckpointError(f"{checkpoint.path} holds no {name}; it holds {known}")
    return checkpoint.groups[name]
