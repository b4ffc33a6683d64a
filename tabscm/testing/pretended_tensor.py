"""Tensors on a pretended GPU, see `pretended_gpu`, and what they do in place of those of a real one."""

# mypy: disable-error-code="no-untyped-call, override, misc"
# ruff: noqa: ANN401 - operations of torch take and return whatever there is

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from tabscm.testing.pretended_autocast import cast

if TYPE_CHECKING:
    from tabscm.testing.pretended_gpu import Gpu, Queue

CUDA = torch.device("cuda", 0)

_aten = torch.ops.aten
INDEXED = (
    _aten.index.Tensor,
    _aten.index_put.default,
    _aten.index_put_.default,
    _aten._index_put_impl_.default,
)
KNOWN_BY_VALUE = (
    _aten._local_scalar_dense.default,  # of item(), float(), bool(), if
    _aten.is_nonzero.default,
    _aten.equal.default,
    _aten.nonzero.default,
    _aten.masked_select.default,
    _aten.bincount.default,
    _aten._unique2.default,
    _aten.unique_dim.default,
    _aten.unique_consecutive.default,
    _aten._linalg_check_errors.default,
    _aten._linalg_eigh.default,
    _aten._linalg_svd.default,
)
"""What the host goes on from only when it knows numbers, or a shape that depends on them."""


class OnGpu(Tensor):
    """A tensor that says it lies on the GPU. What torch has of it is a shape without numbers; those are its own."""

    gpu: "Gpu"
    numbers: Tensor
    """On the host."""
    made_on: "Queue"
    """The stream that wrote it last, and after how many of its operations."""
    made_at: int
    recorded: "set[Queue]"
    """Further streams that may use its memory."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls: "type[OnGpu]", numbers: Tensor, gpu: "Gpu", recorded: "set[Queue] | None" = None) -> "OnGpu":
        with torch.inference_mode(False):
            shape = torch.empty_strided(numbers.shape, numbers.stride(), dtype=numbers.dtype, device="meta")
            made: OnGpu = torch.Tensor._make_subclass(cls, shape)
        made.numbers, made.gpu = numbers, gpu
        made.made_on, made.made_at = gpu.queue, gpu.queue.done
        made.recorded = set() if recorded is None else recorded
        return made

    def __init__(self, *_: object) -> None:
        pass

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = next(one for one in tree_leaves((args, kwargs)) if isinstance(one, OnGpu))
        return compute(found.gpu, func, args, kwargs or {})

    def __repr__(self) -> str:
        return f"OnGpu({self.numbers})"

    @property
    def device(self) -> torch.device:
        return CUDA

    @property
    def is_cuda(self) -> bool:
        return True

    @property
    def is_cpu(self) -> bool:
        return False

    @property
    def is_meta(self) -> bool:
        return False

    def get_device(self) -> int:
        return 0

    def record_stream(self, queue: "Queue") -> None:
        self.recorded.add(queue)

    @property
    def data(self) -> "OnGpu":
        return OnGpu(self.numbers, self.gpu)._made_as(self)

    @data.setter
    def data(self, other: "OnGpu") -> None:
        self.numbers = other.numbers
        self._made_as(other)

    def _made_as(self, other: "OnGpu") -> "OnGpu":
        self.made_on, self.made_at, self.recorded = other.made_on, other.made_at, other.recorded
        return self


class Functions(TorchFunctionMode):
    """What torch decides before there is an operation: where new tensors lie, and what is read of one."""

    def __init__(self, gpu: "Gpu") -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # "cuda" is the one that there is
        args, kwargs = tree_map(_numbered, (args, kwargs or {}))
        on_gpu = bool(args) and isinstance(args[0], OnGpu)
        if (rng := kwargs.get("generator")) is not None:
            tensor = next((one for one in args if isinstance(one, Tensor)), None)
            where = torch.device(kwargs.get("device") or ("cpu" if tensor is None else tensor.device))
            if where.type != rng.device.type:
                raise RuntimeError(f"Expected a '{where.type}' device type for generator but found '{rng.device.type}'")
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu").type == "cuda":
            return func(*args, **{**kwargs, "device": "cpu"}).to(CUDA)
        if on_gpu and func is Tensor.tolist:
            self.gpu.wait("tolist")
            return args[0].numbers.tolist()
        if on_gpu and func in (Tensor.numpy, Tensor.__array__):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        if on_gpu and func in (Tensor.__getitem__, Tensor.__setitem__):
            # of a list torch would make a tensor without numbers
            indices = args[1] if isinstance(args[1], tuple) else (args[1],)
            own = tuple(torch.tensor(index) if isinstance(index, list) else index for index in indices)
            args = (args[0], own, *args[2:])
        if torch.is_autocast_enabled("cuda"):
            args, kwargs = cast(getattr(func, "__name__", ""), args, kwargs)
        return func(*args, **kwargs)


class Operations(TorchDispatchMode):
    """Every operation, those included that make the first tensor on the GPU."""

    def __init__(self, gpu: "Gpu") -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(self.gpu, func, args, kwargs or {})


def compute(gpu: "Gpu", func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Do one operation, where its tensors lie.

    Raises:
        RuntimeError: a GPU would not do it.
    """
    with Operations(gpu):  # where what an operation is made of has not been taken apart yet
        found = func.decompose(*args, **kwargs)
    if found is not NotImplemented:
        return found
    pinned = kwargs.pop("pin_memory", False)
    given = tree_leaves((args, kwargs))
    there = [one for one in given if isinstance(one, OnGpu)]
    device = next((one for one in given if isinstance(one, torch.device)), None)
    # torch knows tensors on the GPU as those without numbers: "like this one" is "meta" to it
    on_gpu = bool(there) if device is None else device.type in ("cuda", "meta")
    if not there and not on_gpu:
        found = func(*args, **kwargs)
        if pinned:
            found.pinned = True
        return found

    host = [one for one in given if isinstance(one, Tensor) and not isinstance(one, OnGpu)]
    sent = False
    if func in (_aten._to_copy.default, _aten.copy_.default):
        sent = _copy(gpu, func, args, kwargs)
    else:
        _check(gpu, func, args, host)
    for tensor in there:
        gpu.use(tensor)
    gpu.queue.done += 1
    if sent:
        gpu.send(args[1].numbers, args[0])
        return args[0]
    own_args, own = tree_map(_on_host, (args, kwargs))
    with torch.inference_mode(False), torch.no_grad():
        found = func(*own_args, **own)
    if not on_gpu:
        return found
    if func._schema.is_mutable:
        for tensor in there:  # some it only read, which does no harm: they have just been found ready
            tensor.made_on, tensor.made_at = gpu.queue, gpu.queue.done
    written = {id(_on_host(one)): one for one in given if isinstance(one, Tensor)}
    memory = {one.numbers.untyped_storage()._cdata: one.recorded for one in there}

    def outside(one: object) -> object:
        if not isinstance(one, Tensor):
            return one
        if id(one) in written:
            return written[id(one)]
        return OnGpu(one, gpu, memory.get(one.untyped_storage()._cdata))

    return tree_map(outside, found)


