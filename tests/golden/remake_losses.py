"""Remake losses.json: three training steps of tiny networks, as a record of the whole chain.

One network of each family. Run `python -m tests.golden.remake_losses` from the repository's root
after a change that is meant to move the numbers, and say in the commit why they moved. Weights and
data come from numpy's generator, whose stream is promised to stay, and not from torch's.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from facegraft.model_spec import FaceType, ModelSpec
from facegraft.models.amp import AMP
from facegraft.models.build import SwapNet, build
from facegraft.training.loss import reconstruction_loss, saehd_weights
from facegraft.training.optim import AdaBelief, RMSprop

FILE = Path(__file__).with_name("losses.json")
STEPS = 3
SIDE = 64  # the smallest resolution
RECIPES = {
    "df-ud": (
        RMSprop,
        2e-5,
        replace(saehd_weights(SIDE), dilate=False),
    ),  # its 2e-4 lets rounding reach 1e-4
    "liae-ud": (AdaBelief, 5e-5, saehd_weights(SIDE)),
    "amp": (AdaBelief, 5e-5, saehd_weights(SIDE)),
}
INTER_DIMS = 64  # of amp: enough for a decoder of 16 dims


def losses_of(architecture: str) -> list[list[float]]:
    """[src, dst] loss before each of STEPS steps."""
    make, lr, weights = RECIPES[architecture]
    rng = np.random.default_rng(11)
    inter_dims = INTER_DIMS if architecture == "amp" else 0
    net = build(ModelSpec(architecture, SIDE, FaceType.FULL, 32, 16, 16, 16, inter_dims))
    fill(net, rng)
    src, dst = (torch.from_numpy(rng.random((2, 3, SIDE, SIDE), np.float32)) for _ in range(2))
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    mask = torch.from_numpy((x**2 + y**2 < 0.2).astype(np.float32)).expand(2, 1, SIDE, SIDE)
    extra = {}
    if isinstance(net, AMP):  # half of the channels, others for each face
        extra["morph"] = torch.from_numpy(rng.random((2, INTER_DIMS)).argsort(1) < INTER_DIMS // 2)
    optimizer = make(net.parameters(), lr=lr)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        made = net.reconstruct(src, dst, **extra)
        src_loss = reconstruction_loss(made.src_src, made.src_src_mask, src, mask, weights).mean()
        dst_loss = reconstruction_loss(made.dst_dst, made.dst_dst_mask, dst, mask, weights).mean()
        (src_loss + dst_loss).backward()
        optimizer.step()
        losses.append([src_loss.item(), dst_loss.item()])
    return losses


def fill(net: SwapNet, rng: np.random.Generator) -> None:
    """Glorot-uniform weights from `rng`; the biases stay zero."""
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim > 1:
                limit = np.sqrt(6 / (p[0].numel() + p.shape[0] * p[0, 0].numel()))
                p.copy_(torch.from_numpy(rng.uniform(-limit, limit, p.shape).astype(np.float32)))


if __name__ == "__main__":
    FILE.write_text(json.dumps({name: losses_of(name) for name in RECIPES}, indent=1) + "\n")
