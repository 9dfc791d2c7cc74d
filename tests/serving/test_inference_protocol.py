"""The Open Inference Protocol, by a client that we did not write and by hand."""

from __future__ import annotations

import base64
import json
import struct

import numpy as np
import pytest
import torch
import tritonclient.http as triton
from PIL import Image

import backbones


@pytest.fixture(scope="module")
def client(address):
    with triton.InferenceServerClient(address.removeprefix("http://")) as found:
        yield found


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (2, 40, 30, 3), dtype=np.uint8)


def probabilities(classifier: str, image: object) -> list[float]:
    """Of all classes, in the network's order, as `predict` gives them."""
    opened = backbones.open(classifier, device="cpu")
    (found,) = opened.predict([image], top=None)
    by_name = {guess.class_name: guess.probability for guess in found.predictions}
    return [by_name[name] for name in opened.classes]


def sent(name: str, datatype: str, values: np.ndarray, binary: bool) -> triton.InferInput:
    found = triton.InferInput(name, list(values.shape), datatype)
    return found.set_data_from_numpy(values, binary_data=binary)


def test_health_and_metadata(client) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", "1")
    assert not client.is_model_ready("digits", "2")
    assert not client.is_model_ready("cats")
    server = client.get_server_metadata()
    assert server["version"] == backbones.__version__
    assert {"binary_tensor_data", "classification"} <= set(server["extensions"])
    model = client.get_model_metadata("fashion", "1")
    assert model["versions"] == ["1"]
    assert [each["datatype"] for each in model["inputs"]] == ["BYTES", "UINT8", "FP32"]
    assert model["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}]


@pytest.mark.parametrize("binary", [True, False])
def test_files_pixels_and_tensors_have_the_answers_of_predict(
    client, images, pixels, binary
) -> None:
    files = images if binary else [base64.b64encode(each) for each in images]
    model = backbones.open("lenet5.digits", device="cpu")
    cut = pixels[:, :32, :, :1][:, :, np.r_[0:30, 0:2]].astype(np.float32)
    tensor = (cut.transpose(0, 3, 1, 2) / 255 - model.spec.mean[0]) / model.spec.std[0]
    cases = [
        (sent("image", "BYTES", np.array(files, object), binary), images),
        (sent("pixels", "UINT8", pixels, binary), list(pixels)),
        (sent("pixels", "UINT8", pixels[0], binary), [pixels[0]]),
    ]
    for given, wanted in cases:
        outputs = [triton.InferRequestedOutput("probabilities", binary_data=binary)]
        found = client.infer("digits", [given], outputs=outputs, request_id="7")
        assert found.get_response()["id"] == "7"
        rows = found.as_numpy("probabilities")
        assert rows.dtype == np.float32
        for row, image in zip(rows, wanted, strict=True):
            assert row == pytest.approx(probabilities("lenet5.digits", image), rel=1e-4, abs=1e-7)
    given = sent("tensor", "FP32", tensor.astype(np.float32), binary)
    rows = client.infer("digits", [given]).as_numpy("probabilities")
    with torch.no_grad():
        (member,) = model.members
        wanted = member.build()(torch.from_numpy(tensor).float()).softmax(dim=1)
    assert rows == pytest.approx(wanted.numpy(), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("binary", [True, False])
def test_the_classification_extension(client, images, binary) -> None:
    given = sent("image", "BYTES", np.array(images[:2], object), True)
    outputs = [triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=3)]
    rows = client.infer("fashion", [given], outputs=outputs).as_numpy("probabilities")
    assert rows.shape == (2, 3)
    for row, image in zip(rows, images[:2], strict=True):
        (found,) = backbones.predict("lenet5.fashion", image, top=3, device="cpu")
        for text, guess in zip(row, found.predictions, strict=True):
            value, _, name = (text.decode() if binary else text).split(":")
            assert name == guess.name
            assert float(value) == pytest.approx(guess.probability, abs=1e-4)


def test_many_at_once_are_each_answered(client, images) -> None:
    given = [sent("image", "BYTES", np.array([each], object), True) for each in images * 4]
    waiting = [client.async_infer("digits", [each]) for each in given]
    rows = [each.get_result().as_numpy("probabilities")[0] for each in waiting]
    for row, image in zip(rows, images * 4, strict=True):
        assert row == pytest.approx(probabilities("lenet5.digits", image), rel=1e-4, abs=1e-7)


def test_models_are_listed_unloaded_and_loaded(client, images) -> None:
    client.unload_model("fashion")
    states = {each["name"]: each["state"] for each in client.get_model_repository_index()}
    assert states == {"digits": "READY", "fashion": "UNAVAILABLE"}
    assert not client.is_server_ready()
    assert not client.is_model_ready("fashion")
    client.load_model("fashion")
    assert client.is_model_ready("fashion")
    with pytest.raises(triton.InferenceServerException, match="there is no model 'cats'"):
        client.load_model("cats")


def test_a_bad_file_keeps_the_model_that_was_there(serving, bundle, images) -> None:
    ask = serving({"tiny": str(bundle)}, admin=True)
    before = ask("POST", "/predict", content=images[1]).json()["images"]
    good = bundle.read_bytes()
    bundle.write_bytes(b"spoiled" + good[7:])
    answer = ask("POST", "/v2/repository/models/tiny/load")
    assert answer.status_code == 409
    assert "tiny was not loaded: " in answer.json()["error"]
    assert ask("POST", "/predict", content=images[1]).json()["images"] == before
    bundle.write_bytes(good)
    old = ask.service.repository.get().worker
    assert ask("POST", "/v2/repository/models/tiny/load").status_code == 200
    old._thread.join(30)
    assert not old._thread.is_alive()
    assert ask("POST", "/predict", content=images[1]).json()["images"] == before


def test_nobody_manages_models_unless_told(serving) -> None:
    ask = serving()
    for path in ("index", "models/digits/load", "models/digits/unload"):
        assert ask("POST", f"/v2/repository/{path}").status_code == 403
    assert ask("GET", "/v2/health/ready").json() == {"ready": True}


def body(inputs: object, **more: object) -> bytes:
    return json.dumps({"inputs": inputs, **more}).encode()


def an_input(**more: object) -> dict[str, object]:
    return {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["AAAA"], **more}


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"{", 400, "no JSON"),
        (b"[]", 400, "no list of inputs"),
        (body([]), 400, "0 inputs came"),
        (body([an_input(), an_input()]), 400, "2 inputs came"),
        (body([1]), 400, "expected an object"),
        (body([an_input(shape="1")]), 400, "shape is '1'"),
        (body([an_input(shape=[2])]), 400, "no flat list of 2"),
        (body([an_input(datatype="INT8")]), 400, "expected BYTES, UINT8 or FP32"),
        (body([an_input(data=["?"])]), 400, "no base64"),
        (body([an_input()]), 422, "cannot be read"),
        (body([an_input(datatype="UINT8", shape=[1, 1, 3], data=[0, 1, 256])]), 400, "UINT8"),
        (body([an_input(datatype="UINT8", shape=[2, 2, 7], data=[0] * 28)]), 400, "(2, 2, 7)"),
        (body([an_input(datatype="FP32", shape=[1, 1, 2, 2], data=[0] * 4)]), 400, "(1, 32, 32)"),
        (body([an_input(datatype="FP32", shape=[0, 1, 2, 2], data=[])]), 400, "came with shape"),
        (body([an_input()], outputs=[{"name": "logits"}]), 400, "no output 'logits'"),
        (body([an_input(parameters={"binary_data_size": 9})]), 400, "0 bytes are left"),
        (body([an_input()], parameters={"timeout": "soon"}), 400, "expected microseconds"),
    ],
)
def test_what_breaks_the_protocol_is_told(serving, content, status, said) -> None:
    answer = serving()("POST", "/v2/models/digits/infer", content=content)
    assert answer.status_code == status
    assert said in answer.json()["error"]


@pytest.mark.parametrize(
    ("blob", "said"),
    [
        (struct.pack("<I", 9) + b"abc", "longer than its tensor"),
        (b"ab", "fewer elements"),
        (struct.pack("<I", 1) + b"abc", "more bytes"),
    ],
)
def test_binary_elements_that_do_not_fit(serving, blob, said) -> None:
    given = an_input(parameters={"binary_data_size": len(blob)})
    del given["data"]
    head = body([given])
    ask = serving()
    for length, message in ((len(head), said), (10**9, "Inference-Header-Content-Length")):
        headers = {"Inference-Header-Content-Length": str(length)}
        answer = ask("POST", "/v2/models/digits/infer", content=head + blob, headers=headers)
        assert answer.status_code == 400
        assert message in answer.json()["error"]


def test_a_png_in_json_is_base64(serving, images, tmp_path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(np.full((9, 9, 3), 7, np.uint8)).save(path)
    data = base64.b64encode(path.read_bytes()).decode()
    answer = serving()("POST", "/v2/models/digits/infer", content=body([an_input(data=[data])]))
    (output,) = answer.json()["outputs"]
    assert (output["datatype"], output["shape"]) == ("FP32", [1, 10])
    assert sum(output["data"]) == pytest.approx(1)
