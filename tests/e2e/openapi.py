"""Answers of the API held against docs/openapi.json.

    import openapi
    openapi.check("GET", "/v1/apps/web/machines?state=started", 200, body)   # body: parsed JSON, text, bytes or None

An undeclared status, a missing field or one too many fails with the place. Each (operation, status) that was seen is kept in
SEEN, and appended to the file named by WARD_OPENAPI_SEEN, so that a run over several processes can ask what was never seen.
"""
import functools, json, os, pathlib, re

import jsonschema

FILE = pathlib.Path(__file__).resolve().parent.parent.parent / "docs/openapi.json"
# What any path may answer before, or in place of, an operation (the document's description says so).
GENERAL = {400, 401, 404, 405, 408, 413, 414, 417, 431, 501, 505}
SEEN = set()


@functools.lru_cache
def document():
    return json.loads(FILE.read_text())


@functools.lru_cache
def templates():
    """[(regex, number of braces, path item)]; fewest braces first, so that words win."""
    found = []
    for template, item in document()["paths"].items():
        pattern = "".join("[^/]+" if p.startswith("{") else re.escape(p) for p in re.split(r"(\{[^}]+\})", template))
        found.append((re.compile(f"^{pattern}$"), template.count("{"), item))
    return sorted(found, key=lambda f: f[1])


def operations():
    """{operation id: {statuses}} of the whole document."""
    return {o["operationId"]: {int(s) for s in o["responses"]}
            for item in document()["paths"].values() for m, o in item.items() if m != "parameters"}


def operation(method, path):
    path = path.split("?")[0]
    for pattern, _, item in templates():
        if pattern.match(path):
            return item.get(method.lower())
    return None


@functools.lru_cache(maxsize=512)
def validator(schema_text):
    # An anchored copy: "$ref": "#/components/..." is looked up in it.
    schema = {**json.loads(schema_text), "components": document()["components"]}
    return jsonschema.Draft4Validator(schema)


def validate(schema, value, where):
    problems = sorted(validator(json.dumps(schema, sort_keys=True)).iter_errors(value), key=lambda e: len(e.path))
    if problems:
        e = problems[0]
        detail = "; ".join(c.message[:200] for c in (e.context or [])[:3])
        place = "/".join(map(str, e.path)) or "the body"
        raise AssertionError(f"{where}: {place}: {e.message[:400]}" + (f" ({detail})" if detail else ""))


def parsed(body):
    if isinstance(body, bytes):
        body = body.decode()
    return json.loads(body) if isinstance(body, str) and body.strip() else body


def check(method, path, status, body=None, content_type=None):
    where = f"{method} {path.split('?')[0]} -> {status}"
    op = operation(method, path)
    error = {"$ref": "#/components/schemas/Error"}
    if op is None or str(status) not in op["responses"]:
        assert status in GENERAL, f"{where}: docs/openapi.json does not declare this"
        if method != "HEAD":
            validate(error, parsed(body), where)
        return
    seen = (op["operationId"], status)
    SEEN.add(seen)
    if os.environ.get("WARD_OPENAPI_SEEN"):
        with open(os.environ["WARD_OPENAPI_SEEN"], "a") as f:
            f.write(f"{seen[0]} {seen[1]}\n")
    content = op["responses"][str(status)].get("content", {})
    if not content:
        assert not body, f"{where}: a body where none belongs: {body!r:.200}"
        return
    lines = content_type and "ndjson" in content_type or list(content) == ["application/x-ndjson"] and status == 200
    if lines:
        text = body.decode() if isinstance(body, bytes) else body
        for line in filter(None, (l.strip() for l in (text or "").splitlines())):
            validate(content["application/x-ndjson"]["schema"], json.loads(line), where)
    else:
        validate(content["application/json"]["schema"], parsed(body), where)


def unseen(seen=None):
    """What the document declares and nobody saw, as sorted "operation status"."""
    seen = SEEN if seen is None else seen
    return sorted(f"{o} {s}" for o, all_ in operations().items() for s in all_ if (o, s) not in seen)


def check_request(method, path, body):
    """Does the document allow this request's body? For tests of the API's own validation against it."""
    op = operation(method, path)
    schema = op["requestBody"]["content"]["application/json"]["schema"]
    return not list(validator(json.dumps(schema, sort_keys=True)).iter_errors(body))
