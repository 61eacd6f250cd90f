"""VKDNW: how evenly the weights of a network can be known."""

import torch
from torch import Tensor

from zc_search.proxies.base import Scalar, proxy
from zc_search.proxies.layers import count_layers
from zc_search.proxies.probe.probe import Probe


@proxy("vkdnw")
def vkdnw(probe: Probe) -> Scalar:
    """Number of layers, and among equals the entropy of the Fisher information.

    ``layers + vkdnw_entropy``: the entropy is at most ln 9 = 2.2, so that size comes first. The
    authors count parameter tensors of the whole network, dead edges included; here it is the
    layers that take part.
    """
    return count_layers(probe) + _entropy_of_deciles(probe.fisher_information)


@proxy("vkdnw_entropy")
def vkdnw_entropy(probe: Probe) -> Scalar:
    """Entropy of the deciles of the eigenvalues of the Fisher information matrix.

    ``-sum_k q_k ln q_k`` over the 1st to 9th deciles of the eigenvalues, divided by their sum:
    0 to ln 9. The matrix is `Probe.fisher_information` of one weight a layer. It is about shape
    and says little of size: the authors combine its ranks with those of other proxies, or add the
    number of layers, as vkdnw does.

    Published code takes one entry of each of the first 128 parameter tensors, normalisation
    included, runs in evaluation mode with statistics of 0 and 1 under He's normal initialisation,
    and averages over a batch of noise.
    """
    return _entropy_of_deciles(probe.fisher_information)


def _entropy_of_deciles(fisher: Tensor) -> Tensor:
    eigenvalues = torch.linalg.eigvalsh(fisher).clamp(min=0)
    tenths = torch.arange(1, 10, device=fisher.device, dtype=fisher.dtype) / 10
    deciles = eigenvalues.quantile(tenths)
    entropy: Tensor = torch.special.entr(deciles / deciles.sum()).sum()
    return entropy
