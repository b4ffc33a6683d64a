"""What several embeddings read from a table."""

import torch
from torch import Tensor

from tabscm import Table


def channels(table: Table) -> Tensor:
    """What is known of each cell: [B, N, D, 3] float32: value, intervened, observed."""
    return torch.stack([table.x, table.intervened.float(), table.observed.float()], -1)
