"""Every method of every service is our own: one that is not answers UNIMPLEMENTED when called."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

from authority import rpc, v1
from authority.rpc import server


def modules(package):
    return [
        importlib.import_module(f"{package.__name__}.{found.name}")
        for found in pkgutil.iter_modules(package.__path__)
    ]


SERVICES = {
    service.full_name: (service, importlib.import_module(f"{module.__name__}_grpc"))
    for module in modules(v1)
    if hasattr(module, "DESCRIPTOR")
    for service in module.DESCRIPTOR.services_by_name.values()
}
METHODS = [
    (name, method.name) for name, (service, _) in SERVICES.items() for method in service.methods
]


def leaves(kind):
    """Return our classes below one that have none below them: the others are parts of these."""
    below = [found for found in kind.__subclasses__() if found.__module__.startswith(rpc.__name__)]
    return {leaf for found in below for leaf in leaves(found)} if below else {kind}


def generated(name):
    service, module = SERVICES[name]
    return getattr(module, f"{service.name}Servicer")


@pytest.fixture(scope="module", autouse=True)
def all_servicers():
    modules(rpc)


def test_every_service_is_told_of_and_has_one_servicer():
    assert set(server._SERVICES) == set(SERVICES)
    assert {name: len(leaves(generated(name))) for name in SERVICES} == dict.fromkeys(SERVICES, 1)


@pytest.mark.parametrize(("service", "method"), METHODS)
def test_every_method_is_answered(service, method):
    base = generated(service)
    (servicer,) = leaves(base)
    own = getattr(servicer, method)
    assert own is not getattr(base, method)
    assert inspect.iscoroutinefunction(own) or inspect.isasyncgenfunction(own)
