"""VKDNW: how evenly the weights of a network can be known."""

import torch

from zc_search.proxies import Probe, Scalar, proxy
from zc_search.proxies.baselines import layers


@proxy("vkdnw")
def vkdnw(probe: Probe) -> Scalar:
    """Number of layers, and among equals the entropy of the Fisher information.

    ``layers + vkdnw_entropy``: the entropy is at most ln 9 = 2.2, so that size comes first. The
    authors count parameter tensors, dead edges included; here it is the layers that take part.
    """
    return layers(probe) + vkdnw_entropy(probe)


@proxy("vkdnw_entropy")
def vkdnw_entropy(probe: Probe) -> Scalar:
    """Entropy of the deciles of the eigenvalues of the Fisher information matrix.

    ``-sum_k q_k ln q_k`` over the 1st to 9th deciles of the eigenvalues, divided by their sum:
    0 to ln 9. The matrix is `Probe.fisher_information` of one weight a layer. It says little of
    size: the authors combine its ranks with those of others, or add the number of layers.

    Published code takes one entry of each of the first 128 parameter tensors, normalisation
    included, with statistics of 0 and 1, He's normal initialisation and a batch of noise.
    """
    eigenvalues = torch.linalg.eigvalsh(probe.fisher_information).clamp(min=0)
    deciles = eigenvalues.quantile(torch.arange(1, 10).to(eigenvalues) / 10)
    entropy: Scalar = torch.special.entr(deciles / deciles.sum()).sum()
    return entropy
