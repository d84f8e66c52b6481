"""A model as an application: what is served, the worker that writes, and the page.

Knows: how the parts of `serving` are joined. Does not know: sockets, signals or terminals.
"""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

import numpy as np
from starlette.types import ASGIApp

from lstmgen.config import SamplingConfig, ServingConfig
from lstmgen.export.rounding import Rounding
from lstmgen.generation.filters import Batch, Filter, build_filters
from lstmgen.language_model import LanguageModel
from lstmgen.pages.write import writing_page
from lstmgen.serving.app import build_app
from lstmgen.serving.batch import SharedBatch
from lstmgen.serving.completions import Served
from lstmgen.serving.worker import Worker


class Service(NamedTuple):
    """An application and its worker."""

    app: ASGIApp
    worker: Worker


def build_service(
    model: LanguageModel,
    name: str,
    limits: ServingConfig,
    *,
    host: str,
    address: str,
    created: int = 0,
    report: Callable[[str], None],
) -> Service:
    """Build the service of a model.

    Args:
        model: the model.
        name: what requests call it.
        limits: of the server.
        host: as the user named it.
        address: the address at which the server listens, without the port.
        created: when the model was saved, in seconds since 1970.
        report: takes one line about an error of the server.
    """
    served = Served(name, model.vocabulary, model.lines, model.item_end, created, limits)

    def filters(config: SamplingConfig) -> list[Filter]:
        nothing = np.zeros(0, np.int64)
        return build_filters(Batch(config, model.vocabulary, nothing, model.item_end, model.training_index))

    worker = Worker(SharedBatch(model.engine, filters), places=limits.rows, max_jobs=limits.queue, report=report)
    hosts = ("localhost", "127.0.0.1", "[::1]", bracketed(host)) if is_loopback(address) else None
    content = writing_page(model.checkpoint, name, Rounding.FLOAT16)  # the nearest that a page can hold
    return Service(build_app(served, worker, content, hosts), worker)


def is_loopback(address: str) -> bool:
    """Whether only programs on this machine reach an address."""
    return _ip(address).is_loopback


def is_unspecified(address: str) -> bool:
    """Whether an address stands for all addresses of this machine: 0.0.0.0 or ::."""
    return _ip(address).is_unspecified


def url(host: str, address: str, port: int) -> str:
    """The beginning of the URLs of a server: with the host as the user named it, or one at which it can be opened."""
    if is_unspecified(address):
        host = "127.0.0.1" if _ip(address).version == 4 else "::1"
    return f"http://{bracketed(host)}:{port}"


def _ip(address: str) -> IPv4Address | IPv6Address:
    return ip_address(address.partition("%")[0])


def bracketed(host: str) -> str:
    """A host as it stands in a URL: an IPv6 address has brackets."""
    return f"[{host}]" if ":" in host else host
