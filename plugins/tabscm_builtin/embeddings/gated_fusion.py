"""Two readings of every cell, one by feature crosses and one by a scan over rows, joined by a learned gate."""

import attrs
import torch
import torch.nn.functional as F
from attrs.validators import ge
from torch import Tensor, nn

from tabscm import Embedding, Evidence, Table
from tabscm_builtin.embeddings._common import channels


@attrs.frozen
class GatedFusion(Embedding):
    """A cross network and a selective scan over rows, joined by a gate; pairs are products of two columns, row by row.

    A token t_ni is what a small network makes of cell (n, i) plus the mean over the columns of row n of another one,
    normalised: every cell knows its row. Two branches read the tokens.

    1. Crosses, each layer doubling the order of the polynomial:
           c = W t;  t <- t * ([c || c * relu(norm(c))] + b) + t
    2. A selective scan, whose step dt > 0, input B and output C are linear in the token:
           h_n = exp(dt_n a) h_n-1 + dt_n B_n x_n;  y_n = C_n h_n + d x_n;  out = y * silu(z)

    A scan needs an order, and the order of rows must not matter: the rows of column i are scanned from its smallest
    value to its largest, so that the scan reads what the rest of the row does as x_i grows. Rows with equal values of
    x_i are taken in the order of a fixed smooth function of all cells of their row, which depends on neither the order
    of rows nor of columns. Only rows that are tied in that too, those with the same cells in other columns, are left
    to chance; no continuous column has any.

    gate_i = sigmoid(W [mean_n crosses || mean_n scan]) in [0, 1] per feature, "gate" [B, D, E], is the share of the
    first branch in u = gate * crosses + (1 - gate) * scan. Nodes are the mean of u over rows. Pair (i, j) is read from
    the covariances over rows of feature k of column i with feature k of column j, for `products` features; the diagonal
    holds the nodes as well. Columns must meet before rows are pooled: nodes alone would be a per-column embedding.

    Source: the fusion block of the fourth source system (a cross-network branch and a Mamba branch, joined by a gate).
    Crosses: exponential cross network and self-mask of DCNv3, Li et al. 2024, arXiv:2407.13349. Scan: Gu & Dao 2023,
    arXiv:2312.00752, algorithm 2, with one a per head and the chunked form of Dao & Gu 2024, arXiv:2405.21060, section
    6. Differs: columns take the place of fields and sorted rows of a click sequence; no convolution before the scan; no
    loss of its own for each branch; the pairs.
    """

    name = "gated-fusion"
    gives = frozenset({"gate", "pairs"})
    crosses: int = attrs.field(default=3, validator=ge(1))
    """Layers of the cross network."""
    heads: int = attrs.field(default=4, validator=ge(1))
    """Heads of the scan, each with a time scale of its own."""
    state: int = attrs.field(default=8, validator=ge(1))
    """Numbers that the scan remembers per feature."""
    products: int = attrs.field(default=32, validator=ge(1))
    """Features of two columns that are multiplied row by row."""

    def build(self, width: int) -> nn.Module:
        if width % 2 or width % self.heads:
            raise ValueError(f"gated-fusion: width {width} is not a multiple of 2 and of heads, which is {self.heads}")
        return _GatedFusion(self, width)


class _GatedFusion(nn.Module):
    def __init__(self, spec: GatedFusion, width: int) -> None:
        super().__init__()
        self.cell = nn.Sequential(nn.Linear(3, width), nn.Hardswish(), nn.Linear(width, 2 * width))
        self.norm = nn.LayerNorm(width)
        self.crosses = nn.Sequential(*(_Cross(width) for _ in range(spec.crosses)), nn.LayerNorm(width))
        self.scan = nn.Sequential(_Scan(width, spec.heads, spec.state), nn.LayerNorm(width))
        self.gate = nn.Linear(2 * width, width)
        self.node = nn.Linear(width, width)
        self.factors = nn.Linear(width, 2 * spec.products, bias=False)  # covariances are centred: no bias
        self.pair = nn.Sequential(nn.LayerNorm(spec.products), nn.Linear(spec.products, width))

    def forward(self, table: Table) -> Evidence:
        cells = channels(table).transpose(1, 2)  # [B, D, N, 3]
        own, row = self.cell(cells).chunk(2, -1)
        tokens = self.norm(own + row.mean(1, keepdim=True))  # [B, D, N, E]
        order = by_value(cells)[..., None].expand_as(tokens)
        scanned = self.scan(tokens.gather(2, order))
        crosses, scanned = self.crosses(tokens), torch.empty_like(scanned).scatter(2, order, scanned)
        gate = self.gate(torch.cat([crosses.mean(2), scanned.mean(2)], -1)).float().sigmoid()  # [B, D, E]
        fused = torch.lerp(scanned.float(), crosses.float(), gate[:, :, None])
        nodes = self.node(fused.mean(2))
        own_pair = torch.eye(nodes.shape[1], device=nodes.device)[:, :, None] * nodes[:, :, None]  # [B, D, D, E]
        left, right = self.factors(fused).chunk(2, -1)
        pairs = self.pair(_covariances(left, right)) + own_pair
        return Evidence(nodes=nodes, pairs=pairs, aux={"gate": gate})


class _Cross(nn.Module):
    """One layer of the exponential cross network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Linear(width, width // 2, bias=False)
        self.norm = nn.LayerNorm(width // 2)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., E] -> [..., E]."""
        c = self.weight(x)
        masked = c * F.relu(self.norm(c))  # a learned filter against noise
        return x * (torch.cat([c, masked], -1) + self.bias) + x


