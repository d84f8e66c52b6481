"""`lstmgen serve`."""

import typer

from lstmgen.cli.interrupt import StopRequest
from lstmgen.cli.options import CHECKPOINT, QUIET, THREADS, Given, config_from, find_model, limit_threads, options_from
from lstmgen.cli.render import note, print_json
from lstmgen.config import option
from lstmgen.errors import LstmgenError, missing_package
from lstmgen.serving.config import ServingConfig

EXAMPLES = """
lstmgen serve
lstmgen serve poems-lstm --port 8080
lstmgen serve poems-lstm --rows 16 --max-length 1000
"""


def serve(
    checkpoint: str | None = CHECKPOINT,
    host: str = option("127.0.0.1", "Where to listen; by default only this machine can connect.", metavar="ADDRESS"),
    port: int = option(8000, "The port; 0: any free one.", min=0, max=65535),
    given: Given = options_from({"Limits": ServingConfig}),
    threads: int | None = THREADS,
    json: bool = option(False, "Write a JSON object to stdout when the server is ready: url, model."),
    quiet: bool = QUIET,
) -> None:
    """Serve a model over HTTP until Ctrl-C: a page to write with, and an API like OpenAI's completions."""
    limit_threads(threads)
    limits = config_from(ServingConfig, given)
    try:
        import pydantic  # noqa: F401  # whether it is installed
        import starlette  # noqa: F401  # the same
        import uvicorn  # noqa: F401  # the same
    except ModuleNotFoundError as error:
        raise LstmgenError(f"serve: {missing_package(error, 'serve')}") from error
    from lstmgen.checkpoint import load_checkpoint, public_name
    from lstmgen.language_model import LanguageModel
    from lstmgen.serving.app import build_app
    from lstmgen.serving.completions import Served
    from lstmgen.serving.server import HttpServer, ip, known_hosts, listen, url

    path = find_model(checkpoint, quiet=quiet)
    model = LanguageModel(load_checkpoint(path), path)
    name = public_name(path).encode("utf-8", "replace").decode()
    with listen(host, port) as listening:
        address, bound_port = listening.getsockname()[:2]
        start = url(host, address, bound_port)
        served = Served(model, name, limits, int(path.stat().st_mtime))
        app, worker = build_app(served, known_hosts(host, address), note)
        with StopRequest(lambda: note("stopping; press Ctrl-C again to quit at once", quiet=quiet)) as stop:
            if not ip(address).is_loopback:
                reached = "this machine" if ip(address).is_unspecified else host
                note(f"anyone who can reach {reached} can use this server, because it has no password", quiet=quiet)
            note(f"{name} at {start}/ (stop with Ctrl-C)", quiet=quiet)
            if json:
                print_json({"url": start, "model": name})
            HttpServer(app, listening, stop=stop, cut=worker.stop, report=note).run()
    if stop():
        raise typer.Exit(stop.exit_code)
