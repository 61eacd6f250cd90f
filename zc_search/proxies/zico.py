"""Inverse coefficient of variation of the gradients."""

from zc_search.proxies.base import Probe, Scalar, proxy, total


@proxy("zico")
def zico(probe: Probe) -> Scalar:
    """Sum over layers of ln(sum over weights of mean |gradient| / standard deviation).

    Mean and standard deviation (population) are over two batches, the halves of the one batch;
    weights with equal gradients in both are left out, as in the authors' code. Gradients that are
    all but equal lead the sum: up to 1 % of a value in float32 may be rounding.
    """
    first, second = probe.half_batch_gradients
    terms = []
    for name, a in first.items():
        b = second[name]
        deviation = (a - b).abs() / 2
        ratio = (a.abs() + b.abs()) / 2 / deviation
        inside = ratio.where(deviation > 0, 0.0).sum()
        terms.append(inside.log().where(inside > 0, 0.0))
    return total(terms)
