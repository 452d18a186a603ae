"""The launch scripts, as far as they can be checked without a cluster."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

LAUNCH = pathlib.Path(__file__).parent.parent / "launch"
SCRIPTS = sorted([*LAUNCH.rglob("*.sh"), *LAUNCH.glob("*.sbatch")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_are_well_formed(script):
    subprocess.run(["bash", "-n", script], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", script], check=True)
    if script.name != "collapse.sh":  # which wants no arguments
        done = subprocess.run(["bash", script], capture_output=True, text=True, check=False)
        assert done.returncode == 2 and "usage:" in done.stderr


def _again(tmp_path, codes, **environment):
    """Runs again.sh on a command with these exit codes in turn; returns its code and the runs."""
    script = f"""
    n=$(cat {tmp_path}/n 2>/dev/null || echo 0); echo $((n + 1)) > {tmp_path}/n
    codes=({" ".join(map(str, codes))}); exit "${{codes[$n]}}"
    """
    done = subprocess.run(
        [LAUNCH / "again.sh", "bash", "-c", script],
        env={**os.environ, "PAUSE": "0", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, int((tmp_path / "n").read_text())


@pytest.mark.parametrize(
    ("codes", "want"),
    [
        ([0], (0, 1)),
        ([75, 76, 137, 134, 143, 0], (0, 6)),  # asked to stop, a host lost, and three signals
        ([1, 0], (1, 1)),  # an error would come again
        ([2, 0], (2, 1)),
        ([75, 1, 0], (1, 2)),
    ],
)
def test_faults_are_repeated_and_errors_are_not(codes, want, tmp_path):
    assert _again(tmp_path, codes) == want


def test_restarts_are_bounded(tmp_path):
    assert _again(tmp_path, [137] * 9, RESTARTS="3") == (137, 4)


def _stub(folder, name, text):
    file = folder / name
    file.write_text(f"#!/usr/bin/env bash\n{text}\n")
    file.chmod(0o755)


def _with_stubs(tmp_path, **more):
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PAUSE": "0", **more}


def test_slurm_starts_a_process_per_task_that_knows_its_rank(tmp_path):
    _stub(tmp_path, "scontrol", 'if [ "$1" = show ]; then printf "node7\\nnode8\\n"; fi')
    _stub(tmp_path, "srun", 'shift 2; SLURM_PROCID=1 SLURM_NTASKS=2 exec "$@"')
    _stub(tmp_path, "python", 'printf "%s\\n" "$@"')
    environment = _with_stubs(tmp_path, SLURM_JOB_ID="41", SLURM_JOB_NODELIST="node[7-8]")
    command = ["bash", LAUNCH / "slurm.sbatch", "a.py", "/shared/run", "--config.seed=1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        *("-m", "byol_jax", "train", "--coordinator=node7:20041", "--num_processes=2"),
        *("--process_id=1", "--config=a.py", "--workdir=/shared/run", "--config.seed=1"),
    ]
    if shutil.which("sbatch"):
        subprocess.run(["sbatch", "--test-only", *command[1:]], check=True)


def test_slurm_queues_a_run_again_that_was_told_to_stop(tmp_path):
    _stub(tmp_path, "scontrol", f'echo "$@" >> {tmp_path}/said; echo node7')
    _stub(tmp_path, "srun", "exit 75")
    environment = _with_stubs(tmp_path, SLURM_JOB_ID="41", SLURM_JOB_NODELIST="node7")
    subprocess.run(["bash", LAUNCH / "slurm.sbatch", "a.py", "w"], env=environment, check=True)
    assert "requeue 41" in (tmp_path / "said").read_text()


def test_a_tpu_vm_gets_one_command_for_all_workers(tmp_path):
    _stub(tmp_path, "gcloud", 'printf "%s\\n" "$@"')
    environment = _with_stubs(tmp_path, TPU="pod", ZONE="z")
    command = ["bash", LAUNCH / "tpu_vm.sh", "a.py", "gs://b/run", "--config.optimizer.mask=x y"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert "--worker=all" in lines and "pod" in lines
    words = r"--command=python3 -m byol_jax train --distributed --config=a.py .*mask=x\\ y"
    assert any(re.match(words, line) for line in lines)


def test_the_job_set_is_whole():
    job = yaml.safe_load((LAUNCH / "gke-jobset.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (workers,) = job["spec"]["replicatedJobs"]
    spec = workers["template"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    command = container["command"]
    assert command[:4] == ["python", "-m", "byol_jax", "train"]
    assert f"--num_processes={spec['completions']}" in command
    assert spec["completions"] == spec["parallelism"] and spec["completionMode"] == "Indexed"
    host = f"{job['metadata']['name']}-{workers['name']}-0-0.{job['metadata']['name']}:9730"
    assert f"--coordinator={host}" in command
    names = {variable["name"] for variable in container["env"]}
    assert names == set(re.findall(r"\$\((\w+)\)", " ".join(command)))
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    assert pod["restartPolicy"] == "Never" and spec["backoffLimit"] == 0
