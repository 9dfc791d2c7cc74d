"""What stands in `deploy/` says what the command line, the server and the schedulers know."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import backbones
from backbones.weights.sealed import tensors_sha256

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file() and path.name != "README.md")
MANIFESTS = {
    path.name: list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    for path in FILES
    if path.suffix == ".yaml"
}


def options_of(verb: str) -> set[str]:
    from backbones.cli.app import app_for

    command = typer.main.get_command(app_for([verb]))
    command = getattr(command, "commands", {}).get(verb, command)
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts)}


def words_of(path: Path) -> list[str]:
    """The words of every command line in a file, comments left out."""
    text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
    if path.suffix == ".yaml":
        pods = [each["spec"]["template"]["spec"] for each in MANIFESTS[path.name] if is_work(each)]
        lines = [" ".join(pod["containers"][0]["args"]) for pod in pods]
    elif path.name == "Dockerfile":
        lines = [" ".join(json.loads(text.rpartition("\nCMD ")[2]))]
    elif path.suffix == ".md":
        lines = re.findall(r"`(docker run [^`]+|[^`]*sbatch [^`]+)`", text)
    else:
        lines = text.splitlines()
    return [word for line in lines for word in shlex.split(line, comments=True)]


def is_work(manifest: dict[str, Any]) -> bool:
    return manifest["kind"] in ("Job", "Deployment")


def test_every_file_has_three_lines_of_explanation() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `([^`]+)`[^\n]*\n\n(.+?)(?=\n\n|\n*\Z)", text, re.M | re.S))
    assert set(sections) == {path.relative_to(DEPLOY).as_posix() for path in FILES}
    for name, lines in sections.items():
        assert len(lines.splitlines()) == 3, name


@pytest.mark.parametrize("path", [*FILES, DEPLOY / "README.md"], ids=lambda path: path.name)
def test_options_are_those_of_the_command_line(path: Path) -> None:
    words = words_of(path)
    verbs = [word for word in words if word in ("train", "predict", "serve")]
    assert verbs, f"{path.name} runs nothing"
    (verb,) = set(verbs)
    after = words[words.index(verb) :]
    said = {word for word in after if re.fullmatch(r"--[a-z-]+", word)}
    assert said <= options_of(verb), said - options_of(verb)


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_have_what_kubernetes_requires(name: str) -> None:
    """The required fields of each kind; `kubernetes-validate --strict` knows all of them."""
    for each in MANIFESTS[name]:
        assert each["apiVersion"] == {"Job": "batch/v1", "Deployment": "apps/v1"}.get(
            each["kind"], "v1"
        )
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", each["metadata"]["name"])
        if not is_work(each):
            assert each["spec"]["ports"][0]["targetPort"] == "http"
            continue
        template = each["spec"]["template"]
        pod, (container,) = template["spec"], template["spec"]["containers"]
        assert {"name", "image", "resources", "volumeMounts"} <= set(container)
        assert pod["securityContext"]["runAsNonRoot"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        for word in re.findall(r"(?<![\w.])/[a-z]+(?=/)", " ".join(container["args"])):
            assert word in mounted, f"{word} is no volume"


def test_the_job_divides_by_its_index() -> None:
    (job,) = MANIFESTS["predict-job.yaml"]
    spec = job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert spec["completionMode"] == "Indexed"
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # a podFailurePolicy wants that
    number = spec["completions"]
    line = " ".join(container["args"])
    assert f"$((JOB_COMPLETION_INDEX + 1))/{number}" in line
    words = line.removeprefix("exec ").replace("JOB_COMPLETION_INDEX", "3")
    done = subprocess.run(["sh", "-c", f"printf '%s\\n' {words}"], capture_output=True, text=True)
    assert done.stdout.splitlines()[-2:] == ["--share", f"4/{number}"]


def test_probes_ask_for_pages_that_the_server_has() -> None:
    from backbones.serving.application import _OPEN

    service = next(each for each in MANIFESTS["serve.yaml"] if each["kind"] == "Service")
    deployment = next(each for each in MANIFESTS["serve.yaml"] if each["kind"] == "Deployment")
    template = deployment["spec"]["template"]
    (container,) = template["spec"]["containers"]
    (port,) = container["ports"]
    assert container["args"][container["args"].index("--port") + 1] == str(port["containerPort"])
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] in _OPEN  # without a token too
        assert asked["port"] == port["name"]
    labels = template["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    drain = int(container["args"][container["args"].index("--drain") + 1])
    assert drain + 5 < template["spec"]["terminationGracePeriodSeconds"]
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    (path,) = re.findall(r"http://127\.0\.0\.1:8000(/[\w/]+)", text)
    assert path in _OPEN


def test_the_image_runs_as_nobody_in_particular_and_copies_what_is_there() -> None:
    import tomllib

    root = DEPLOY.parent
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    (copied,) = re.findall(r"^COPY (.+) \./$", text, flags=re.MULTILINE)
    assert all((root / name).is_file() for name in copied.split())
    user = re.findall(r"^USER (\S+)$", text, flags=re.MULTILINE)
    assert user == ["10001"]
    assert text.index("USER 10001") < text.index("ENTRYPOINT")
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    (wanted,) = re.findall(r"'\.\[([\w,]+)\]'", text)
    assert set(wanted.split(",")) <= set(extras)


@pytest.fixture
def on_slurm(tmp_path: Path) -> dict[str, str]:
    """An environment whose `srun` and `torchrun` run one process, and whose `scontrol` notes."""
    commands = {
        "srun": 'exec "$@"',
        "torchrun": 'while [ "$1" != -m ]; do shift; done; exec "$PYTHON" "$@"',
        "scontrol": f'echo "$@" >> {tmp_path}/scontrol.log',
    }
    for name, line in commands.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{line}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    ours = {"PATH": path, "PYTHON": sys.executable, "SLURM_JOB_ID": "7", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **ours}


SETTINGS = ("length=3epochs", "checkpoint_every=5steps", "threads=1", "test_fraction=0")


def test_slurm_s_sigterm_puts_a_run_into_the_queue_that_goes_on_exactly(
    on_slurm: dict[str, str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    recipe = "--model lenet5 --recipe digits " + " ".join(f"--set {each}" for each in SETTINGS)
    env = {**on_slurm, "DATA": "digits", "RUN": str(run), "RECIPE": recipe}
    command = ["bash", str(DEPLOY / "slurm" / "train.sbatch")]
    job = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    metrics, until = run / "metrics.jsonl", time.monotonic() + 120
    while not (run / "checkpoint.safetensors").exists() and time.monotonic() < until:
        time.sleep(0.02)
    job.send_signal(signal.SIGTERM)
    _, said = job.communicate(timeout=60)
    assert job.returncode == 0, said
    assert (tmp_path / "scontrol.log").read_text() == "requeue 7\n"
    assert "end" not in {json.loads(line)["record"] for line in metrics.read_text().splitlines()}
    again = subprocess.run(command, env=env, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    whole = tmp_path / "whole"
    backbones.train("digits", model="lenet5", recipe="digits", settings=SETTINGS, out=whole).run()
    bits = [
        tensors_sha256(backbones.read_bundle(where / "last.safetensors").state)
        for where in (run, whole)
    ]
    assert bits[0] == bits[1]
    assert (tmp_path / "scontrol.log").read_text() == "requeue 7\n"  # not once more at the end


def test_torchrun_knows_the_options_of_the_script() -> None:
    from torch.distributed.run import get_args_parser

    text = (DEPLOY / "slurm" / "train.sbatch").read_text(encoding="utf-8")
    (line,) = re.findall(r"srun torchrun (.+?) -m", re.sub(r"\\\n", " ", text), flags=re.S)
    words = [re.sub(r"\$\{?\w+(:-\w+)?\}?|\$\(\w+\)", "1", word) for word in shlex.split(line)]
    chosen = get_args_parser().parse_args([*words, "script.py"])
    assert (chosen.nnodes, chosen.nproc_per_node, chosen.rdzv_endpoint) == ("1", "1", "1:29500")


def test_a_slurm_array_has_a_share_only_where_it_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "srun").write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    (tmp_path / "srun").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    env |= {"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "16", "SLURM_CPUS_PER_TASK": "8"}
    command = ["bash", str(DEPLOY / "slurm" / "predict.sbatch")]
    plain = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    divided = subprocess.run(
        command, env={**env, "DIVIDE": "1"}, capture_output=True, text=True, check=True
    )
    assert plain.stdout.split() == [
        *("backbones", "predict", "runs/photos", "shards/*.tar", "--out", "answers/"),
        *("--format", "parquet", "--threads", "8"),
    ]
    assert divided.stdout.split() == [*plain.stdout.split(), "--share", "2/16"]
