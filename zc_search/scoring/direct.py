"""Scores without a search: of any network, or of a list of architectures."""

import logging
from collections.abc import Iterable, Sequence

import pandas as pd
import torch
from torch import Tensor, nn

from zc_search.errors import ProxyError
from zc_search.images import Batch, load_batch
from zc_search.images.datasets import DatasetName, Task
from zc_search.proxies import resolve_proxies
from zc_search.scoring.scorer import Scorer, evaluate_proxies, make_probe
from zc_search.spaces import AnyArchitecture, read_architecture

logger = logging.getLogger("zc_search")


def score_network(
    module: nn.Module, proxies: Sequence[str], images: Tensor, labels: Tensor
) -> dict[str, float]:
    """Score any network on one batch.

    Args:
        module: Maps ``images`` to logits, float32; left as it was. Activation functions and
            layers are seen where they are modules: `nn.ReLU` is, ``F.relu`` is not.
        proxies: Names of proxies, or ``module:function``.
        images: float32, N x C x H x W, normalised.
        labels: int64, N.

    Returns:
        A number by proxy, not finite where the proxy has no value for this network.

    Raises:
        DataError: Images or labels of another shape or type.
        ProxyError: An unknown proxy, or one that failed; a network of another type.
    """
    batch = Batch.from_tensors(images, labels)
    chosen = resolve_proxies(_listed(proxies))
    kinds = {p.dtype for p in module.parameters() if p.is_floating_point()}
    if other := kinds - {torch.float32}:
        raise ProxyError(
            f"the network has parameters of {min(map(str, other))}; Allowed: torch.float32, as the "
            "images are: copy.deepcopy(network).float()"
        )
    probe = make_probe(module, batch, chosen)
    values, _ = evaluate_proxies(chosen, probe, strict=True)
    return values


def score_architectures(
    archs: Iterable[AnyArchitecture | str],
    proxies: Sequence[str],
    data: str | tuple[Tensor, Tensor] = "patches",
    batch_size: int = 64,
    seed: int = 0,
    dataset: DatasetName | Task = "cifar10",
    *,
    channels: int | None = None,
    cells: int | None = None,
    repeats: int = 1,
    device: str = "cpu",
    path: str | None = None,
) -> pd.DataFrame:
    """Score architectures.

    Args:
        archs: Architectures or their strings.
        proxies: Names of proxies, or ``module:function``.
        data: A source's name, or normalised images (N x C x H x W) with labels (N).
        batch_size: Images, where a source is named.
        seed: Seed of the batch and of the weights.
        dataset: Resolution and classes; for images of one's own their `Task`.
        channels: Width of the first stage; by default the benchmark's.
        cells: Cells a stage; by default the benchmark's.
        repeats: Initialisations to average over.
        device: Where to compute.
        path: Folder of a source that reads files.

    Returns:
        A row an architecture, indexed by its string, a column a proxy. Why a value is not
        finite stands in ``attrs["failures"]``, by architecture and proxy.

    Raises:
        ArchitectureError: A string that is no architecture.
        DataError: Unknown source or data set, or unusable images.
        ProxyError: An unknown proxy.
    """
    chosen = resolve_proxies(_listed(proxies))
    architectures = [read_architecture(a) if isinstance(a, str) else a for a in archs]
    if isinstance(data, str):
        name = dataset.name if isinstance(dataset, Task) else dataset
        batch = load_batch(data, dataset=name, batch_size=batch_size, seed=seed, path=path)
    else:
        batch = Batch.from_tensors(*data)
    scorer = Scorer(
        chosen,
        batch,
        dataset=dataset,
        channels=channels,
        cells=cells,
        repeats=repeats,
        seed=seed,
        device=device,
    )
    scores = [scorer.score(architecture) for architecture in architectures]
    index = pd.Index([str(a) for a in architectures], name="architecture", dtype="str")
    names = [p.name for p in chosen]
    table = pd.DataFrame([s.values for s in scores], index=index, columns=names, dtype="float64")
    failures = {str(s.architecture): dict(s.failures) for s in scores if s.failures}
    if failures:
        table.attrs["failures"] = failures
        logger.warning("%d architectures lack a value; see table.attrs['failures']", len(failures))
    return table


def _listed(proxies: Sequence[str]) -> Sequence[str]:
    return (proxies,) if isinstance(proxies, str) else proxies
