"""What a pretended GPU shows of code that would fail on a real one, or have the host wait."""

import contextlib
import math

import pytest
import torch

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
        (lambda x: torch.linalg.inv(torch.eye(2, device=x.device)), "_linalg_check_errors"),
        (lambda x: x.repeat_interleave(torch.arange(3, device=x.device)), "repeat_interleave.Tensor"),
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
    assert not gpu.waits


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
        x.add_(1)
    with pytest.raises(RuntimeError, match="call wait_stream"):
        x.sum()


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


def test_afterwards_everything_is_as_it_was():
    before = (torch.Generator, torch.cuda.is_available(), torch.cuda.Stream)
    with contextlib.suppress(ZeroDivisionError), pretended_gpu():
        assert torch.cuda.is_available()
        raise ZeroDivisionError
    assert (torch.Generator, torch.cuda.is_available(), torch.cuda.Stream) == before
    assert not torch.__future__.get_overwrite_module_params_on_conversion()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
