"""Which modules of a network are its primary blocks."""

from torch import nn

_CONTAINERS = (nn.Sequential, nn.ModuleList)


def primary_blocks(network: nn.Module) -> dict[str, nn.Module]:
    """Return the primary blocks by name, in network order.

    They are the outermost modules below containers that are made of modules themselves: the cells
    and residual blocks of NAS-Bench-201, the residual blocks of a ResNet. A network that wraps a
    single such module has that one's blocks; in one without any, a chain of plain layers, each
    convolution is a block. A block that is used twice is there once, as it is among the modules.
    """
    found = _composites(network, "")
    while len(found) == 1:
        ((name, only),) = found.items()
        inner = _composites(only, f"{name}.")
        if not inner:
            break
        found = inner
    if not found:
        return {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    first = {id(block): name for name, block in reversed(found.items())}
    return {name: block for name, block in found.items() if first[id(block)] == name}


def blocks_before(network: nn.Module) -> dict[str, int]:
    """Return how many primary blocks come before each module in network order, by its name.

    A block does not come before the modules inside it.
    """
    blocks = [f"{name}." for name in primary_blocks(network)]
    before: dict[str, int] = {}
    begun = 0
    for name, _ in network.named_modules():
        inside = begun > 0 and f"{name}.".startswith(blocks[begun - 1])
        if not inside and begun < len(blocks) and f"{name}." == blocks[begun]:
            begun, inside = begun + 1, True
        before[name] = begun - inside
    return before


def _composites(module: nn.Module, prefix: str) -> dict[str, nn.Module]:
    found: dict[str, nn.Module] = {}
    for name, child in module.named_children():
        if isinstance(child, _CONTAINERS):
            found |= _composites(child, f"{prefix}{name}.")
        elif next(child.children(), None) is not None:
            found[f"{prefix}{name}"] = child
    return found
