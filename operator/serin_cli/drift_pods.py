"""Rows that pods keep, read from them: a candidate's and stable's of one cohort.

Every address of a name is asked, so a headless Service over the pods of both arms is enough; nothing is asked of the
API server. A pod gives its rows to who seals the request with a key of its deployment.
"""

from __future__ import annotations

import http.client
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serin_bundle.chunks import Frame
from serin_contract import http as contract
from serin_contract import keys, sampled, stats
from serin_contract.keys import KeyRing
from serin_contract.sampled import SampledRows

PODS_MAX = 256
SECONDS_MAX = 10.0
KEYS_BYTES_MAX = 64 * 1024


class PodsError(Exception):
    """The rows cannot be compared; the text says why, and what to do."""


@dataclass(frozen=True)
class Arms:
    """The rows of both arms in one cohort."""

    cohort: str
    candidate: str
    """Name of the revision."""
    stable: str
    candidate_rows: Frame
    stable_rows: Frame


def read_keys(path: Path) -> KeyRing:
    """The keys file of a deployment: `keys.json` of its Secret.

    Raises:
        PodsError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return keys.decode(file.read(KEYS_BYTES_MAX))
    except (OSError, ValueError) as error:
        raise PodsError(f"the keys file {path} cannot be read: {error}") from error


def read(names: Sequence[str], ring: KeyRing) -> list[SampledRows]:
    """What every pod at these names keeps.

    Args:
        names: `host` or `host:port`; a host name stands for all its addresses.
        ring: of the deployment.

    Raises:
        PodsError: a name leads nowhere, or a pod gives no rows.
    """
    addresses = list(dict.fromkeys(address for name in names for address in _addresses(name)))
    if len(addresses) > PODS_MAX:
        raise PodsError(f"there are {len(addresses)} pods; at most {PODS_MAX} are asked")
    return [_rows_of(address, ring) for address in addresses]


def arms(answers: Sequence[SampledRows]) -> Arms:
    """The rows of both arms, in the cohort of which they have most.

    A cohort's name begins with the candidate's, and every other revision in it is stable.

    Raises:
        PodsError: no cohort has rows of both, or their columns differ.
    """
    cohorts: dict[str, list[SampledRows]] = defaultdict(list)
    for answer in answers:
        if answer.rows:
            cohorts[answer.cohort].append(answer)
    if not cohorts:
        raise PodsError("no pod keeps any row yet: rows are kept while a trial or a watch runs")
    cohort, found = max(cohorts.items(), key=lambda item: (_fewest(*item), item[0]))
    if _fewest(cohort, found) == 0:
        revisions = ", ".join(sorted({answer.revision for some in cohorts.values() for answer in some}))
        raise PodsError(f"no cohort has rows of candidate and stable; there are rows of {revisions} only")
    candidate = _candidate(cohort)
    ours, theirs = _split(cohort, found)
    if any(answer.columns != found[0].columns for answer in found):
        raise PodsError("candidate and stable take other columns; rows of them cannot be compared")
    return Arms(cohort, candidate, theirs[0].revision, _frame(ours), _frame(theirs))


def chunks(frame: Frame) -> Callable[[], Iterator[Any]]:
    """The rows as `compare` takes them."""
    return lambda: iter([frame])


def _candidate(cohort: str) -> str:
    return cohort.rsplit(".", 2)[0]


def _split(cohort: str, answers: Sequence[SampledRows]) -> tuple[list[SampledRows], list[SampledRows]]:
    """Those of the candidate, and those of stable."""
    name = _candidate(cohort)
    return [one for one in answers if one.revision == name], [one for one in answers if one.revision != name]


def _fewest(cohort: str, answers: Sequence[SampledRows]) -> int:
    return min(sum(answer.rows for answer in arm) for arm in _split(cohort, answers))


def _frame(answers: Sequence[SampledRows]) -> Frame:
    columns, rows = answers[0].columns, sum(answer.rows for answer in answers)
    width = sum(column.datatype != "BYTES" for column in columns)
    numbers = np.frombuffer(b"".join(answer.numbers for answer in answers), "<f8").reshape(rows, width).T
    texts = [list(values) for values in zip(*(row for answer in answers for row in answer.texts), strict=True)]
    # Endless values are as good as missing: neither bins nor distances can hold them.
    of_numbers, of_texts = iter(np.where(np.isfinite(numbers), numbers, np.nan)), iter(texts)
    return Frame(
        {
            column.name: np.array(next(of_texts), dtype=object) if column.datatype == "BYTES" else next(of_numbers)
            for column in columns
        },
        rows,
    )


def _addresses(name: str) -> list[tuple[str, int]]:
    host, _, port = name.rpartition(":") if name.count(":") == 1 or "]" in name else (name, "", "")
    try:
        number = int(port) if port else contract.STATS_PORT
        found = socket.getaddrinfo(host.strip("[]"), number, type=socket.SOCK_STREAM)
    except (OSError, ValueError, UnicodeError) as error:
        raise PodsError(f"{name!r} leads to no pod: {error}") from error
    return [(str(address[0]), number) for *_, address in found]


def _rows_of(address: tuple[str, int], ring: KeyRing) -> SampledRows:
    said = _get(address, contract.STATS_PATH, {}, contract.STATS_BYTES_MAX)
    try:
        uid = stats.decode(said).pod_uid
        header = {contract.ROWS_MAC_HEADER: sampled.ask(uid, time.time(), ring)}
        return sampled.decode(_get(address, contract.ROWS_PATH, header, sampled.ANSWER_BYTES_MAX))
    except ValueError as error:
        raise PodsError(f"the pod at {address[0]} answers what no model server does: {error}") from error


def _get(address: tuple[str, int], path: str, headers: dict[str, str], bytes_max: int) -> bytes:
    connection = http.client.HTTPConnection(*address, timeout=SECONDS_MAX)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read(bytes_max + 1)
    except (OSError, http.client.HTTPException) as error:
        raise PodsError(f"the pod at {address[0]} cannot be asked: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if response.status == 401:
        raise PodsError(f"the pod at {address[0]} refuses these keys: take keys.json of the deployment's own Secret")
    if response.status == 404:
        revision = response.getheader(contract.REVISION_HEADER, "the revision")
        raise PodsError(
            f"{revision} keeps no rows: set serving.sampleRows, and compare once it holds for candidate and stable"
        )
    if response.status != 200 or len(body) > bytes_max:
        raise PodsError(f"the pod at {address[0]} answers with status {response.status} and {len(body)} bytes")
    return body
