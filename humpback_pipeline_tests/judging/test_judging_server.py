"""The judging page's server: only this machine, only its own page, and texts only as texts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from human_judging import MARKUP, export
from starlette.testclient import TestClient

from humpback_pipeline.judging import JudgingQueue, build_app, read_pairs

URL = "http://127.0.0.1:3002"


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    export(tmp_path)
    pairs = read_pairs(tmp_path / "for_annotators" / "pairs.jsonl")
    app = build_app(JudgingQueue(pairs, tmp_path / "judgements", "ada"))
    return TestClient(app, base_url=URL)


def token_of(client: TestClient) -> dict[str, str]:
    page = client.get("/").text
    (token,) = re.findall(r'name="judging-token" content="([^"]+)"', page)
    return {"x-judging-token": token}


def test_page_is_whole_in_itself_and_its_policy_lets_nothing_else_in(client: TestClient) -> None:
    page = client.get("/")
    assert "{{" not in page.text
    assert not re.search(r"https?://|src=|@import|url\(", page.text)
    policy = page.headers["content-security-policy"]
    (nonce,) = set(re.findall(r"nonce-([\w-]+)'", policy))
    assert page.text.count(f'nonce="{nonce}"') == 2
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert nonce not in client.get("/").headers["content-security-policy"]
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(", page.text)
    assert page.headers["x-content-type-options"] == "nosniff"


def test_pairs_are_sent_as_json_and_name_no_model(client: TestClient) -> None:
    answer = client.get("/pair", headers=token_of(client))
    assert answer.headers["content-type"] == "application/json"
    pair = answer.json()["pair"]
    assert set(pair) == {"pair_id", "instruction", "first", "second"}
    assert MARKUP in pair["first"] + pair["second"]
    assert not re.search(r"\bm[02]\b|reference|baseline|model", answer.text)


def test_answer_and_undo_return_the_next_state(client: TestClient) -> None:
    token = token_of(client)
    first = client.get("/pair", headers=token).json()["pair"]["pair_id"]
    body = {"pair_id": first, "choice": "second"}
    after = client.post("/judgement", json=body, headers=token).json()
    assert (after["n_judged"], after["n_total"]) == (1, 6)
    assert after["pair"]["pair_id"] != first
    twice = client.post("/judgement", json=body, headers=token)
    assert (twice.status_code, twice.json()) == (409, after)
    undone = client.post("/undo", json={}, headers=token).json()
    assert (undone["n_judged"], undone["pair"]["pair_id"]) == (0, first)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:3002", "192.168.0.9:3002"])
def test_other_host_names_are_refused(client: TestClient, host: str) -> None:
    for path in ("/", "/pair"):
        assert client.get(path, headers={"host": host}).status_code == 400


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "https://127.0.0.1:3002", "http://127.0.0.1:3000", "null"]
)
def test_requests_from_other_pages_are_refused(client: TestClient, origin: str) -> None:
    headers = {**token_of(client), "origin": origin}
    state = client.get("/pair", headers=token_of(client)).json()
    body = {"pair_id": state["pair"]["pair_id"], "choice": "first"}
    assert client.post("/judgement", json=body, headers=headers).status_code == 403
    assert client.post("/undo", json={}, headers=headers).status_code == 403
    assert client.get("/pair", headers=token_of(client)).json() == state
    own = {**token_of(client), "origin": URL}
    assert client.post("/judgement", json=body, headers=own).status_code == 200


def test_everything_but_the_page_needs_the_pages_token(client: TestClient) -> None:
    for headers in ({}, {"x-judging-token": "guess"}):
        assert client.get("/pair", headers=headers).status_code == 403
        refused = client.post("/judgement", json={}, headers=headers)
        assert refused.status_code == 403
        assert "Reload" in refused.json()["problem"]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        ('{"pair_id": "x"}', "application/json", 400),
        ("[]", "application/json", 400),
        ("{", "application/json", 400),
        ("[" * 9_000, "application/json", 400),
        ("{}" + " " * 20_000, "application/json", 413),
        ("pair_id=x&choice=first", "application/x-www-form-urlencoded", 415),
        (json.dumps({"pair_id": "x", "choice": "first"}), "text/plain", 415),
        (json.dumps({"pair_id": "x", "choice": "best"}), "application/json", 400),
        (json.dumps({"pair_id": 1, "choice": 2}), "application/json", 400),
    ],
)
def test_bad_bodies_are_refused_and_nothing_is_saved(
    client: TestClient, tmp_path: Path, content: str, kind: str, status: int
) -> None:
    headers = {**token_of(client), "content-type": kind}
    assert client.post("/judgement", content=content, headers=headers).status_code == status
    assert not (tmp_path / "judgements").exists()


def test_answer_that_cannot_be_saved_is_said(client: TestClient, tmp_path: Path) -> None:
    token = token_of(client)
    state = client.get("/pair", headers=token).json()
    (tmp_path / "judgements" / "ada.jsonl").mkdir(parents=True)
    body = {"pair_id": state["pair"]["pair_id"], "choice": "first"}
    answer = client.post("/judgement", json=body, headers=token)
    assert answer.status_code == 507
    assert answer.json()["problem"].startswith("Not saved.")
    assert client.get("/pair", headers=token).json() == state


def test_unknown_pages_and_methods_have_the_guards_headers_too(client: TestClient) -> None:
    for answer in (client.get("/key.jsonl"), client.get("/judgement"), client.get("/../key.jsonl")):
        assert answer.status_code in (404, 405)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
