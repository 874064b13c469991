"""The family liae: one decoder for both people, told apart by two inters.

DeepFaceLab's "liae" architecture: `inter_ab` carries what both share (pose, light, expression),
`inter_b` what is dst's own; src fills that half with `inter_ab` again. The swap adapts src's shape
and light to dst. All images (N, 3, R, R) float RGB 0..1.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from facegraft.model_spec import ModelSpec
from facegraft.models.stages import Decoder, Encoder, Inter, Reconstruction, Swap


class LIAE(nn.Module):
    """See `stages.py` for the dims and option letters."""

    inters: ClassVar = ("inter_ab", "inter_b")

    def __init__(self, spec: ModelSpec):
        super().__init__()
        options, out_dims = spec.options, 2 * spec.ae_dims
        self.encoder = Encoder(spec.resolution, spec.e_dims, options)
        size = self.encoder.size
        self.inter_ab = Inter(size, spec.resolution, spec.ae_dims, out_dims, options)
        self.inter_b = Inter(size, spec.resolution, spec.ae_dims, out_dims, options)
        self.decoder = Decoder(2 * out_dims, spec.d_dims, spec.d_mask_dims, options)

    def reconstruct(self, src: Tensor, dst: Tensor, with_swap: bool = False) -> Reconstruction:
        """Each side with its own pair of codes; this is what training compares with the targets."""
        features = self.encoder(torch.cat([src, dst]))  # 2N F
        ab = self.inter_ab(features)  # 2N 2A 2L 2L
        b_dst = self.inter_b(features[len(src) :])  # N 2A 2L 2L
        ab_src, ab_dst = ab.split([len(src), len(dst)])
        code_src = torch.cat([ab_src, ab_src], dim=1)  # N 4A 2L 2L
        code_dst = torch.cat([b_dst, ab_dst], dim=1)
        codes = [code_src, code_dst]
        if with_swap:
            codes.append(torch.cat([ab_dst, ab_dst], dim=1).detach())
        face, mask = self.decoder(torch.cat(codes))  # 2N or 3N
        sizes = [len(c) for c in codes]
        src_src, dst_dst, *swapped = face.split(sizes)
        src_src_mask, dst_dst_mask, *swapped_mask = mask.split(sizes)
        return Reconstruction(
            src_src, src_src_mask, dst_dst, dst_dst_mask, code_src, code_dst,
            *swapped, *swapped_mask,
        )  # fmt: skip

    def swap(self, dst: Tensor) -> Swap:
        """The shared code alone, as for src, while the mask of dst itself takes dst's pair."""
        features = self.encoder(dst)  # N F
        ab = self.inter_ab(features)  # N 2A 2L 2L
        b = self.inter_b(features)
        src_dst, src_dst_mask = self.decoder(torch.cat([ab, ab], dim=1))
        return Swap(src_dst, src_dst_mask, self.decoder.mask(torch.cat([b, ab], dim=1)))

    def forward(self, src: Tensor, dst: Tensor, with_swap: bool = False) -> Reconstruction:
        return self.reconstruct(src, dst, with_swap)
