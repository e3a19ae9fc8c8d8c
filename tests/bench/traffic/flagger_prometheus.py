"""Prometheus among the pods of a place, for a peer that judges by its figures: it reads every model server each second.

Debian's build knows nothing of Kubernetes, so a watch tells it of the pods by a file that it looks out for.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml
from tests.support.stories import Json, Place

from serin_cli.cluster import addresses
from serin_cli.cluster.access import Cluster
from serin_cli.cluster.packages import ensure_for_bench
from serin_cli.cluster.progress import Progress
from serin_contract import http

PORT = 9090
URL = f"http://{addresses.NODE}:{PORT}"
SCRAPE_SECONDS = 1
READY_SECONDS = 60.0


@contextmanager
def running(place: Place, progress: Progress) -> Iterator[None]:
    """Run it for the length of the block, on a directory that goes with it."""
    program = ensure_for_bench("prometheus", progress)
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        room = Path(directory)
        targets = room / "targets.json"
        stack.enter_context(_told_of_pods(place, targets))
        (room / "prometheus.yml").write_text(yaml.safe_dump(settings(targets)))
        argv = [program, f"--config.file={room}/prometheus.yml", f"--storage.tsdb.path={room}/data",
                f"--web.listen-address={addresses.NODE}:{PORT}", "--log.level=warn"]  # fmt: skip
        process = subprocess.Popen(place.cluster.inside_command(argv), stdin=subprocess.DEVNULL)
        stack.callback(_stop, process)
        _await_ready(place.cluster, process)
        yield


def settings(targets: Path) -> Json:
    """Prometheus's own settings: one job, whose targets stand in that file."""
    every = f"{SCRAPE_SECONDS}s"
    job = {"job_name": "servers", "file_sd_configs": [{"files": [str(targets)]}]}
    return {"global": {"scrape_interval": every, "scrape_timeout": every}, "scrape_configs": [job]}


class Targets:
    """The pods of a namespace as targets, one group each, in a file that always holds them whole."""

    def __init__(self, namespace: str, file: Path) -> None:
        self._namespace, self._file = namespace, file
        self._groups: dict[str, Json] = {}
        self._write()

    def take(self, line: str) -> None:
        """Take one line of the watch: kind of the event, pod, its label `app`, its address if it has one."""
        kind, pod, app, address = line.rstrip("\n").split(" ")
        if kind == "DELETED":
            self._groups.pop(pod, None)
        elif address:
            names = {"namespace": self._namespace, "pod": pod, "app": app}
            self._groups[pod] = {"targets": [f"{address}:{http.STATS_PORT}"], "labels": names}
        self._write()

    def _write(self) -> None:
        whole = self._file.with_suffix(".part")
        whole.write_text(json.dumps(list(self._groups.values())))
        whole.replace(self._file)


@contextmanager
def _told_of_pods(place: Place, file: Path) -> Iterator[None]:
    targets = Targets(place.namespace, file)
    fields = "{.type} {.object.metadata.name} {.object.metadata.labels.app} {.object.status.podIP}"
    words = [
        "-n",
        place.namespace,
        "get",
        "pods",
        "--watch",
        "--output-watch-events",
        "-o",
        f'jsonpath={fields}{{"\\n"}}',
    ]
    process = subprocess.Popen(
        place.cluster.kubectl_command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )

    def follow() -> None:
        for line in process.stdout or ():
            targets.take(line)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
        # Without the watch Prometheus would have read pods that are gone, and Flagger would have judged by nothing.
        assert process.poll() is None, f"the watch of pods ended with {process.returncode}"
    finally:
        _stop(process)
        thread.join(5)
        if process.stdout is not None:
            process.stdout.close()


def _await_ready(cluster: Cluster, process: subprocess.Popen[bytes]) -> None:
    ask = f"import urllib.request as r; r.urlopen('{URL}/-/ready', timeout=2)"
    limit = time.monotonic() + READY_SECONDS
    while cluster.run_inside([sys.executable, "-c", ask]).returncode != 0:
        assert process.poll() is None, f"Prometheus ended with {process.returncode}"
        assert time.monotonic() < limit, f"Prometheus is not ready after {READY_SECONDS:g} s"
        time.sleep(0.5)


def _stop(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
