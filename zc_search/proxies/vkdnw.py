"""VKDNW: how evenly the weights of a network can be known."""

import torch

from zc_search.proxies import Probe, Scalar, proxy
from zc_search.proxies.baselines import layers


@proxy("vkdnw")
def vkdnw(probe: Probe, *, published: bool) -> Scalar:
    """Number of layers, and among equals the entropy of the Fisher information.

    ``layers + vkdnw_entropy``: the entropy is at most ln 9 = 2.2, so that size comes first.
    ``published=true`` counts parameter tensors, dead edges included, and has the authors' entropy.
    """
    size = len([*probe.network.parameters()]) if published else layers(probe)
    return size + vkdnw_entropy.function(probe, published=published)


@proxy("vkdnw_entropy")
def vkdnw_entropy(probe: Probe, *, published: bool) -> Scalar:
    """Entropy of the deciles of the eigenvalues of the Fisher information matrix.

    ``-sum_k q_k ln q_k`` over the 1st to 9th deciles of the eigenvalues, divided by their sum:
    0 to ln 9; no value where these are but rounding, as with LayerScale. The matrix is
    `Probe.fisher_information` of one weight a layer. It says little of size.

    Published code ranks otherwise, as ``published=true`` does: one entry of each of the first 128
    parameter tensors, dead edges and normalisation included, with statistics of 0 and 1, He's
    normal initialisation, a batch of noise, and the factor of the matrix from its other side, at a
    pass back for every class. Over 15 cells, same weights and batch, Kendall's tau with published
    code is 1.00 (the default's -.31).
    """
    matrix = probe.published_fisher_information if published else probe.fisher_information
    eigenvalues = torch.linalg.eigvalsh(matrix).clamp(min=0)
    deciles = eigenvalues.quantile(torch.arange(1, 10).to(eigenvalues) / 10)
    if 0 < deciles[-1] < 100 * len(matrix) * torch.finfo(matrix.dtype).eps * eigenvalues[-1]:
        raise ValueError("nine tenths of the eigenvalues are rounding beside the largest one")
    whole = deciles.sum() + (1e-10 if published else 0.0)  # with which a dead network has 0
    entropy: Scalar = torch.special.entr(deciles / whole).sum()
    return entropy
