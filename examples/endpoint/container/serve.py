"""Answer for a policy as SageMaker wants it: `serve`, port 8080, /ping and /invocations.

The model lies in /opt/ml/model. Python's own library is all that this needs, so that any image with
Python 3.8 will do. Contract: docs.aws.amazon.com/sagemaker/latest/dg/
your-algorithms-inference-code.html.
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODEL = "/opt/ml/model/policy.json"


class Handler(BaseHTTPRequestHandler):
    """One request; `weights` are the policy's."""

    protocol_version = "HTTP/1.1"
    weights = (0.0, 0.0)

    def do_GET(self):
        """/ping: whether it is ready; SageMaker asks all the time."""
        self.answer(200 if self.path == "/ping" else 404, {})

    def do_POST(self):
        """/invocations: {"observations": [[place, speed], …]} → {"actions": [-1, 0 or 1, …]}."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/invocations":
            return self.answer(404, {})
        try:
            actions = [act(self.weights, each) for each in json.loads(body)["observations"]]
        except (ValueError, TypeError, KeyError) as error:
            return self.answer(400, {"error": "%s: %s" % (type(error).__name__, error)})
        return self.answer(200, {"actions": actions})

    def answer(self, status, said):
        """Send an answer as JSON."""
        data = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def act(weights, state):
    """Act as the policy did in training."""
    place, speed = state
    push = weights[0] * place + weights[1] * speed
    return (push > 0.05) - (push < -0.05)


def main():
    """Serve until SIGTERM; SIGKILL comes 30 seconds after it."""
    if sys.argv[1:] != ["serve"]:
        sys.exit("usage: serve.py serve")
    with open(MODEL) as stream:
        Handler.weights = json.load(stream)["weights"]
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT") or 8080)
    server = ThreadingHTTPServer(("0.0.0.0", port), Handler)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server.serve_forever()


if __name__ == "__main__":
    main()
