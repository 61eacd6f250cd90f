"""An exported network in 8 bits, by ONNX Runtime's static quantisation, judged beside the other."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zc_search._utils.files import write_atomically
from zc_search.deploy.feedback import error_of_share
from zc_search.deploy.metadata import INT8, ONNX, Metadata
from zc_search.deploy.prediction import Program, onnx_program
from zc_search.deploy.subject import Subject
from zc_search.errors import StudyError

_CALIBRATED_ON = 256  # images trained on
_AT_ONCE = 64
_ROUNDS = 200  # passes of each program, one after the other, of which the least time counts


def check_quantisable(subject: Subject, onnx: bool) -> None:
    """Raise a StudyError where there is nothing to quantise, or nothing to calibrate with."""
    reason = None
    if not onnx:
        reason = "is made of the ONNX program, which --no-onnx leaves out"
    elif subject.weights is None:
        reason = "needs trained weights, and the network was not trained; zc-search train RUN"
    elif subject.images is None:
        reason = "is calibrated and judged with the images trained on, which are not there any more"
    if reason is not None:
        raise StudyError(f"--int8: a program of 8 bits {reason}", key="--int8")


def quantised(subject: Subject, folder: Path, about: Metadata) -> Metadata:
    """Write the program of 8 bits beside the other one; return what is known of both.

    Weights have 8 bits a channel, activations 8 bits a tensor, calibrated with images trained on.
    """
    import onnx

    images, data = subject.images, subject.config.data
    assert images is not None  # noqa: S101  see `check_quantisable`
    trained_on, judged_by = images.split(data.validation, data.seed)
    rng = np.random.default_rng(data.seed)
    chosen = rng.choice(trained_on, min(_CALIBRATED_ON, len(trained_on)), replace=False)
    scale = np.float32(subject.scale or 1)

    def raw(places: NDArray[np.int64]) -> NDArray[np.float32]:
        return images.pixels[places].astype(np.float32) / scale

    _quantise(folder / ONNX, folder / INT8, [raw(p) for p in _batches(chosen)])
    programs = [onnx_program(folder / name, threads=1) for name in (ONNX, INT8)]
    named = [
        np.concatenate([program(raw(places)).argmax(1) for places in _batches(judged_by)])
        for program in programs
    ]
    labels = images.labels[judged_by]
    accuracies = [100 * float((classes == labels).mean()) for classes in named]
    figures = {
        "calibrated_on": len(chosen),
        "judged_by": len(labels),
        "standard_error": error_of_share(accuracies[0], len(labels)),
        "same_class": 100 * float((named[0] == named[1]).mean()),
    }
    latencies = _latencies(programs, raw(judged_by[:1]))
    for kind, name, accuracy, latency in zip(
        ("float", "int8"), (ONNX, INT8), accuracies, latencies, strict=True
    ):
        figures |= {f"{kind}_accuracy": accuracy, f"{kind}_latency_ms": latency}
        figures[f"{kind}_bytes"] = (folder / name).stat().st_size
    about = about.model_copy(update={"int8": figures})
    model = onnx.load(folder / INT8)
    onnx.helper.set_model_props(model, about.properties())
    write_atomically(folder / INT8, model.SerializeToString())
    return about


def _quantise(source: Path, target: Path, batches: list[NDArray[np.float32]]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter(batches)

        def get_next(self) -> dict[str, Any] | None:
            images = next(self.batches, None)
            return None if images is None else {"images": images}

    with TemporaryDirectory() as work:
        prepared = Path(work) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(str(prepared), str(target), Reader(), per_channel=True)


def _latencies(programs: list[Program], image: NDArray[np.float32]) -> list[float]:
    """Return the least milliseconds of each program for an image, in interleaved passes."""
    found = np.full((_ROUNDS, len(programs)), np.inf)
    for turn, place in np.ndindex(found.shape):
        begun = time.perf_counter()
        programs[place](image)
        found[turn, place] = time.perf_counter() - begun
    return [1000 * float(least) for least in found.min(axis=0)]


def _batches(places: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return iter(np.array_split(places, math.ceil(len(places) / _AT_ONCE)))