class _Scan(nn.Module):
    """A selective scan along the last axis but one, with what goes in and comes out."""

    def __init__(self, width: int, heads: int, state: int) -> None:
        super().__init__()
        self.sizes = [width, width, state, state, heads]
        self.project = nn.Linear(width, sum(self.sizes))
        # as in the source a is -1 to -16; with a step of 0.05 heads begin by remembering about 20 rows to 1
        self.log_decay = nn.Parameter(torch.linspace(1, 16, heads).log())
        self.step_bias = nn.Parameter(torch.full((heads,), -3.0))
        self.skip = nn.Parameter(torch.ones(heads, 1))
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: [B, D, N, E] -> [B, D, N, E]."""
        x, z, into, read, step = torch.split(self.project(tokens), self.sizes, -1)
        x = x.reshape(*x.shape[:-1], len(self.skip), -1)  # [B, D, N, H, V]
        y = selective_scan(x, F.softplus(step.float() + self.step_bias), -self.log_decay.exp(), into, read)
        y = (y + self.skip * x).flatten(-2) * F.silu(z)
        out: Tensor = self.out(y)
        return out


def selective_scan(x: Tensor, step: Tensor, decay: Tensor, into: Tensor, read: Tensor, *, chunk: int = 32) -> Tensor:
    """h_n = exp(step_n decay) h_n-1 + step_n into_n (outer) x_n from h = 0, and y_n = read_n . h_n; parallel over n.

    Rows are cut into chunks. Within a chunk y is a product with a [chunk, chunk] matrix of decays; what each chunk adds
    to the state is carried to the later ones by one such matrix between chunks. Every exponent is <= 0, so that nothing
    overflows, and memory grows with rows times (chunk + rows / chunk^2).

    Args:
        x: [..., N, H, V].
        step: [..., N, H] float32, >= 0.
        decay: [H] float32, <= 0.
        into: [..., N, S].
        read: [..., N, S].
        chunk: rows per chunk; a matter of speed alone.

    Returns:
        y: [..., N, H, V].
    """
    *batch, rows, heads, width = x.shape
    padding = -rows % chunk
    chunks = (rows + padding) // chunk  # K
    # at a step of 0 the state stays as it is: rows of padding do nothing
    step, x = F.pad(step, (0, 0, 0, padding)), F.pad(x * step[..., None], (0, 0, 0, 0, 0, padding))
    into, read = (F.pad(one, (0, 0, 0, padding)).view(*batch, chunks, 1, chunk, -1) for one in (into, read))
    x = x.view(*batch, chunks, chunk, heads, width).transpose(-2, -3)  # [..., K, H, Q, V], Q rows in a chunk
    log = (step * decay).view(*batch, chunks, chunk, heads).mT.cumsum(-1)  # [..., K, H, Q]

    within = ((read @ into.mT) * _decays(log)) @ x  # [..., K, H, Q, V]
    added = (into * (log[..., -1:] - log).exp()[..., None]).mT @ x  # [..., K, H, S, V], by the end of each chunk
    between = _decays(log[..., -1].mT.cumsum(-1))  # [..., H, K, K], from the end of one chunk to the end of another
    states = torch.einsum("...hkl,...lhsv->...khsv", between, added.to(between.dtype))
    before = F.pad(states, (0, 0, 0, 0, 0, 0, 1, 0))[..., :-1, :, :, :]  # at the start of each chunk
    y = within + (read * log.exp()[..., None]) @ before
    return y.transpose(-2, -3).reshape(*batch, rows + padding, heads, width)[..., :rows, :, :]


def _decays(log: Tensor) -> Tensor:
    """exp(log_t - log_s) where s <= t, else 0: [..., T] -> [..., T, T] (t, s)."""
    size = log.shape[-1]
    later = torch.ones(size, size, dtype=torch.bool, device=log.device).triu(1)
    # before exp, for above the diagonal it could overflow, and 0 times infinity is not 0
    return (log[..., :, None] - log[..., None, :]).masked_fill(later, -torch.inf).exp()


def by_value(cells: Tensor) -> Tensor:
    """The order of the rows of each column, by its values and then by what else is in the row.

    Args:
        cells: [B, D, N, 3]: value, intervened, observed.

    Returns:
        [B, D, N] int64: which row comes n-th.
    """
    frequency = torch.arange(3.0, 8.0, 2.0, device=cells.device)  # 3, 5, 7
    row = (cells * frequency).sum(-1).sin().sum(1)  # [B, N]; no matrix product, which autocast would round
    first = row.argsort(-1)[:, None].expand(cells.shape[:3])  # [B, D, N]
    second = cells[..., 0].gather(2, first).argsort(stable=True, dim=-1)
    return first.gather(2, second)


def _covariances(left: Tensor, right: Tensor) -> Tensor:
    """Feature by feature over rows, between every two columns: two [B, D, N, C] -> [B, D, D, C] float32."""
    with torch.autocast(left.device.type, enabled=False):
        a = left.float().permute(0, 3, 1, 2)  # [B, C, D, N]
        b = right.float().permute(0, 3, 2, 1)  # [B, C, N, D]
        a = a - a.mean(3, keepdim=True)
        return (a @ b / a.shape[3]).permute(0, 2, 3, 1)
