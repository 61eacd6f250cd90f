"""Ensembles as files: every bit survives, and no file is taken that was changed."""

import copy
import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tomlkit
from ensemble_tables import WEIGHTS, linear_table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zc_search.config.sections import FEATURE_SET_NAMES
from zc_search.ensemble import Ensemble, fit_ensemble
from zc_search.ensemble.ensemble import _checksum
from zc_search.errors import EnsembleError

METADATA = {
    "dataset": "cifar10-valid",
    "split": "valid",
    "accuracy_seeds": [777, 888],
    "definitions": {"alpha": "1f", "beta": "2e", "gamma": "3d"},
    "unknown": None,
}


@cache
def fitted(model: str = "linear", feature_set: str = "standard", seed: int = 0) -> Ensemble:
    return fit_ensemble(
        linear_table(40, seed=seed),
        list(WEIGHTS),
        model=model,
        feature_set=feature_set,
        folds=2,
        repeats=1,
        n_bootstrap=10,
        metadata=METADATA,
    )


def resealed(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document whose checksum is right again, as a forger would write it."""
    content = {key: value for key, value in document.items() if key != "checksum"}
    return {**content, "checksum": _checksum(content)}


# There and back -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".toml", ".json"])
@pytest.mark.parametrize(
    ("model", "feature_set"),
    [
        ("linear", "standard"),
        ("ridge", "rank+interactions"),
        ("gap", "rank+aggregate+interactions"),
    ],
)
def test_predictions_are_the_same_to_the_last_bit(
    tmp_path: Path, suffix: str, model: str, feature_set: str
) -> None:
    ensemble = fitted(model, feature_set)
    path = tmp_path / f"ensemble{suffix}"
    ensemble.save(path)
    loaded = Ensemble.load(path)
    assert loaded == ensemble
    new = linear_table(200, seed=9)
    assert loaded.predict(new).to_numpy().tobytes() == ensemble.predict(new).to_numpy().tobytes()
    pd.testing.assert_frame_equal(
        loaded.predict_interval(new), ensemble.predict_interval(new), check_exact=True
    )
    pd.testing.assert_frame_equal(loaded.weights, ensemble.weights, check_exact=True)
    pd.testing.assert_frame_equal(loaded.quality, ensemble.quality, check_exact=True)


@pytest.mark.parametrize("feature_set", FEATURE_SET_NAMES)
@pytest.mark.parametrize("proxies", [("alpha", "beta"), ("alpha", "meco")])
def test_every_feature_set_is_fitted_and_kept(feature_set: str, proxies: tuple[str, ...]) -> None:
    table = linear_table(40).assign(meco=lambda rows: rows["alpha"] - rows["gamma"])
    options = {"model": "gap", "feature_set": feature_set, "folds": 2, "repeats": 1}
    ensemble = fit_ensemble(table, proxies, **options, judge_on=table[30:], fit_on="all")
    new = linear_table(30, seed=9).assign(meco=0.0)
    loaded = Ensemble.from_dict(ensemble.to_dict())
    np.testing.assert_array_equal(loaded.predict(new), ensemble.predict(new))
    assert np.isfinite(ensemble.predict(new)).all()
    sees = proxies
    if feature_set.startswith("structure"):
        sees = tuple(name for name in proxies if name == "meco" and "aggregate" in feature_set)
    assert tuple(ensemble.proxies) == sees


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 2**32 - 1),
    st.integers(-30, 30),
    st.sampled_from(["linear", "ridge", "gap"]),
    st.sampled_from(["standard", "rank"]),
    st.sampled_from([".toml", ".json"]),
)
def test_any_fit_survives_a_file(
    tmp_path: Path, seed: int, power: int, model: str, feature_set: str, suffix: str
) -> None:
    table = linear_table(12, seed=seed)
    table["alpha"] *= 10.0**power
    table["beta"] = np.exp(10 * table["beta"])
    ensemble = fit_ensemble(
        table,
        list(WEIGHTS),
        model=model,
        feature_set=feature_set,
        folds=2,
        repeats=1,
        n_bootstrap=3,
    )
    ensemble.save(tmp_path / f"e{suffix}")
    loaded = Ensemble.load(tmp_path / f"e{suffix}")
    assert loaded == ensemble
    assert (
        loaded.predict(table).to_numpy().tobytes() == ensemble.predict(table).to_numpy().tobytes()
    )


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALAR = TEXT | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=10)
@given(
    st.dictionaries(TEXT, st.recursive(SCALAR, lambda inner: st.dictionaries(TEXT, inner))),
    st.lists(TEXT, unique=True, min_size=3, max_size=3),
)
def test_any_metadata_and_any_name_survive_a_file(
    metadata: dict[str, Any], names: list[str]
) -> None:
    ensemble = fitted().model_copy(update={"metadata": metadata, "notes": names})
    text = tomlkit.dumps(ensemble.to_dict())
    assert Ensemble.from_dict(tomllib.loads(text)) == ensemble


def test_metadata_without_a_value_is_left_out() -> None:
    metadata = {"a": None, "b": {"c": None, "d": [1, 2]}}
    ensemble = fit_ensemble(linear_table(8), list(WEIGHTS), n_bootstrap=2, metadata=metadata)
    assert ensemble.metadata == {"b": {"d": [1, 2]}}


def test_a_prediction_does_not_depend_on_the_rows_beside_it() -> None:
    ensemble, table = fitted("gap", "rank+structure"), linear_table(25, seed=2)
    alone = [ensemble.predict(table.iloc[[row]]).iloc[0] for row in range(25)]
    assert alone == ensemble.predict(table).tolist()


def test_the_file_says_what_a_reader_needs(tmp_path: Path) -> None:
    fitted().save(tmp_path / "ensemble.toml")
    document = tomllib.loads((tmp_path / "ensemble.toml").read_text())
    assert document["kind"] == "zc-search ensemble"
    assert document["schema_version"] == 3
    assert (document["model"], document["fit_on"], document["rows"]) == ("linear", "pareto", 14)
    assert document["metadata"] == {k: v for k, v in METADATA.items() if v is not None}
    assert [proxy["proxy"] for proxy in document["features"]["proxies"]] == list(WEIGHTS)
    assert set(document["predictor"]["weights"][0]) == {
        "feature",
        "weight",
        "standard_error",
        "low",
        "high",
    }
    assert document["held_out"][0]["judged"].startswith("held out")


def test_a_dictionary_is_plain_and_comes_back() -> None:
    ensemble = fitted()
    assert Ensemble.from_dict(json.loads(json.dumps(ensemble.to_dict()))) == ensemble


@pytest.mark.parametrize(
    ("retired", "hint"),
    [
        ({"model": "rank"}, "gap"),
        ({"model": "nonnegative"}, "ridge"),
        ({"feature_set": "spline"}, "rank"),
        ({"feature_set": "rank+cell"}, "structure"),
    ],
)
def test_a_file_of_what_is_retired_says_what_replaces_it(
    retired: dict[str, str], hint: str
) -> None:
    document = resealed({**fitted("gap", "rank+structure").to_dict(), **retired})
    with pytest.raises(EnsembleError, match=r"old.toml: .* is retired") as refused:
        Ensemble.from_dict(document, source="old.toml")
    assert (refused.value.given, refused.value.hint) == (*retired.values(), hint)


def test_an_older_file_is_replaced_and_nothing_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "ensemble.toml"
    path.write_text("old")
    fitted().save(str(path))
    assert Ensemble.load(str(path)) == fitted()
    assert [file.name for file in tmp_path.iterdir()] == ["ensemble.toml"]


# Refusals -------------------------------------------------------------------------------------


def test_an_imported_regressor_cannot_be_written(tmp_path: Path) -> None:
    ensemble = fitted("sklearn.neighbors:KNeighborsRegressor")
    with pytest.raises(EnsembleError, match="KNeighborsRegressor' has no weights"):
        ensemble.save(tmp_path / "ensemble.toml")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"schema_version": 2},
            r"e has schema_version 2; .* reads 3: zc-search ensemble fit",
        ),
        (
            {"schema_version": 4},
            r"e has schema_version 4; .* reads 3: zc-search ensemble fit",
        ),
        ({"kind": "recipe"}, r"e is no ensemble: its kind is 'recipe'"),
        ({"rows": 10_000}, r"e was changed after it was written"),
        ({"checksum": "0"}, r"e was changed after it was written"),
        ({"note": "mine"}, r"e was changed after it was written"),
    ],
)
def test_a_changed_document_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(EnsembleError, match=message):
        Ensemble.from_dict({**fitted().to_dict(), **change}, source="e")


def test_a_weight_edited_by_hand_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ensemble.toml"
    ensemble = fitted()
    ensemble.save(path)
    weight = repr(ensemble.weights["weight"].iloc[0].item())
    assert weight in path.read_text()
    path.write_text(path.read_text().replace(weight, "1.0"))
    with pytest.raises(EnsembleError, match=r"ensemble.toml was changed after it was written"):
        Ensemble.load(path)


def change(path: str, value: Any) -> Any:
    """Return what sets (or with `...` deletes) the entry at a dotted path of a document."""

    def changed(document: dict[str, Any]) -> None:
        *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
        place: Any = document
        for parent in parents:
            place = place[parent]
        if value is ...:
            del place[last]
        else:
            place[last] = value

    return changed


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("features.proxies.0.low", ..., "features.proxies.0.raw.low: Field required"),
        ("features.proxies.0.kind", "cube", "features.proxies.0: .*'cube'"),
        ("features.columns.0.scale", 0.0, "greater than 0"),
        ("features.columns.0.mean", "high", "valid number"),
        ("predictor.weights.0.weight", float("nan"), "finite number"),
        ("predictor.link", {"scores": [1.0], "accuracies": []}, "link.slope_below: Field required"),
        ("predictor.intercept", ..., "intercept: Field required"),
        ("residuals", [1.0], "at least 2 items"),
        ("fitted_to", [15_625], "less than 15625"),
        ("surplus", 1, "surplus: Extra inputs are not permitted"),
        ("model", ..., "model: Field required"),
        ("predictor", {"regressor": 1, "importances": []}, "intercept: Field required"),
    ],
)
def test_a_document_of_other_types_is_refused_whatever_its_checksum(
    path: str, value: Any, message: str
) -> None:
    document = fitted().to_dict()
    change(path, value)(document)
    with pytest.raises(EnsembleError, match=rf"(?s)^e is no consistent ensemble: .*{message}"):
        Ensemble.from_dict(resealed(document), source="e")


def paths(document: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the place of every value in a document."""
    entries: list[tuple[Any, Any]] = []
    if isinstance(document, dict):
        entries = list(document.items())
    elif isinstance(document, list):
        entries = list(enumerate(document))
    return [prefix] * bool(prefix) + [
        path for key, value in entries for path in paths(value, (*prefix, key))
    ]


JUNK = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)


