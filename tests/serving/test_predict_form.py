"""The human form: the answers of `predict`, and one line where there is none."""

from __future__ import annotations

import struct
import zlib

import pytest

import backbones
from backbones.labels import Lang


def expected(classifier: str, image: bytes, top: int, lang: Lang) -> list[dict]:
    (found,) = backbones.predict(classifier, image, top=top, lang=lang, device="cpu")
    return found.to_json()["predictions"]


@pytest.mark.parametrize("lang", ["en", "zh", "both"])
def test_answers_are_those_of_predict(serving, images, lang) -> None:
    ask = serving({"digits": "lenet5.digits", "clothes": "lenet5.fashion"})
    for image in images:
        answer = ask("POST", f"/predict?model=clothes&top=4&lang={lang}", content=image)
        assert answer.status_code == 200, answer.text
        (entry,) = answer.json()["images"]
        names = [guess.pop("names") for guess in entry["predictions"]]
        assert entry["predictions"] == expected("lenet5.fashion", image, 4, lang)
        assert names[0]["zh"] != names[0]["en"]


def test_an_answer_says_who_gave_it_and_what_was_seen(serving, images) -> None:
    answer = serving()("POST", "/predict", content=images[1]).json()
    assert (answer["model"], answer["device"], answer["precision"]) == ("digits", "cpu", "fp32")
    assert answer["seconds"] > 0
    assert answer["images"][0]["size_px"] == [97, 61]
    left, top, width, height = answer["images"][0]["seen_px"]
    assert (top, width) == (0, pytest.approx(height, abs=2))
    assert left == pytest.approx((97 - width) / 2, abs=2)


def test_a_form_holds_several_images_and_the_broken_one_says_so(serving, images) -> None:
    ask = serving()
    files = [("image", (f"{n}.png", each)) for n, each in enumerate([images[0], b"no", images[2]])]
    answer = ask("POST", "/predict?top=2", files=files, data={"comment": "no image"})
    first, broken, last = answer.json()["images"]
    for entry, image in ((first, images[0]), (last, images[2])):
        probabilities = [guess["probability"] for guess in entry["predictions"]]
        wanted = [each["probability"] for each in expected("lenet5.digits", image, 2, "en")]
        assert probabilities == pytest.approx(wanted, rel=1e-4)
    assert set(broken) == {"error"}
    assert "backbones_decode_errors_total 1.0" in ask("GET", "/metrics").text


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header alone is right."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("path", "content", "status", "said"),
    [
        ("/predict", b"", 400, "the body is empty"),
        ("/predict", b"root:x:0:0", 422, "cannot be read: a text"),
        ("/predict", bomb(5000, 3000), 413, "5000 x 3000 pixels"),
        ("/predict?top=0", b"x", 400, "top: "),
        ("/predict?lang=fr", b"x", 400, "lang: "),
        ("/predict?model=cats", b"x", 404, "there is no model 'cats'; there is digits"),
        ("/predicted", b"x", 404, "/predicted: Not Found"),
        ("/predict", b"x" * 20_001, 413, "more than 20,000 bytes"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(serving, path, content, status, said) -> None:
    answer = serving(max_pixels=10_000_000, max_body=20_000)("POST", path, content=content)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_forms_that_are_none(serving, images) -> None:
    ask = serving()
    kind = {"content-type": "multipart/form-data; boundary=b"}
    for body in (b"", b"--b\r\nrubbish", b"--b--\r\n"):
        assert ask("POST", "/predict", content=body, headers=kind).status_code == 400
    none = {"content-type": "multipart/form-data"}
    assert ask("POST", "/predict", content=b"x", headers=none).status_code == 400
    packed = {"content-encoding": "gzip"}
    assert ask("POST", "/predict", content=images[0], headers=packed).status_code == 415
