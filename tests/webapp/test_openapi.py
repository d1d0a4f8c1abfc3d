from __future__ import annotations

import json
import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.webapp.samples import SAMPLES
from webapp.app import create_app
from webapp.problems import STATUS
from webapp.schemas import FileVerdict
from webapp.services import Services


@pytest.fixture(scope="module")
def document(client: FlaskClient) -> Any:
    return client.get("/openapi.json").json


def test_the_document_is_3_1_and_every_reference_leads_somewhere(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    references = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])
    assert {"FileVerdict", "ProblemDocument", "HealthAnswer", "EchoAnswer"} <= references
    assert "#/$defs/" not in json.dumps(document)


def test_every_api_rule_is_described(services: Services, document: Any) -> None:
    rules = {rule.rule for rule in create_app(services).url_map.iter_rules()}
    assert {rule for rule in rules if rule.startswith("/api/")} <= set(document["paths"]) <= rules


def test_operations_have_names_answers_and_problems(document: Any) -> None:
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert {"200", "405", "500"} <= set(operation["responses"])
        codes = re.findall(r"[a-z]+(?:-[a-z]+)+", " ".join(r["description"] for r in operation["responses"].values()))
        assert {code for code in codes if code in STATUS}
        for scheme in operation.get("security", [{}]):
            assert set(scheme) <= set(document["components"]["securitySchemes"])


def test_every_sample_follows_the_described_verdict() -> None:
    for sample in SAMPLES.values():
        assert FileVerdict.model_validate(sample).model_extra == {}


def test_a_known_document_is_not_sent_again(client: FlaskClient) -> None:
    first = client.get("/openapi.json")
    again = client.get("/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
