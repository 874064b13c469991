"""Encoder, Inter and Decoder: the three stages from which the families are wired.

Letters: R resolution, E/A/D/M the encoder, autoencoder, decoder and mask dims of a ModelSpec.
Options, as DeepFaceLab names them in an architecture such as "liae-ud":
    u  the code is normalised to mean square 1 before the first dense layer
    d  the networks run at half resolution and the heads double it: same quality, half the cost
    t  deeper encoder and decoder with shortcuts (one more halving, one more doubling)
    c  x*cos(x) replaces every leaky ReLU
Images and masks are float 0..1, images RGB.
"""

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from facegraft.models.blocks import Down, Res, Up, depth_to_space, rms_normalize

OPTIONS = "udtc"


class Reconstruction(NamedTuple):
    """What a training step looks at; faces (N, 3, R, R), masks (N, 1, R, R), float32 0..1.

    Both sides rebuilt as themselves, and the codes (N, C, side, side) that entered the decoder,
    in the networks' precision. Where asked for, dst with src's face as well, made from a code
    without gradient: what is compared with it trains the decoder alone.
    """

    src_src: Tensor
    src_src_mask: Tensor
    dst_dst: Tensor
    dst_dst_mask: Tensor
    code_src: Tensor
    code_dst: Tensor
    src_dst: Tensor | None = None
    src_dst_mask: Tensor | None = None


class Swap(NamedTuple):
    """dst with src's face: (N, 3, R, R) and (N, 1, R, R), and dst's own mask (N, 1, R, R)."""

    src_dst: Tensor
    src_dst_mask: Tensor
    dst_dst_mask: Tensor


class Blocks(nn.Sequential):
    """Blocks in a row, which may keep their inputs only and compute the rest again in backward."""

    recompute = False

    def forward(self, input: Tensor) -> Tensor:
        if not (self.recompute and torch.is_grad_enabled()):
            return super().forward(input)
        x = input
        for block in self:
            # nothing in a block is random, so there is no random state to keep
            x = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False)
        return x


class Encoder(nn.Module):
    """(N, 3, R, R) -> (N, `self.size`): the flattened features of R/16 (with t R/32) squares."""

    def __init__(self, resolution: int, e_dims: int, options: Collection[str]):
        super().__init__()
        cosine = "c" in options
        e = e_dims
        if "t" in options:
            self.layers = Blocks(
                Down(3, e, cosine),
                Res(e, cosine),
                Down(e, 2 * e, cosine),
                Down(2 * e, 4 * e, cosine),
                Down(4 * e, 8 * e, cosine),
                Down(8 * e, 8 * e, cosine),
                Res(8 * e, cosine),
            )
        else:
            self.layers = Blocks(
                Down(3, e, cosine),
                Down(e, 2 * e, cosine),
                Down(2 * e, 4 * e, cosine),
                Down(4 * e, 8 * e, cosine),
            )
        side = resolution // (32 if "t" in options else 16)
        self.size = 8 * e * side * side
        self.normalized = "u" in options

    def forward(self, image: Tensor) -> Tensor:
        x = self.layers(image).flatten(1)  # N 8E*side*side, channel-major
        return rms_normalize(x) if self.normalized else x


class Inter(nn.Module):
    """The bottleneck: (N, in) -> A numbers -> (N, `self.out_dims`, side, side), side R/8 without d.

    `self.out_side` is that side in px.
    """

    def __init__(
        self, in_size: int, resolution: int, ae_dims: int, out_dims: int, options: Collection[str]
    ):
        super().__init__()
        self.side = resolution // (32 if "d" in options else 16)
        self.out_dims = out_dims
        self.squeeze = nn.Linear(in_size, ae_dims)
        self.spread = nn.Linear(ae_dims, self.side * self.side * out_dims)
        self.up = nn.Identity() if "t" in options else Up(out_dims, out_dims, "c" in options)
        self.out_side = self.side * (1 if "t" in options else 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.spread(self.squeeze(x))  # N O*L*L
        x = x.reshape(-1, self.out_dims, self.side, self.side)  # N O L L
        return self.up(x)  # N O 2L 2L


class Decoder(nn.Module):
    """(N, in, side, side) -> face (N, 3, R, R) and mask (N, 1, R, R), float32 0..1.

    The two branches share nothing but the input, so either can be asked for alone.
    """

    def __init__(self, in_dims: int, d_dims: int, d_mask_dims: int, options: Collection[str]):
        super().__init__()
        cosine = "c" in options
        deep = "t" in options
        doubled = "d" in options
        d, m = d_dims, d_mask_dims
        face_widths = [in_dims, 8 * d, *([8 * d] if deep else []), 4 * d, 2 * d]
        mask_widths = [in_dims, 8 * m, *([8 * m] if deep else []), 4 * m, 2 * m]
        if doubled:
            mask_widths.append(m)  # the mask is drawn at full resolution, the face in quarters
        self.face_layers = Blocks()
        for before, after in zip(face_widths, face_widths[1:], strict=False):
            self.face_layers.extend([Up(before, after, cosine), Res(after, cosine)])
        self.mask_layers = Blocks(
            *(Up(a, b, cosine) for a, b in zip(mask_widths, mask_widths[1:], strict=False))
        )
        kernels = (1, 3, 3, 3) if doubled else (1,)  # one convolution per pixel of a 2x2 quarter
        self.face_heads = nn.ModuleList(nn.Conv2d(2 * d, 3, k, padding=k // 2) for k in kernels)
        self.mask_head = nn.Conv2d(mask_widths[-1], 1, 1)

    def face(self, code: Tensor) -> Tensor:
        x = self.face_layers(code)  # N 2D R R, with d R/2
        x = torch.cat([head(x) for head in self.face_heads], dim=1)
        if len(self.face_heads) > 1:
            x = depth_to_space(x)  # (N, 12, R/2, R/2) -> (N, 3, R, R)
        return torch.sigmoid(x.float())  # bf16 has no steps between 0.996 and 1

    def mask(self, code: Tensor) -> Tensor:
        return torch.sigmoid(self.mask_head(self.mask_layers(code)).float())

    def forward(self, code: Tensor) -> tuple[Tensor, Tensor]:
        return self.face(code), self.mask(code)
