"""Batch normalisation with accurate statistics, which is cheap to differentiate twice.

On CPUs PyTorch adds up channels-last float32 one row after another, in as many parts as there are
threads: up to 1e-5 of the output is rounding, other rounding with other threads. The sums of its
backward pass, whose terms have both signs, do not suffer from that. A second time it
differentiates through some thirty elementwise kernels, which cost more than the convolutions do,
although the second derivative has a short closed form.

With m the mean over batch and positions, r = 1 / sqrt(variance + eps), n = (x - m(x)) r and
g the scale, the gradient by x is d = g r P y for an incoming gradient y, where
P y = y - m(y) - n m(y n) is linear and self-adjoint. For an incoming v in the second pass
  gradient by y:  g r P v =: w
  gradient by x:  -r (n m(v d) + w m(y n) + d m(v n))
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

_FEW = 1024  # values of a channel that may be added up one after another
_LARGE = 1 << 18  # elements from which memory costs more than calls do
_GROUPS = 64


def batch_norm(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Normalise as the layer does, without running statistics or gradients by scale and shift."""
    training = norm.training or (norm.running_mean is None and norm.running_var is None)
    affine = [t for t in (norm.weight, norm.bias) if t is not None]
    alike = all(t.dtype == x.dtype and t.is_leaf for t in affine)
    if not (training and alike and x.dim() == 4 and x.numel() > x.shape[1]):
        return _BatchNorm.forward(norm, x)
    normalised: Tensor = _Norm.apply(x, norm.weight, norm.bias, norm.eps)  # type: ignore[no-untyped-call]
    return normalised


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the variance of each channel of N x C or N x C x ..., not corrected."""
    dims = (0, *range(2, x.dim()))
    mean = x.mean(dims)
    count, channels = x.numel() // x.shape[1], x.shape[1]
    groups = math.gcd(count, _GROUPS)
    if _takes_rows(x) and x.numel() >= _LARGE and groups > 1:
        # PyTorch's kernel for gradients adds up products in one go. Rows of several positions
        # make it many sums of few terms.
        rows = x.permute(0, 2, 3, 1).reshape(-1, groups * channels)
        means = mean.repeat(groups)
        _, squares, _ = torch.ops.aten.native_batch_norm_backward(
            rows, rows, None, None, None, means, torch.ones_like(means), True, 0.0, _SECOND
        )
        return mean, squares.view(groups, channels).sum(0).div_(count)
    centred = x - mean.view(-1, *[1] * (x.dim() - 2))
    return mean, centred.square_().mean(dims)


_SECOND = [False, True, False]


def _takes_rows(x: Tensor) -> bool:
    """Tell whether PyTorch would add up one row, the channels of a position, after another."""
    last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return last and x.device.type == "cpu"


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor | None, shift: Tensor | None, eps: float
    ) -> Tensor:
        if _takes_rows(x) and x.numel() > _FEW * x.shape[1]:
            mean, variance = statistics(x)
            inverse_std = variance.add_(eps).rsqrt_()
            slope = inverse_std if scale is None else scale * inverse_std
            start = mean * -slope if shift is None else torch.addcmul(shift, mean, slope, value=-1)
            output = torch.addcmul(start.view(-1, 1, 1), x, slope.view(-1, 1, 1))
        else:
            output, mean, inverse_std = torch.native_batch_norm(
                x, scale, shift, None, None, True, 0.0, eps
            )
        ctx.save_for_backward(x, scale, mean, inverse_std)
        ctx.eps = eps
        return output

    @staticmethod
    def backward(ctx: Any, y: Tensor) -> tuple[Tensor, None, None, None]:
        given: tuple[Any, ...] = (y, *ctx.saved_tensors, ctx.eps)
        if torch.is_grad_enabled():  # there is to be a second derivative
            by_input = _NormGradient.apply(*given)  # type: ignore[no-untyped-call]
        else:
            by_input, _ = _gradients(*given)
        return by_input, None, None, None


class _NormGradient(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        y: Tensor,
        x: Tensor,
        scale: Tensor | None,
        mean: Tensor,
        inverse_std: Tensor,
        eps: float,
    ) -> Tensor:
        by_input, by_scale = _gradients(y, x, scale, mean, inverse_std, eps)
        ctx.save_for_backward(x, scale, mean, inverse_std, by_input, by_scale)
        ctx.eps = eps
        return by_input

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        x, scale, mean, inverse_std, d, y_n = ctx.saved_tensors
        count = x.numel() // x.shape[1]
        w, v_n = _gradients(v, x, scale, mean, inverse_std, ctx.eps)
        v_d = (v * d).sum((0, 2, 3))

        def spread(channels: Tensor) -> Tensor:
            return channels.div(count)[:, None, None]

        # n m(v d) is an affine function of x in every channel.
        slope = v_d * inverse_std.square()
        by_input = torch.addcmul(spread(-slope * mean), x, spread(slope))
        by_input.addcmul_(w, spread(y_n * inverse_std)).addcmul_(d, spread(v_n * inverse_std))
        return w, by_input.neg_(), None, None, None, None


def _gradients(
    y: Tensor, x: Tensor, scale: Tensor | None, mean: Tensor, inverse_std: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Return the gradients by input and scale."""
    by_input, by_scale, _ = torch.ops.aten.native_batch_norm_backward(
        y, x, scale, None, None, mean, inverse_std, True, eps, [True, True, False]
    )
    return by_input, by_scale
