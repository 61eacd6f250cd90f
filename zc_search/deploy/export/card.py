"""The model card: what a network is, how good, how it was found, and how to load it."""

from collections.abc import Mapping
from importlib.metadata import version

from zc_search.deploy.export.subject import Subject
from zc_search.spaces.nasbench201.drawing import describe_cell


def model_card(
    subject: Subject, costs: Mapping[str, float], differences: Mapping[str, float], trained: bool
) -> str:
    """Return the model card as Markdown.

    Args:
        subject: The network.
        costs: ``params`` and ``flops``, in millions.
        differences: By file, how far its outputs are from the network's; see
            `largest_difference`.
        trained: Whether the weights beside it were learnt.
    """
    task, config = subject.task, subject.config
    facts = {
        "Images": f"{task.channels} x {task.height} x {task.width}, values {subject.values}, "
        "normalised by MEAN and STD of network.py",
        "Classes": f"{task.classes}: {_listed(subject.class_names)}",
        "Parameters": f"{costs['params']:.4g} million",
        "FLOPs": f"{costs['flops']:.4g} million multiply-adds an image",
        **subject.known,
    }
    if "Reached" not in facts:
        facts["Reached"] = "not trained"
    rows = "\n".join(f"| {key} | {_cell(value)} |" for key, value in facts.items())
    checks = "\n".join(
        f"- `{name}`: largest difference {value:.1e} of the largest output"
        for name, value in differences.items()
    )
    weights = (
        "The weights are trained."
        if trained
        else "**The weights are random**: the network was not trained"
        + ("." if config.data.generated else "; `zc-search train` does it.")
    )
    return f"""# A network for {_cell(task.name)}

![The cell: {describe_cell(subject.architecture)}](cell.svg)

`{subject.architecture}`

Cells a stage: {config.space.cells or 5}. Channels of the first of three stages: \
{config.space.channels or 16}. {weights}

| | |
|---|---|
{rows}

## Loading it

```python
import network, safetensors.torch
model = network.Network().eval()
model.load_state_dict(safetensors.torch.load_file("weights.safetensors"))
```

## Checked

All files compute what the network does, on one image and on five:

{checks}

Written by zc-search {version("zc-search")}.
"""


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"


def _cell(text: str) -> str:
    """Keep what a table of Markdown would read otherwise."""
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return escaped.replace("`", "\\`").replace("\n", " ")
