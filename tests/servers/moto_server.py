"""moto's S3 server on 127.0.0.1 at the port given, one writing request at a time.

moto looks whether an object is there and writes it in two steps; under load two of several racing creators can both be told
that they won. S3 promises that exactly one does, and the tests rely on it.
"""

import sys
import threading

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

APPLICATION = DomainDispatcherApplication(create_backend_app)
WRITING = threading.Lock()


def one_write_at_a_time(environ, start_response):
    if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
        return APPLICATION(environ, start_response)
    with WRITING:
        return list(APPLICATION(environ, start_response))


run_simple("127.0.0.1", int(sys.argv[1]), one_write_at_a_time, threaded=True)
