"""Inverse coefficient of variation of the gradients."""

from zc_search.proxies.base import Scalar, proxy, total
from zc_search.proxies.probe.probe import Probe


@proxy("zico")
def zico(probe: Probe) -> Scalar:
    """Sum over layers of ln(sum over weights of mean |gradient| / standard deviation).

    Mean and standard deviation (population) are over two batches, here the halves of the one
    batch; weights whose gradients are equal in both, and layers without any other, are left out
    as in the authors' code. The sum is led by weights whose gradients are all but equal, so that
    in float32 about 2 % of the value may be rounding, and differ with the number of threads.
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
