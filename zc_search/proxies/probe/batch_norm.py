"""Batch normalisation that is cheap to differentiate twice.

PyTorch differentiates its batch normalisation a second time through some thirty elementwise
kernels, which cost more than the convolutions do. The second derivative has a short closed form.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# With m the mean over batch and positions, r = 1 / sqrt(variance + eps), n = (x - m(x)) r and
# g the scale, the gradient by x is d = g r P y for an incoming gradient y, where
# P y = y - m(y) - n m(y n) is linear and self-adjoint. For an incoming v in the second pass
#   gradient by y:  g r P v =: w
#   gradient by x:  -r (n m(v d) + w m(y n) + d m(v n))


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
        output, mean, inverse_std = torch.native_batch_norm(
            x, scale, shift, None, None, True, 0.0, eps
        )
        ctx.save_for_backward(x, scale, mean, inverse_std)
        ctx.eps = eps
        return output

    @staticmethod
    def backward(ctx: Any, y: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        by_input, by_scale, by_shift = _Backward.apply(  # type: ignore[no-untyped-call]
            y, *ctx.saved_tensors, ctx.eps
        )
        return by_input, by_scale, by_shift, None


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, y: Tensor, x: Tensor, scale: Tensor, mean: Tensor, inverse_std: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        by_input, by_scale, by_shift = _gradients(y, x, scale, mean, inverse_std, eps)
        ctx.save_for_backward(x, scale, mean, inverse_std, by_input, by_scale)
        ctx.eps = eps
        ctx.mark_non_differentiable(by_scale, by_shift)
        return by_input, by_scale, by_shift

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, v: Tensor, _: Tensor, __: Tensor
    ) -> tuple[Tensor, Tensor, None, None, None, None]:
        x, scale, mean, inverse_std, d, y_n = ctx.saved_tensors
        count = x.numel() // x.shape[1]
        w, v_n, _ = _gradients(v, x, scale, mean, inverse_std, ctx.eps)
        v_d = (v * d).sum((0, 2, 3))

        def spread(channels: Tensor) -> Tensor:
            return channels.div(count)[:, None, None]

        # n m(v d) is an affine function of x in every channel.
        slope = v_d * inverse_std.square()
        by_input = torch.addcmul(spread(-slope * mean), x, spread(slope))
        by_input.addcmul_(w, spread(y_n * inverse_std)).addcmul_(d, spread(v_n * inverse_std))
        return w, by_input.neg_(), None, None, None, None


def _gradients(
    y: Tensor, x: Tensor, scale: Tensor, mean: Tensor, inverse_std: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.ops.aten.native_batch_norm_backward(  # type: ignore[no-any-return]
        y, x, scale, None, None, mean, inverse_std, True, eps, [True, True, True]
    )


def normalise(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """Normalise as `norm` in training; the second derivative by scale and shift is left out."""
    scale = norm.weight if norm.affine else x.new_ones(x.shape[1])
    shift = norm.bias if norm.affine else x.new_zeros(x.shape[1])
    normalised: Tensor = _Forward.apply(x, scale, shift, norm.eps)  # type: ignore[no-untyped-call]
    return normalised
