"""The middleware of Django, through Django's own client."""

from __future__ import annotations

import asyncio

import pytest

from include.reporting import flush_events
from tests.include.middleware.secrets import BODY, HEADERS, QUERY, assert_no_secret, facts


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    from tests.include.middleware import django_site

    django_site.configure(tmp_path_factory.mktemp("site"))
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.db import connections

    call_command("migrate", verbosity=0)
    get_user_model().objects.create_user("ada", password="x")
    yield django_site
    connections.close_all()


@pytest.fixture
def client(site, environment):
    from django.test import Client

    return Client(raise_request_exception=False, headers=HEADERS)


def reported(api):
    assert flush_events(10)
    assert_no_secret(api.events())
    return [facts(event) for event in api.events()]


def test_an_answer_passes_untouched_and_is_not_reported(api, client):
    answer = client.get(f"/ok/7/?{QUERY}")
    assert (answer.status_code, answer.content, answer["X-Number"]) == (200, b"ok 7", "7")
    assert "Vary" not in answer  # as it would have if the session had been looked at
    for path in ("/absent/", "/suspicious/", "/answer/302/", "/answer/502/", "/nowhere/"):
        client.get(path)
    assert reported(api) == []


@pytest.mark.parametrize(
    ("path", "route", "kind", "status"),
    [
        ("/boom/7/", "boom/<int:number>/", "exception", 500),
        ("/slow/", "slow/", "timeout", 500),
        ("/denied/", "denied/", "auth_failure", 403),
        ("/answer/401/", "answer/<int:status>/", "auth_failure", 401),
        ("/answer/403/", "answer/<int:status>/", "auth_failure", 403),
        ("/answer/500/", "answer/<int:status>/", "exception", 500),
        ("/answer/504/", "answer/<int:status>/", "timeout", 504),
        ("/async-boom/", "async-boom/", "exception", 500),
        ("/broken-middleware/", None, "exception", 500),
    ],
)
def test_what_goes_wrong_is_reported_once(api, client, path, route, kind, status):
    answer = client.post(f"{path}?{QUERY}", BODY, content_type="text/plain")
    assert answer.status_code == status
    level = "warning" if kind == "auth_failure" else "error"
    assert reported(api) == [(kind, level, status, "POST", path, route, None)]


def test_an_exception_comes_with_type_stack_and_fingerprint(api, client):
    client.get("/boom/1/")
    client.get("/boom/2/")
    client.get("/denied/")
    assert flush_events(10)
    first, second, denied = api.events()
    assert first["exception_type"].endswith("Broken")
    assert first["message"] == "GET boom/<int:number>/: Broken: no 1"
    assert "in boom" in first["detail"]["exception"]["stack"]
    assert first["fingerprint"] == second["fingerprint"]
    assert denied["exception_type"] == "django.core.exceptions.PermissionDenied"
    assert first["source"] == "django_middleware"


def test_a_client_that_raises_still_gets_the_exception(api, client, site):
    client.raise_request_exception = True
    with pytest.raises(site.Broken):
        client.get("/boom/1/")
    assert len(reported(api)) == 1


def test_the_user_is_named_where_the_site_looked_it_up(api, client):
    from django.contrib.auth import get_user_model

    client.defaults.pop("HTTP_COOKIE", None)
    client.force_login(get_user_model().objects.get())
    assert client.get("/whoami/").content == b"ada"
    client.get("/answer/403/")
    assert [one[-1] for one in reported(api)] == ["ada", None]


def test_an_asynchronous_site_reports_the_same(api, site, environment):
    from django.test import AsyncClient

    client = AsyncClient(raise_request_exception=False, headers=HEADERS)

    async def ask():
        return [
            (await client.get(path)).status_code
            for path in ("/ok/1/", "/boom/1/", "/async-boom/", "/denied/", "/answer/504/")
        ]

    assert asyncio.run(ask()) == [200, 500, 500, 403, 504]
    assert [one[:3] for one in reported(api)] == [
        ("exception", "error", 500),
        ("exception", "error", 500),
        ("auth_failure", "warning", 403),
        ("timeout", "error", 504),
    ]
