"""Networks in files of other runtimes, proven to give the same answers."""

from __future__ import annotations

from pathlib import Path

from backbones.errors import WrongUse
from backbones.exporting.export import Exported, export_bundle, verify_exported
from backbones.exporting.form import Dtype, Form, Layout
from backbones.exporting.targets import find_target
from backbones.files import expanded
from backbones.progress import Downloading
from backbones.weights.bundle import Bundle
from backbones.weights.opening import open_bundle

__all__ = ["Exported", "export", "verify_export"]


def export(
    bundle: str | Path | Bundle,
    out: str | Path,
    *,
    to: str = "onnx",
    layout: Layout = "image",
    dtype: Dtype | None = None,
    dense: bool = False,
    precision: str = "fp32",
    downloading: Downloading | None = None,
) -> Exported:
    """Write a network as a file of another runtime, once every runtime here gives its answers.

    The same images go through PyTorch and through ONNX Runtime and OpenVINO, in batches of 1, 2
    and 5. Where pixels, logits or classes differ, nothing is written.

    Args:
        bundle: a bundle, its path, a run folder, or the id of weights.
        out: the file (.onnx, .pt2) or, for "openvino", the folder; what is there is replaced.
        to: "onnx", "openvino" or "pt2".
        layout: "image" takes whole images, uint8 (N, H, W, C), and resizes, cuts and normalises
            inside; "tensor" takes (N, C, size, size), cut outside.
        dtype: of a tensor: "float32" (where None) is normalised outside, "uint8" inside.
        dense: height and width are free, and every place of the map gets scores.
        precision: "fp32".
        downloading: called while weights are fetched.

    Returns:
        The file, with what the proof found; `backbones.open` opens it.

    Raises:
        NotFound: no such bundle or format.
        WrongUse: a place that nothing can be written to, or a form that does not suit the network.
        MissingExtra: a library of the format is absent.
        ExportMismatch: a runtime gives other answers.
    """
    chosen = dtype or ("uint8" if layout == "image" else "float32")
    form, target, path = Form(layout, chosen, dense), find_target(to), expanded(out)
    if precision != "fp32":
        raise WrongUse(f"precision is {precision!r}, and files are exported in fp32 only")
    target.refuse_place(path)
    return export_bundle(open_bundle(bundle, downloading=downloading), target, form, path)


def verify_export(
    file: str | Path,
    *,
    against: str | Path | Bundle | None = None,
    trust: bool = False,
    downloading: Downloading | None = None,
) -> Exported:
    """Repeat the proof of an exported file with the runtimes that are here now.

    Args:
        file: what `export` wrote.
        against: the bundle that it was made from, as of `export`, which then answers anew; where
            None, the answers count that it gave at the export.
        trust: read an archive of PyTorch (.pt2), which can run code.
        downloading: called while weights are fetched.

    Raises:
        NotFound: there is no such file or bundle.
        BadWeights: the file is damaged, or was not exported by this package.
        WrongUse: the bundle is another network, or the file is not trusted.
        MissingExtra: a library of the format is absent.
        ExportMismatch: a runtime gives other answers.
    """
    bundle = None if against is None else open_bundle(against, downloading=downloading)
    return verify_exported(expanded(file), bundle, trusted=trust)
