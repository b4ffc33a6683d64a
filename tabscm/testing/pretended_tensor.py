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
KNOWN_BY_VALUE = frozenset(
    {
        "_local_scalar_dense",
        "_unique2",
        "allclose",
        "bincount",
        "cholesky",
        "equal",
        "histc",
        "linalg_eig",
        "linalg_lstsq",
    }
    | {"linalg_matrix_exp", "masked_select", "multinomial", "nonzero", "unique_consecutive", "unique_dim"}
    | {"_linalg_check_errors", "_linalg_eigh", "_linalg_eigvals", "_linalg_svd"}
)
"""Operations after which the host goes on only when it knows a number, or a shape that depends on numbers."""
STAGED = 1 << 16
"""Bytes up to which what is copied to the GPU is taken along at once, wherever in memory it lies."""


class Memory:
    """What tensors share that are views of one another."""

    def __init__(self, gpu: "Gpu") -> None:
        self.recorded: set[Queue] = set()
        """Further streams that may use it."""
        self.write(gpu)

    def write(self, gpu: "Gpu") -> None:
        """The present stream writes it, by the last of its operations."""
        self.made_on, self.made_at = gpu.queue, gpu.queue.done


class OnGpu(Tensor):
    """A tensor that says it lies on the GPU. What torch has of it is a shape without numbers; those are its own."""

    gpu: "Gpu"
    numbers: Tensor
    """On the host."""
    memory: Memory

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls: "type[OnGpu]", numbers: Tensor, gpu: "Gpu", memory: Memory | None = None) -> "OnGpu":
        with torch.inference_mode(False):
            shape = torch.empty_strided(numbers.shape, numbers.stride(), dtype=numbers.dtype, device="meta")
            made: OnGpu = torch.Tensor._make_subclass(cls, shape)
        made.numbers, made.gpu, made.memory = numbers, gpu, memory or Memory(gpu)
        return made

    def __init__(self, *_: object) -> None:
        pass

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = next(one for one in tree_leaves((args, kwargs)) if isinstance(one, OnGpu))
        return compute(found.gpu, func, args, kwargs or {})

    def __repr__(self) -> str:
        self.gpu.wait("shown")
        return f"OnGpu({self.numbers})"

    def __format__(self, how: str) -> str:
        self.gpu.wait("shown")
        return format(self.numbers, how)

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
        self.memory.recorded.add(queue)

    @property
    def data(self) -> "OnGpu":
        return OnGpu(self.numbers, self.gpu, self.memory)

    @data.setter
    def data(self, other: "OnGpu") -> None:
        self.numbers, self.memory = other.numbers, other.memory


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
        if func is Tensor.new_tensor and on_gpu:
            func, args, kwargs = torch.tensor, args[1:], {"dtype": args[0].dtype, "device": CUDA, **kwargs}
        if func in (torch.tensor, torch.as_tensor, torch.asarray):
            return self._new(func, args, kwargs)
        if func is Tensor.cuda or (func is Tensor.to and on_gpu):
            return _moved(args, kwargs)
        if func is Tensor.pin_memory:
            if on_gpu:
                raise RuntimeError("cannot pin a tensor on a GPU: only one on the host")
            args[0].pinned = True
            return args[0]
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

    def _new(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """A tensor made of numbers that the host has, or of others one by one."""
        if isinstance(args[0], OnGpu):
            moved = _moved(args, kwargs)
            return moved if func is not torch.tensor else moved.detach().clone()
        device, wants = kwargs.pop("device", None), kwargs.pop("requires_grad", False)
        found = func(tree_map(lambda one: one.item() if isinstance(one, OnGpu) else one, args[0]), *args[1:], **kwargs)
        on_gpu = device is not None and torch.device(device).type == "cuda"
        made: Tensor = found.to(CUDA) if on_gpu else found
        return made.requires_grad_() if wants else made


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
    copied = func in (_aten._to_copy.default, _aten.copy_.default)
    sent = copied and _is_sent(gpu, func, args, kwargs)
    if not copied:
        _check(gpu, func, args, kwargs, host)
    for tensor in there:
        gpu.use(tensor)
    gpu.queue.done += 1
    if sent:
        source = args[1] if func is _aten.copy_.default else args[0]
        into: Tensor = args[0] if func is _aten.copy_.default else torch.empty_like(source.numbers)
        gpu.send(source.numbers, into)
        return into
    own_args, own = tree_map(_on_host, (args, kwargs))
    with torch.inference_mode(False), torch.no_grad():
        found = func(*own_args, **own)
    if not on_gpu:
        return found
    if func._schema.is_mutable:
        for tensor in there:  # those that were only read are as far as this operation all the same
            tensor.memory.write(gpu)
    given_back = {id(_on_host(one)): one for one in given if isinstance(one, Tensor)}
    memories = {one.numbers.untyped_storage()._cdata: one.memory for one in there}

    def outside(one: object) -> object:
        if not isinstance(one, Tensor):
            return one
        if id(one) in given_back:
            return given_back[id(one)]
        return OnGpu(one, gpu, memories.get(one.untyped_storage()._cdata))

    return tree_map(outside, found)


def _moved(args: Any, kwargs: dict[str, Any]) -> Any:
    """`to` and `cuda`: what is as asked already stays what it is."""
    tensor, *rest = args
    asked = [torch.device(one) if isinstance(one, str) else one for one in (*rest, *kwargs.values())]
    like = next((one for one in asked if isinstance(one, Tensor)), None)
    device = next((one for one in asked if isinstance(one, torch.device)), None if like is None else like.device)
    dtype = next((one for one in asked if isinstance(one, torch.dtype)), tensor.dtype if like is None else like.dtype)
    impatient = bool(kwargs.get("non_blocking")) or any(one is True for one in rest)
    if isinstance(tensor, OnGpu) and (device is None or device.type == "cuda"):
        if dtype == tensor.dtype and not kwargs.get("copy"):
            return tensor
        return Tensor.to(tensor, dtype, copy=True)
    target = torch.device("cpu") if device is not None and device.type == "cpu" else CUDA
    return Tensor.to(tensor, target, dtype, non_blocking=impatient)


def _is_sent(gpu: "Gpu", func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Count a copy for which the host waits; whether one to the host is on the way while the host goes on."""
    if func is _aten.copy_.default:
        to, source = args[:2]
        to_gpu, patient = isinstance(to, OnGpu), not (len(args) > 2 and args[2])
        arrives = getattr(to, "pinned", False)
    else:
        source = args[0]
        to_gpu = isinstance(source, OnGpu) if kwargs.get("device") is None else kwargs["device"].type != "cpu"
        patient, arrives = not kwargs.get("non_blocking"), True  # torch takes memory for it that does not move
    if to_gpu == isinstance(source, OnGpu):
        return False
    if to_gpu:
        if patient or (source.nbytes > STAGED and not getattr(source, "pinned", False)):
            gpu.wait("copied to the GPU")
        return False
    if patient or not arrives:
        gpu.wait("copied to the host")
        return False
    return True


def _check(gpu: "Gpu", func: Any, args: Any, kwargs: dict[str, Any], host: list[Tensor]) -> None:
    """Refuse what a GPU would not do, and count where the host waits."""
    if func in INDEXED:
        indices = [one for one in args[1] if one is not None]
        if any(one.dtype in (torch.bool, torch.uint8) for one in indices):
            gpu.wait("indexed by a mask")
        elif any(not isinstance(one, OnGpu) for one in indices):
            gpu.wait("indexed from the host")
        host = [one for one in host if all(one is not index for index in indices)]
    # single numbers of the host are handed over with an operation that takes its arguments one by one
    one_by_one = torch.Tag.pointwise in func.tags or func in INDEXED or func._schema.name.startswith("aten::_foreach")
    written = [one for place, one in zip(func._schema.arguments, args, strict=False) if _is_written(place, one)]
    if wrong := [one for one in host if one.ndim or not one_by_one or any(one is other for other in written)]:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu: "
            f"{func} with {list(wrong[0].shape)} on the host"
        )
    name = func._schema.name.removeprefix("aten::")
    if name in KNOWN_BY_VALUE or (func is _aten.repeat_interleave.Tensor and kwargs.get("output_size") is None):
        gpu.wait(name)


def _is_written(place: Any, one: object) -> bool:
    return isinstance(one, Tensor) and place.alias_info is not None and place.alias_info.is_write


def _numbered(one: Any) -> Any:
    """Which GPU is meant by "cuda"."""
    if isinstance(one, str) and one.split(":")[0] == "cuda":
        one = torch.device(one)
    if isinstance(one, torch.device) and one.type == "cuda":
        if one.index:
            raise RuntimeError(f"CUDA error: invalid device ordinal: there is no {one}")
        return CUDA
    return one


def _on_host(one: Any) -> Any:
    """What the host computes with."""
    if isinstance(one, OnGpu):
        return one.numbers
    return torch.device("cpu") if isinstance(one, torch.device) else one
