"""Fixtures of the end-to-end tests. A test that cannot run on this machine skips loudly, with its reason."""
import os, pathlib, sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
import wardtest


@pytest.fixture(scope="session")
def platform():
    """One platform for all tests that do not hurt it. One registry on this machine may be reached over plain HTTP."""
    registry = f"127.0.0.1:{wardtest.free_port()}"
    with wardtest.Platform(config=f'[registry]\ninsecure = ["{registry}"]') as p:
        p.registry = registry
        yield p
        p.stop()
        assert not p.leftovers()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call" and report.failed and "platform" in getattr(item, "funcargs", {}):
        item.funcargs["platform"].dump()