def _copy(gpu: "Gpu", func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Does the host wait for a copy? Returns whether it goes on while its own copy is on the way."""
    if func is _aten.copy_.default:
        to, source = args[:2]
        to_gpu, patient = isinstance(to, OnGpu), not (len(args) > 2 and args[2])
    else:
        to, source = None, args[0]
        to_gpu = isinstance(source, OnGpu) if kwargs.get("device") is None else kwargs["device"].type != "cpu"
        patient = not kwargs.get("non_blocking")
    if to_gpu == isinstance(source, OnGpu):
        return False
    if to_gpu:
        if patient:
            gpu.wait("copied to the GPU")
        return False
    if patient or not getattr(to, "pinned", False):  # memory that may move is waited for, whatever was asked
        gpu.wait("copied to the host")
        return False
    return True


def _check(gpu: "Gpu", func: Any, args: Any, host: list[Tensor]) -> None:
    """Would a GPU do it, and would the host wait?"""
    if func in INDEXED:
        indices = [one for one in args[1] if one is not None]
        if any(one.dtype in (torch.bool, torch.uint8) for one in indices):
            gpu.wait("indexed by a mask")
        elif any(not isinstance(one, OnGpu) for one in indices):
            gpu.wait("indexed from the host")
        host = [one for one in host if all(one is not index for index in indices)]
    if mixed := [one for one in host if one.ndim]:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu: "
            f"{func} with {list(mixed[0].shape)} on the host"
        )
    sizes_unknown = func is _aten.repeat_interleave.Tensor
    if func in KNOWN_BY_VALUE or sizes_unknown:
        gpu.wait(func.name().removeprefix("aten::"))


def _numbered(one: Any) -> Any:
    """Which GPU is meant by "cuda"."""
    named = isinstance(one, str) and one in ("cuda", "cuda:0")
    return CUDA if named or (isinstance(one, torch.device) and one.type == "cuda") else one


def _on_host(one: Any) -> Any:
    """What the host computes with."""
    if isinstance(one, OnGpu):
        return one.numbers
    return torch.device("cpu") if isinstance(one, torch.device) else one
