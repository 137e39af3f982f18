"""ward-edge and ward-edge-keys alone (edgelab.py draws what is built)."""
import hashlib, json, os, pathlib, signal, socket, ssl, subprocess, threading, time

import pytest

import wardtest
from edgelab import BASE, Lab


@pytest.fixture(scope="module")
def lab():
    with Lab() as l:
        yield l


def test_tls_answers(lab):
    lab.app("hello", lab.backend("one"))
    r = lab.get("hello", "/x?y=z")
    assert (r.status, r.data) == (200, b"one")
    assert r.headers["X-Path"] == "/x?y=z"
    assert r.headers["Via"] == "1.1 ward" and r.headers["Fly-Request-Id"].endswith("-test")
