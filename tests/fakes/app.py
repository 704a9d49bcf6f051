"""The demo app's side of docs/md on a fake phone: computing with the host's code, or with a fault.

python -m tests.fakes.app PHONE ID            computes
python -m tests.fakes.app PHONE ID FAULT      answers without computing; FAULT is Python that changes `text`
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeezebert_edge.bundle.opened import open_bundle
from squeezebert_edge.devices import JOB, OUTPUTS, RESULT
from squeezebert_edge.devices.android.app import JOBS
from squeezebert_edge.devices.demo_app import APP_ID, BUNDLE, JOB_VERSION
from squeezebert_edge.devices.python.host import Host
from squeezebert_edge.latency.protocol import Protocol
from squeezebert_edge.latency.record import Settings
from squeezebert_edge.plumbing.progress import silent
from tests.kit.records import run, samples

if TYPE_CHECKING:
    from tests.fakes.adbd import FakePhone

ROOT = Path(__file__).parents[2]
STORAGES = (f"sdcard/Android/data/{APP_ID}/files", f"data/data/{APP_ID}/files")


def install(phone: FakePhone, fault: str | None = None, *, open_to_shell: bool = True) -> None:
    """Give a phone the app, and Android's commands that manage apps.

    Args:
        fault: of its answers, as above; null computes. open_to_shell: whether the shell may write to its
            external files.
    """
    for storage in STORAGES:
        (phone.root / storage).parent.mkdir(parents=True)
    if not open_to_shell:
        (phone.root / STORAGES[0]).write_text("no directory")
    break_(phone, fault or "")
    program = f"{sys.executable} -m {__name__} {phone.root} $job" + ("" if fault is None else " fault")
    pid = f"{phone.root}/app.pid"
    phone.script("pm", f'[ "$*" = "path {APP_ID}" ] && echo package:/data/app/base.apk')
    phone.script("pidof", f"cat {pid} 2>/dev/null")
    phone.script(
        "run-as", f'[ "$1" = {APP_ID} ] || exit 1; shift; cd {phone.root}/data/data/{APP_ID} && exec "$@"'
    )
    phone.script(
        "am",
        f"""if [ "$1" = force-stop ]; then
    kill -9 $(cat {pid} 2>/dev/null) 2>/dev/null; rm -f {pid}; exit 0
fi
[ "$*" = "start -W -n {APP_ID}/.JobActivity --es job $7" ] || {{ echo "Error: no such activity"; exit 0; }}
job=$7; cd {ROOT}
PYTHONPATH={ROOT} setsid {program} </dev/null >{phone.root}/app.log 2>&1 & echo $! >{pid}
echo "Status: ok\"""",
    )


def break_(phone: FakePhone, fault: str) -> None:
    """Give the app that a phone has another fault."""
    (phone.root / "fault").write_text(fault)


def left(phone: FakePhone) -> list[Path]:
    """What jobs and pushed files a phone still has."""
    found = list(phone.temporary.iterdir())
    for storage in STORAGES:
        found += (phone.root / storage / JOBS).glob("*")
    return found


def computed(directory: Path, job: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of an app that works."""
    bundle, settings = open_bundle(directory / BUNDLE), Settings(**job["settings"])
    rows = [
        {
            name: np.array([values], np.int32)
            for name, values in zip(job["inputs"], row["values"], strict=True)
        }
        for row in job["rows"]
    ]
    if job["work"] == "answer":
        answers = Host().answer(bundle, rows, settings, silent)
        outputs = [answer[output.name] for answer in answers for output in bundle.manifest.outputs]
        (directory / OUTPUTS).write_bytes(b"".join(o.astype("<f4").tobytes() for o in outputs))
        return {"shapes": [[list(o.shape) for o in answer.values()] for answer in answers]}
    measured = Host().measure(bundle, rows, Protocol(**job["protocol"]), settings, silent)
    return {"run": as_app(measured.model_dump(mode="json"))}


def made_up(directory: Path, job: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of an app that works, without computing."""
    lengths = [row["length"] for row in job["rows"]]
    if job["work"] == "answer":
        (directory / OUTPUTS).write_bytes(bytes(8 * len(lengths)))
        return {"shapes": [[[1, 2]]] * len(lengths)}
    found = samples([5] * job["protocol"]["queries"], lengths)
    return {"run": as_app(run(found).model_dump(mode="json"))}


def as_app(measured: dict[str, Any]) -> dict[str, Any]:
    measured["device"]["kind"], measured["runtime"]["runner"] = "android", "app"
    return measured


def main(phone: Path, name: str, faulty: bool) -> None:
    (directory,) = (
        found for storage in STORAGES if (found := phone / storage / JOBS / name) / JOB in found.glob("*")
    )
    job = json.loads((directory / JOB).read_text())
    assert job["job_version"] == JOB_VERSION
    text = json.dumps((made_up if faulty else computed)(directory, job))
    scope = {"text": text, "time": time, "os": os, "signal": signal, "directory": directory}
    exec((phone / "fault").read_text(), scope)
    (directory / "partial").write_text(str(scope["text"]))
    (directory / "partial").replace(directory / RESULT)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], faulty=len(sys.argv) > 3)
