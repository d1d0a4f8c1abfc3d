from __future__ import annotations

import json
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import BaseModel

from ca.officers.identity import Officer
from tests.webapp.samples import SAMPLES
from webapp.app import create_app
from webapp.openapi import IDEMPOTENCY_KEY, OFFICER, Api, Operation, json_response
from webapp.problems import STATUS
from webapp.schemas import FileVerdict
from webapp.services import Services


def described(rule: str) -> str:
    """A Flask rule as the document writes it."""
    return re.sub(r"<(?:[a-z]+:)?([a-z_]+)>", r"{\1}", rule)


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
    rules = {described(rule.rule) for rule in create_app(services).url_map.iter_rules()}
    assert {rule for rule in rules if rule.startswith("/api/")} <= set(document["paths"]) <= rules


def test_operations_have_names_answers_and_problems(document: Any) -> None:
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert {"405", "500"} <= set(operation["responses"])
        assert {"200", "201", "202"} & set(operation["responses"])
        codes = re.findall(r"[a-z]+(?:-[a-z]+)+", " ".join(r["description"] for r in operation["responses"].values()))
        assert {code for code in codes if code in STATUS}
        for scheme in operation["security"]:
            assert set(scheme) <= set(document["components"]["securitySchemes"])


def test_no_operation_of_the_api_is_without_a_security_decision(document: Any) -> None:
    """An operation that nobody need prove anything for is named here, or it does not land."""
    public = {
        operation["operationId"]
        for path, item in document["paths"].items()
        for operation in item.values()
        if path.startswith("/api/v1/") and not operation["security"]
    }
    assert public == {"verifyFile", "reportOnFile"}


class Wish(BaseModel):
    text: str


class Granted(BaseModel):
    id: str


def test_a_path_s_name_a_header_and_a_body_are_served_and_described_as_one() -> None:
    app = Flask(__name__)
    somebody = Officer(id="somebody")
    api = Api(app, title="t", version="1", server="http://127.0.0.1", officer_of_request=lambda: somebody)
    operation = Operation(
        method="POST",
        path="/api/v1/wishes/{wish_id}/grants",
        name="grantWish",
        summary="Granted",
        description="A wish is granted.",
        answer=Granted,
        problems=(),
        security=OFFICER,
        status=201,
        body=Wish,
        parameters=(IDEMPOTENCY_KEY,),
    )
    api.add(operation, lambda officer, wish_id: json_response({"id": wish_id, "by": officer.id}, 201))
    answer = app.test_client().post("/api/v1/wishes/w7/grants", json={"text": "x"})
    assert (answer.status_code, answer.json) == (201, {"id": "w7", "by": "somebody"})
    document = api.document()
    said = document["paths"]["/api/v1/wishes/{wish_id}/grants"]["post"]
    assert [(one["in"], one["name"], one["required"]) for one in said["parameters"]] == [
        ("path", "wish_id", True),
        ("header", "Idempotency-Key", True),
    ]
    assert "200" not in said["responses"]
    assert said["responses"]["201"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Granted"}
    assert said["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Wish"}
    assert {"Wish", "Granted"} <= set(document["components"]["schemas"])
    assert said["security"] == [{"officerCertificate": []}]


def test_every_sample_follows_the_described_verdict() -> None:
    for sample in SAMPLES.values():
        assert FileVerdict.model_validate(sample).model_extra == {}


def test_a_known_document_is_not_sent_again(client: FlaskClient) -> None:
    first = client.get("/openapi.json")
    again = client.get("/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
