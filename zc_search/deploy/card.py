"""The model card: what a network is, how good, how it was found, and how to load it."""

from collections.abc import Mapping
from importlib.metadata import version

from zc_search.deploy.subject import Subject
from zc_search.spaces.nasbench201.drawing import describe_cell


def model_card(
    subject: Subject, costs: Mapping[str, float], differences: Mapping[str, float]
) -> str:
    """Return the model card as Markdown, given params and flops in millions."""
    task = subject.task
    shown = ", ".join(subject.class_names[:20])
    if (more := len(subject.class_names) - 20) > 0:
        shown += f" and {more} more"
    facts = {
        "Images": f"{task.channels} x {task.height} x {task.width}, values {subject.values}, "
        "normalised by MEAN and STD of network.py",
        "Classes": f"{task.classes}: {shown}",
        "Parameters": f"{costs['params']:.4g} million",
        "FLOPs": f"{costs['flops']:.4g} million multiply-adds an image",
        **subject.known,
    }
    facts.setdefault("Reached", "not trained")
    rows = "\n".join(f"| {key} | {_escaped(value)} |" for key, value in facts.items())
    checks = "\n".join(
        f"- `{name}`: largest difference {value:.1e} of the largest output"
        for name, value in differences.items()
    )
    weights = "The weights are trained."
    if subject.weights is None:
        weights = "**The weights are random**: the network was not trained"
        weights += "." if subject.config.data.generated else "; `zc-search train` does it."
    return f"""# A network for {_escaped(task.name)}

![The cell: {describe_cell(subject.architecture)}](cell.svg)

`{subject.architecture}`

Cells a stage: {subject.cells}. Channels of the first of three stages: {subject.channels}. {weights}

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


def _escaped(text: str) -> str:
    """Keep what a table of Markdown would read otherwise."""
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return escaped.replace("`", "\\`").replace("\n", " ")