@given(st.data(), JUNK | st.lists(JUNK, max_size=2), st.booleans())
def test_a_broken_document_is_refused(data: st.DataObject, value: Any, deleted: bool) -> None:
    original = fitted("gap", "rank").to_dict()
    path = data.draw(st.sampled_from(paths(original)))
    document = copy.deepcopy(original)
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    if deleted:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    if json.dumps(document) != json.dumps(original):
        with pytest.raises(EnsembleError):
            Ensemble.from_dict(document)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.toml", "a = ", "is no valid TOML file"),
        ("e.json", "{", "is no valid JSON file"),
        ("e.json", "[1]", "holds no table of keys"),
        ("e.toml", "", "is no ensemble: its kind is None"),
        ("e.yaml", "", r"unknown suffix '.yaml'.* Allowed: .toml, .json"),
        ("e.toml", b"\xff\xfe", "is no valid TOML file"),
    ],
)
def test_a_file_that_is_no_ensemble_is_refused(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(EnsembleError, match=message):
        Ensemble.load(tmp_path / name)


def test_files_that_cannot_be_read_or_written_are_named(tmp_path: Path) -> None:
    with pytest.raises(EnsembleError, match=r"cannot read the ensemble .*nowhere.toml"):
        Ensemble.load(tmp_path / "nowhere.toml")
    with pytest.raises(EnsembleError, match=r"ensemble.toml.*: cannot be written"):
        fitted().save(tmp_path / "no folder" / "ensemble.toml")
    with pytest.raises(EnsembleError, match=r"unknown suffix '.pickle'"):
        fitted().save(tmp_path / "ensemble.pickle")
