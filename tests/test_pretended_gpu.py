"""What a pretended GPU shows of code that would fail on a real one, or have the host wait."""

import contextlib
import math

import attrs
import pytest
import torch
from tabscm_builtin.mechanisms.linear import Linear

from tabscm import Mechanism
from tabscm.testing import conformance
from tabscm.testing.pretended_gpu import pretended_gpu

MIXED = "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu"


@pytest.fixture
def gpu():
    with pretended_gpu() as gpu:
        yield gpu


def test_what_it_computes_is_what_the_host_computes(gpu):
    rng, on_host = torch.Generator("cuda").manual_seed(3), torch.Generator().manual_seed(3)
    x = torch.randn(4, 5, generator=rng, device="cuda")
    assert (x.device, x.is_cuda, x.cpu().is_cuda) == (gpu.device, True, False)
    expected = torch.randn(4, 5, generator=on_host).requires_grad_()
    weight = torch.nn.Parameter(x)
    for one in (weight, expected):
        ((one @ one.T).softmax(-1)[:, [0, 2]] * torch.arange(2, device=one.device)).square().sum().backward()
    assert torch.equal(weight.grad.cpu(), expected.grad)
    layer = torch.nn.Linear(5, 2).to("cuda")
    assert {parameter.device for parameter in layer.parameters()} == {gpu.device}
    layer.load_state_dict({"weight": torch.ones(2, 5), "bias": torch.zeros(2)})
    with torch.inference_mode():
        assert torch.equal(layer(x).cpu(), x.cpu().sum(1)[:, None].expand(4, 2))


@pytest.mark.parametrize(
    ("mistake", "error", "message"),
    [
        (lambda x: x + torch.ones(3), RuntimeError, MIXED),
        (lambda x: torch.ones(3, 3) @ x, RuntimeError, MIXED),
        (lambda x: torch.zeros(3).index_put_((torch.tensor([0]),), x[:1]), RuntimeError, MIXED),
        (lambda x: torch.rand(3, generator=torch.Generator(), device=x.device), RuntimeError, "for generator"),
        (lambda x: torch.normal(0.0, 1.0, (3,), generator=torch.Generator("cuda")), RuntimeError, "for generator"),
        (lambda x: torch.poisson(x, generator=torch.Generator()), RuntimeError, "for generator"),
        (lambda x: x.numpy(), TypeError, "Tensor.cpu"),
        # numbers of the host by themselves go with what is computed element by element, and with nothing else
        (lambda x: torch.stack([x.sum(), torch.zeros(())]), RuntimeError, MIXED),
        (lambda x: torch.zeros(()).add_(x.sum()), RuntimeError, MIXED),
        (lambda x: x.index_select(0, torch.tensor(0)), RuntimeError, MIXED),
        (lambda x: torch.ones(3, device="cuda:1"), RuntimeError, "there is no cuda:1"),
    ],
)
def test_what_a_gpu_refuses_it_refuses(gpu, mistake, error, message):
    with pytest.raises(error, match=message):
        mistake(torch.ones(3, device="cuda"))


@pytest.mark.parametrize(
    ("waiting", "what"),
    [
        (lambda x: float(x.sum()), "_local_scalar_dense"),
        (lambda x: x.tolist(), "tolist"),
        (lambda x: x.cpu(), "copied to the host"),
        (lambda x: torch.empty(3).copy_(x, non_blocking=True), "copied to the host"),
        (lambda x: torch.tensor([1.0], device=x.device), "copied to the GPU"),
        (lambda x: torch.zeros(3).to(x.device), "copied to the GPU"),
        (lambda x: x[x > 0], "indexed by a mask"),
        (lambda x: x[[0, 2]], "indexed from the host"),
        (lambda x: x.nonzero(), "nonzero"),
        (lambda x: torch.zeros(1 << 15).to(x.device, non_blocking=True), "copied to the GPU"),
        (lambda x: torch.equal(x, x), "equal"),
        (lambda x: torch.allclose(x, x), "allclose"),
        (lambda x: x.masked_select(x > 0), "masked_select"),
        (lambda x: x.long().bincount(), "bincount"),
        (lambda x: x.unique(), "_unique2"),
        (lambda x: x.unique(dim=0), "unique_dim"),
        (lambda x: x.unique_consecutive(), "unique_consecutive"),
        (lambda x: x.multinomial(1), "multinomial"),
        (lambda x: torch.linalg.matrix_exp(torch.eye(2, device=x.device)), "linalg_matrix_exp"),
        (lambda x: torch.linalg.eigvalsh(torch.eye(2, device=x.device)), "_linalg_eigh"),
        (lambda x: torch.linalg.svdvals(torch.eye(2, device=x.device)), "_linalg_svd"),
        (lambda x: torch.cuda.synchronize(), "synchronize"),
        (lambda x: torch.cuda.current_stream().record_event().synchronize(), "synchronize"),
        (lambda x: f"{x.sum():.2f}", "shown"),
        (lambda x: torch.linalg.inv(torch.eye(2, device=x.device)), "_linalg_check_errors"),
        (lambda x: x.repeat_interleave(torch.arange(3, device=x.device)), "repeat_interleave"),
    ],
)
def test_it_says_where_the_host_waits(gpu, waiting, what):
    x = torch.ones(3, device="cuda")
    assert not gpu.waits
    waiting(x)
    ((place, times),) = gpu.waits.items()
    assert (place.split(", line ")[0], place.split(": ")[-1], times) == (__name__, what, 1)


