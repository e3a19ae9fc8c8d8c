"""BentoML with a hand-written handler for Open Inference Protocol v2; the model's path is in BENCH_MODEL.

It runs in an environment of its own, without Serin.
"""

import os
from typing import Any

import bentoml
import joblib
import numpy as np


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Bench:
    def __init__(self) -> None:
        self._model = joblib.load(os.environ["BENCH_MODEL"])

    @bentoml.api(route="/v2/models/bench/infer")
    def infer(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: ARG002
        tensor = inputs[0]
        values = self._model.predict(np.array(tensor["data"], dtype=np.float64).reshape(tensor["shape"]))
        data = {"name": "predict", "datatype": "INT64", "shape": [len(values)], "data": values.tolist()}
        return {"model_name": "bench", "outputs": [data]}
