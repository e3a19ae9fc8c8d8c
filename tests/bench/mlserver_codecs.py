"""MLServer's own codecs against Serin's server: what they encode is answered, and they decode the answers.

Run it with `python -m tests.bench.mlserver_codecs --uv PATH`. MLServer pins older versions of what the lock holds, so
uv gives it an environment of its own, in its cache; its 1.7.1 starts with uvloop below 0.22 only.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.unit.serving.running import Case, run

from serin_bundle import package
from serin_contract.keys import derive_ring, encode

WITH = ("--with", "mlserver==1.7.1", "--with", "uvloop<0.22")
SECONDS_MAX = 300
CLIENT = """
import json, sys, urllib.request
import numpy as np, pandas as pd
from mlserver.codecs import NumpyCodec, NumpyRequestCodec, PandasCodec, StringCodec
from mlserver.types import InferenceResponse, MetadataModelResponse, MetadataServerResponse

origin, model, rows = sys.argv[1], sys.argv[2], json.loads(sys.stdin.read())

def ask(path, body=None):
    request = urllib.request.Request(f"{origin}{path}", data=body, headers={"content-type": "application/json"})
    return urllib.request.urlopen(request, timeout=10).read()

MetadataServerResponse.model_validate_json(ask("/v2"))
names = [column.name for column in MetadataModelResponse.model_validate_json(ask(f"/v2/models/{model}")).inputs]
frame = pd.DataFrame(rows, columns=names)
requests = {
    "NumpyRequestCodec": NumpyRequestCodec.encode_request(np.array(rows)),
    "PandasCodec": PandasCodec.encode_request(frame),
    "PandasCodec, columns turned round": PandasCodec.encode_request(frame[names[::-1]]),
}
answers = {}
for name, request in requests.items():
    request.id = "mine"
    answer = InferenceResponse.model_validate_json(
        ask(f"/v2/models/{model}/infer", request.model_dump_json(exclude_none=True).encode())
    )
    assert answer.id == "mine", name
    predict, probabilities = answer.outputs
    codec = StringCodec if predict.datatype == "BYTES" else NumpyCodec
    answers[name] = [list(np.ravel(codec.decode_output(predict)).tolist()),
                     NumpyCodec.decode_output(probabilities).tolist()]
print(json.dumps(answers))
"""


def main() -> int:
    """0 where every codec's request got the model's own answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", default=shutil.which("uv"), required=shutil.which("uv") is None, help="path of uv")
    uv: str = parser.parse_args().uv
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys.json"
        keys.write_bytes(encode(derive_ring({"m1": b"1" * 32}, "m1", "uid")))
        return max(_compare(uv, _case(Path(folder) / name, texts=texts), keys) for name, texts in CASES.items())


CASES = {"wine": False, "cellar": True}


def _case(out: Path, *, texts: bool) -> Case:
    data = load_wine()
    labels = [f"wine {label}" for label in data.target] if texts else data.target
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data, labels)
    made = package(model, data.data, labels, out, name=out.name, feature_names=list(data.feature_names))
    return Case(out.name, out, made.digest, model, data.data, labels)


def _compare(uv: str, case: Case, keys: Path) -> int:
    rows = case.rows[:20]
    with run(case, keys) as server:
        command = [uv, "run", "--quiet", "--isolated", "--no-project", *WITH, "python", "-c", CLIENT]
        arguments = [f"http://127.0.0.1:{server.inference_port}", case.name]
        done = subprocess.run(
            [*command, *arguments],
            input=json.dumps(rows.tolist()),
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS_MAX,
        )
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return 1
    expected = [case.model.predict(rows).tolist(), case.model.predict_proba(rows).tolist()]
    wrong = 0
    for name, answers in json.loads(done.stdout).items():
        print(f"{case.name}: {name}: {'as the model' if answers == expected else 'WRONG'}")
        wrong |= answers != expected
    return wrong


if __name__ == "__main__":
    sys.exit(main())
