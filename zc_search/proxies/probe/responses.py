"""How alike the responses of a network to two images are, and the gradients at those responses."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from zc_search.proxies.probe.passes import rows


class Responses:
    """Sums up correlations between images, of the input of each activation and of its gradient.

    Its hooks become part of the graph, so it must not know anything that holds on to the graph.

    Args:
        images: Their number N.
        device: Where they are.
    """

    def __init__(self, images: int, device: torch.device) -> None:
        self.collecting = False
        self.correlations = torch.zeros(images, images, dtype=torch.float64, device=device)

    def add(self, values: Tensor, weight: float) -> None:
        """Add weight x |correlations| of the rows of N x anything; nothing if one is undefined."""
        correlations = torch.corrcoef(rows(values)).abs().double()
        defined = correlations.isfinite().all()
        self.correlations += weight * torch.where(defined, correlations, 0.0)

    def observer(
        self, weights: Mapping[str, float]
    ) -> Callable[[str, nn.Module, Tensor], Tensor | None]:
        """Return what looks at the input of an activation, given the weights by module name."""

        def observe(name: str, module: nn.Module, given: Tensor) -> Tensor | None:
            self.add(given.detach(), weights[name])
            if not given.requires_grad:
                return None
            hook = self._hook(weights[name])
            if getattr(module, "inplace", False):
                # The hook gets the gradient of what stands there before it is overwritten. A copy
                # would not be overwritten for others that read the tensor afterwards.
                given.register_hook(hook)  # type: ignore[no-untyped-call]
                return None
            # Others may read the same tensor; the gradient is to be that of this use alone.
            own = given.view_as(given)
            own.register_hook(hook)  # type: ignore[no-untyped-call]
            return own

        return observe

    def _hook(self, weight: float) -> Callable[[Tensor], None]:
        def add_gradient(gradient: Tensor) -> None:
            if self.collecting:
                self.add(gradient.detach(), weight)

        return add_gradient
