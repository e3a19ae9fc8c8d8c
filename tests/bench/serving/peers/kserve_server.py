"""KServe's model server with a model that does what its sklearnserver does: `kserve_server.py MODEL PORT`.

It runs in an environment of its own, without Serin. Logs and gRPC are off: that is KServe at its fastest.
"""

import sys

import joblib

PATH, PORT = sys.argv[1:]
# KServe reads the command line itself, when it is imported.
sys.argv[1:] = ["--configure_logging", "false"]

from kserve import Model, ModelServer  # noqa: E402
from kserve.utils.utils import get_predict_input, get_predict_response  # noqa: E402


class SklearnModel(Model):
    def __init__(self) -> None:
        super().__init__("bench")
        self._model = joblib.load(PATH)
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):  # noqa: ARG002
        response = get_predict_response(payload, self._model.predict(get_predict_input(payload)), self.name)
        # The request names the output as MLServer and Serin do; KServe would call it output-0.
        response.outputs[0]._name = "predict"
        return response


if __name__ == "__main__":
    ModelServer(http_port=int(PORT), enable_grpc=False, enable_latency_logging=False).start([SklearnModel()])
