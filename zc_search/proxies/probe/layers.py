"""Whether a layer may be looked into or replaced: the one place that decides it."""

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import is_parametrized

from zc_search.errors import ProxyError

_FORWARDS = (nn.Conv2d.forward, nn.Linear.forward, _BatchNorm.forward, nn.SyncBatchNorm.forward)


def peculiarity(module: nn.Module) -> str | None:
    """Return why a layer's output is not what torch's own layer makes of its weight, if so."""
    kind = type(module)
    own = kind.forward in _FORWARDS and "forward" not in vars(module)
    if isinstance(module, nn.Conv2d):
        own &= type(module)._conv_forward is nn.Conv2d._conv_forward
    if not own:
        return f"{kind.__name__} has a forward of its own"
    if is_parametrized(module) or "weight" not in module._parameters:
        return "its weight is computed"
    return None


def require_plain(name: str, module: nn.Module) -> None:
    """Refuse a layer whose output is not what torch's own layer makes of its weight."""
    if reason := peculiarity(module):
        raise ProxyError(f"layer {name!r} cannot be looked into: {reason}", given=name)


def require_rows(name: str, tensor: Tensor, images: int) -> None:
    """Refuse a layer that holds something else than the images in its first dimension."""
    rows = len(tensor) if tensor.dim() else 0
    if rows != images:
        raise ProxyError(
            f"layer {name!r} has {rows} rows for {images} images, which cannot be told apart there",
            given=name,
        )