def test_where_the_host_does_not_wait_it_counts_nothing(gpu):
    x = torch.arange(3.0, device="cuda") + torch.tensor(1.0)
    x[torch.tensor([0]).to(x.device, non_blocking=True)] = 2.0
    x = torch.where(x > 1, x, 0.0).clamp(min=1e-3).cumsum(0).masked_fill(x > 2, -1.0)
    torch.linalg.inv_ex(torch.eye(2, device="cuda"))
    assert x[:, None].expand(3, 3).repeat_interleave(2).shape == (18,)
    counts = torch.arange(3).to(x.device, non_blocking=True)
    assert counts.repeat_interleave(counts, output_size=3).shape == (3,)
    torch.zeros(1 << 15).pin_memory().to(x.device, non_blocking=True)
    queued = torch.cuda.current_stream().record_event()
    x.add_(1)
    queued.synchronize()
    assert x.to(x.device) is x
    assert not gpu.waits


def test_what_is_made_like_a_tensor_lies_where_that_lies(gpu):
    x = torch.ones(3, device="cuda")
    made = [x.new_tensor([2.0]), x.new_zeros(1), torch.tensor([x[0], 2.0], device="cuda"), torch.ones(1).cuda()]
    made += [torch.asarray(x), x.to(torch.float64), torch.zeros_like(x), *torch.nn.Linear(1, 1).cuda().parameters()]
    assert {one.device for one in made} == {gpu.device}
    leaf = torch.tensor([3.0], device="cuda", requires_grad=True)
    (leaf * x.new_tensor(2.0)).sum().backward()
    assert leaf.grad.tolist() == [2.0]


def test_only_what_a_component_has_the_host_wait_for_is_counted(gpu):
    @attrs.frozen
    class Impatient(Mechanism):
        """Looks at what it draws."""

        name = "impatient"

        def draw(self, mask, rng):
            scale = torch.rand(mask.shape[0], 1, generator=rng, device=rng.device)
            float(scale.sum())
            return lambda parents, noise: noise + scale * (parents * mask[:, None]).sum(-1)

    conformance(Linear(), device="cuda")
    assert not gpu.waits
    conformance(Impatient(), device="cuda")
    assert {place.split(", line ")[0] for place in gpu.waits} == {__name__}


def test_autocast_takes_the_types_of_a_gpu(gpu):
    x = torch.ones(2, 2, device="cuda", requires_grad=True)
    half = x.bfloat16()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        found = {
            torch.bfloat16: [x @ x, torch.nn.functional.linear(x, x), torch.einsum("ij,jk", x, x), half + half],
            torch.float32: [half.exp(), half.sum(), half**2, torch.cat([half, x]), half.softmax(-1), half + x],
            torch.float64: [x.double() @ x.double()],
        }
        (x @ x).sum().backward()
        with torch.autocast("cuda", enabled=False):
            assert (x @ x).dtype == torch.float32
        with pytest.raises(RuntimeError, match="source and destination dtypes match"):
            torch.zeros(2, 2, device="cuda")[[0, 1]] = x @ x
    assert {kind: {one.dtype for one in some} for kind, some in found.items()} == {kind: {kind} for kind in found}
    assert x.grad.dtype == torch.float32


def test_a_tensor_of_another_cuda_stream_is_refused_until_it_is_waited_for(gpu):
    own = torch.cuda.Stream(gpu.device)
    with torch.cuda.stream(own):
        x = torch.ones(3, device="cuda")
        view = x[1:]
    with pytest.raises(RuntimeError, match="before another has made it; call wait_stream"):
        x.sum()
    here = torch.cuda.current_stream()
    here.wait_stream(own)
    with pytest.raises(RuntimeError, match="another that it does not know; call record_stream"):
        x.sum()
    x.record_stream(here)
    assert [float(x.sum()), float(view.sum())] == [3.0, 2.0]
    with torch.cuda.stream(own):
        view.add_(1)
    for one in (x, view, x.data):
        with pytest.raises(RuntimeError, match="call wait_stream"):
            one.sum()
    third = torch.cuda.Stream(gpu.device)
    third.wait_stream(own)
    here.wait_stream(third)  # and so for what that one waited for
    assert float(x.sum()) == 5.0


def test_what_was_sent_without_waiting_is_wrong_until_it_has_arrived(gpu):
    host, sent = torch.empty(2, pin_memory=True), torch.cuda.Event()
    x = torch.ones(2, device="cuda")
    host.copy_(x, non_blocking=True)
    sent.record()
    x.zero_()
    assert all(map(math.isnan, host.tolist()))
    sent.synchronize()
    assert host.tolist() == [1.0, 1.0]
    assert not gpu.waits
    host = x.to("cpu", non_blocking=True)
    assert all(map(math.isnan, host.tolist()))
    torch.cuda.synchronize()
    assert host.tolist() == [0.0, 0.0]


def test_afterwards_everything_is_as_it_was():
    before = (torch.Generator, torch.cuda.is_available(), torch.cuda.Stream)
    with contextlib.suppress(ZeroDivisionError), pretended_gpu():
        assert torch.cuda.is_available()
        raise ZeroDivisionError
    assert (torch.Generator, torch.cuda.is_available(), torch.cuda.Stream) == before
    assert not torch.__future__.get_overwrite_module_params_on_conversion()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
