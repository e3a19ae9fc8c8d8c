"""LitServe with a hand-written handler for Open Inference Protocol v2: `litserve_server.py MODEL PORT`.

It runs in an environment of its own, without Serin.
"""

import sys

import joblib
import litserve
import numpy as np


class Api(litserve.LitAPI):
    def setup(self, device):  # noqa: ARG002
        self._model = joblib.load(sys.argv[1])

    def decode_request(self, request):
        tensor = request["inputs"][0]
        return np.array(tensor["data"], dtype=np.float64).reshape(tensor["shape"])

    def predict(self, rows):
        return self._model.predict(rows)

    def encode_response(self, values):
        data = {"name": "predict", "datatype": "INT64", "shape": [len(values)], "data": values.tolist()}
        return {"model_name": "bench", "outputs": [data]}


if __name__ == "__main__":
    server = litserve.LitServer(Api(api_path="/v2/models/bench/infer"), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False, generate_client_file=False
    )
