"""What a mask network's answer costs: (N, 1, R, R) logits against a label, where that is known.

DeepFaceLab's XSeg learns by binary cross entropy alone; ours adds what is missing of the overlap
(soft Jaccard: the sums of minimum and maximum in place of intersection and union), so that small
faces and thin parts count as much as large ones.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from facegraft.training.mask_augment import LabelledBatch


def mask_loss(logits: Tensor, batch: LabelledBatch) -> tuple[Tensor, Tensor]:
    """The loss, and the error: the mean share of union that is not in the intersection, 0..1."""
    logits = logits.float()
    entropy = F.binary_cross_entropy_with_logits(logits, batch.face, reduction="none")
    entropy = (entropy * batch.known).sum() / batch.known.sum().clamp_min(1)
    error = 1 - overlap(logits.sigmoid(), batch).mean()
    return entropy + error, error


def overlap(probability: Tensor, batch: LabelledBatch) -> Tensor:
    """(N,) soft intersection over union of each face; 1 where both hold nothing."""
    said, right = probability * batch.known, batch.face * batch.known
    both = torch.minimum(said, right).sum(dim=(1, 2, 3))
    either = torch.maximum(said, right).sum(dim=(1, 2, 3))
    return (both + 1) / (either + 1)  # the one pixel keeps empty labels finite
