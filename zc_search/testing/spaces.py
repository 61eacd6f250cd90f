"""The suite for search spaces."""

import math
import pickle
from collections.abc import Iterable
from itertools import islice
from typing import Any
from xml.parsers import expat

import numpy as np
import pytest
import torch
from optuna.trial import FixedTrial, create_trial
from torch import nn

from zc_search._utils.torch_defaults import usual_defaults
from zc_search.images import Batch
from zc_search.images.datasets import Task
from zc_search.proxies import resolve_proxies
from zc_search.scoring.scorer import Scorer
from zc_search.spaces import AnyArchitecture, AnySpace
from zc_search.testing._state import process_kept


class SpaceTestCase:
    """What every search space keeps; what it need not offer is tested where it does.

    >>> import pytest
    >>> from zc_search.spaces import FunctionSpace
    >>> class TestMyNets(SpaceTestCase):
    ...     @pytest.fixture
    ...     def space(self):
    ...         return FunctionSpace("my_nets:build")

    Attributes:
        task: What most networks are built for.
        other_task: Images of another size, and another number of classes; None if networks are
            for one task only.
        draws: Architectures drawn; text, parameters and neighbours of each are tested.
        built: How many of them are built and run.
        same_weights: Whether isomorphs start with weights that make them compute the same.
        proxies: What must have a finite value for those.
        sizes: Passed on to `SearchSpace.build` and `SearchSpace.costs`, to keep networks small.
    """

    task = Task("images", 10, 3, 32, 32)
    other_task: Task | None = Task("scans", 7, 1, 24, 24)
    draws = 20
    built = 2
    same_weights = True
    proxies: tuple[str, ...] = ("params", "flops", "snip", "jacov")
    sizes: dict[str, int] = {}  # noqa: RUF012  read, not written

    @pytest.fixture
    def space(self) -> AnySpace:
        """Return the space; to be overridden."""
        raise NotImplementedError("override the fixture `space`")

    @pytest.fixture
    def drawn(self, space: AnySpace) -> list[AnyArchitecture]:
        """Return architectures drawn from a seed."""
        rng = np.random.default_rng(0)
        return [space.sample(rng) for _ in range(self.draws)]

    @pytest.fixture
    def feasible(self, drawn: list[AnyArchitecture]) -> list[AnyArchitecture]:
        """Return some of them that have a network."""
        found = [a for a in drawn if a.infeasible is None][: self.built]
        assert found, f"none of {self.draws} architectures drawn has a network"
        return found

    # Values ---------------------------------------------------------------------------------------

    def test_draws_are_of_the_space(self, space: AnySpace, drawn: list[AnyArchitecture]) -> None:
        """What is drawn belongs to the space."""
        for architecture in drawn:
            assert architecture in space
            assert architecture.space == type(space).name
        assert "no architecture" not in space

    def test_draws_follow_from_the_seed(
        self, space: AnySpace, drawn: list[AnyArchitecture]
    ) -> None:
        """The same seed draws the same, in a space that has travelled to another process too."""
        travelled = pickle.loads(pickle.dumps(space))
        for again in (space, travelled):
            rng = np.random.default_rng(0)
            assert [again.sample(rng) for _ in range(self.draws)] == drawn
        with process_kept():
            space.sample(np.random.default_rng(1))

    def test_texts_read_back(self, space: AnySpace, drawn: list[AnyArchitecture]) -> None:
        """An architecture is a value, and its text is one line that leads back to it."""
        for architecture in drawn:
            text = architecture.to_string()
            assert str(architecture) == text == text.strip()
            assert text.isprintable()
            assert type(space).kind.written.fullmatch(text)
            again = space.read(text)
            assert again == architecture
            assert (hash(again), again.index) == (hash(architecture), architecture.index)
            assert again.function_key == architecture.function_key
            assert 0 < len(architecture.compact()) <= 25

    def test_parameters_lead_back(self, space: AnySpace, drawn: list[AnyArchitecture]) -> None:
        """The parameters of a trial name the architecture, and a trial may be asked for them."""
        with process_kept():
            known = space.distributions()
        for architecture in drawn:
            parameters = space.parameters(architecture)
            assert space.is_complete(parameters)
            asked = {name: known[name] for name in parameters}
            create_trial(params=parameters, distributions=asked, value=0.0)  # or refuses
            trial: Any = FixedTrial(parameters)
            named = (space.architecture(parameters), space.suggest(trial))
            for again in named:
                assert again.function_key == architecture.function_key

    # Networks -------------------------------------------------------------------------------------

    def _build(self, space: AnySpace, architecture: AnyArchitecture, **how: Any) -> nn.Module:
        task, seed = how.get("task", self.task), how.get("seed", 0)
        with usual_defaults():
            network: nn.Module = space.for_task(task).build(architecture, task, seed, **self.sizes)
        return network

    def _logits(self, network: nn.Module, task: Task) -> torch.Tensor:
        shape = (4, task.channels, task.height, task.width)
        images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            logits: torch.Tensor = network(images)
        return logits

    def test_networks_have_a_logit_a_class(
        self, space: AnySpace, feasible: list[AnyArchitecture]
    ) -> None:
        """A network gives finite logits, in both modes, for whatever task it is built."""
        for task in (self.task, self.other_task):
            for architecture in feasible if task else ():
                network = self._build(space, architecture, task=task)
                assert {p.dtype for p in network.parameters()} <= {torch.float32}
                for mode in (True, False):
                    logits = self._logits(network.train(mode), task)  # type: ignore[arg-type]
                    assert logits.shape == (4, task.classes)  # type: ignore[union-attr]
                    assert torch.isfinite(logits).all()

    def test_weights_follow_from_the_seed(
        self, space: AnySpace, feasible: list[AnyArchitecture]
    ) -> None:
        """One seed gives one network, another other weights, and no state of the process moves."""
        for architecture in feasible:
            with process_kept():
                networks = [self._build(space, architecture, seed=seed) for seed in (0, 0, 1)]
            one, same, other = (network.state_dict() for network in networks)
            assert [*one] == [*same]
            assert all(torch.equal(tensor, same[name]) for name, tensor in one.items())
            differ = [name for name, tensor in one.items() if not torch.equal(tensor, other[name])]
            assert differ or not [*networks[0].parameters()]

    def test_equal_function_keys_mean_equal_functions(
        self, space: AnySpace, feasible: list[AnyArchitecture]
    ) -> None:
        """Networks of one function key are scored once, and compute the same under one seed."""
        for architecture in feasible:
            representative = architecture.representative()
            assert representative.function_key == architecture.function_key
            alike = (a for a in space.neighbours(architecture) if a.infeasible is None)
            alike = (a for a in islice(alike, 100) if a.function_key == architecture.function_key)
            isomorphs = [architecture, representative, *islice(alike, 2)]
            assert {a.representative() for a in isomorphs} == {representative}
            networks = [self._build(space, a) for a in isomorphs if self.same_weights]
            logits = [self._logits(network, self.task) for network in networks]
            for other in logits[1:]:
                torch.testing.assert_close(other, logits[0], rtol=1e-3, atol=1e-4)

    def _scorer(self, space: AnySpace, proxies: tuple[str, ...]) -> Scorer:
        task, drawn = self.task, torch.Generator().manual_seed(0)
        images = torch.randn(8, task.channels, task.height, task.width, generator=drawn)
        batch = Batch.from_tensors(images, torch.arange(8) % task.classes, task.classes)
        how: dict[str, Any] = {"dataset": task, "space": space.for_task(task), **self.sizes}
        return Scorer(resolve_proxies(proxies), batch, **how)

    def test_proxies_have_values(self, space: AnySpace, feasible: list[AnyArchitecture]) -> None:
        """The proxies are finite."""
        scorer = self._scorer(space, self.proxies)
        for architecture in feasible:
            scores = scorer.score(architecture)
            assert not scores.failures
            assert all(math.isfinite(value) for value in scores.values.values())

    # What a space may offer -----------------------------------------------------------------------

    def test_neighbours_are_others_of_the_space(
        self, space: AnySpace, drawn: list[AnyArchitecture]
    ) -> None:
        """Neighbours belong to the space, each once, and none is the architecture itself."""
        for architecture in drawn[: self.built]:
            found = [*islice(space.neighbours(architecture), 200)]
            assert all(other in space for other in found)
            assert len({*found}) == len(found)
            assert architecture not in found
            assert found == [*islice(space.neighbours(architecture), 200)]

    def test_the_size_is_the_number_of_architectures(
        self, space: AnySpace, drawn: list[AnyArchitecture]
    ) -> None:
        """A space that can be listed has as many as it says, each once."""
        size = space.size
        if size is None:
            pytest.skip("has no size")
        assert len({*drawn}) <= size
        if isinstance(space, Iterable) and size <= 50_000:
            listed = [*space]
            assert len({*listed}) == len(listed) == size
            assert {*drawn} <= {*listed}

    def test_structure_is_finite(self, space: AnySpace, drawn: list[AnyArchitecture]) -> None:
        """Features of the structure are finite numbers, and the same when asked for again."""
        for architecture in drawn[:5]:
            for described in (space.structure, space.live_operations):
                if (features := described(architecture)) is not None:
                    assert all(math.isfinite(value) for value in features.values())
                    assert dict(features) == dict(described(architecture) or {})

    def test_drawings_are_svg(self, space: AnySpace, feasible: list[AnyArchitecture]) -> None:
        """A drawing is one well-formed element ``svg``."""
        for architecture in feasible:
            if (drawing := space.draw(architecture)) is not None:
                roots: list[str] = []
                parser = expat.ParserCreate()
                parser.StartElementHandler = lambda name, _, roots=roots: roots.append(name)
                parser.Parse(drawing, True)
                assert roots[0] == "svg"

    def test_costs_are_those_of_the_network(
        self, space: AnySpace, feasible: list[AnyArchitecture]
    ) -> None:
        """Parameters and multiply-adds known beforehand are exactly those of the network."""
        for architecture in feasible:
            if (costs := space.costs(architecture, self.task, **self.sizes)) is None:
                continue
            count = sum(p.numel() for p in self._build(space, architecture).parameters())
            assert costs["params"] == count / 1e6
            measured = self._scorer(space, ("params", "flops")).score(architecture).values
            assert measured == pytest.approx(dict(costs), rel=1e-12)
