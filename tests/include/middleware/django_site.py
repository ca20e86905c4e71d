"""A small Django site with real sessions and users."""

from __future__ import annotations

from pathlib import Path

import django
from django.conf import settings
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpResponse
from django.urls import path


class Broken(Exception):
    pass


def ok(_request, number=0):
    return HttpResponse(f"ok {number}", headers={"X-Number": str(number)})


def boom(_request, number=0):
    raise Broken(f"no {number}")


def slow(_request):
    try:
        raise TimeoutError("database")
    except TimeoutError as cause:
        raise Broken("no answer") from cause


def denied(_request):
    raise PermissionDenied("not yours")


def absent(_request):
    raise Http404("nothing")


def suspicious(_request):
    raise SuspiciousOperation("strange")


def answer(_request, status):
    return HttpResponse("x", status=status)


def whoami(request):
    return HttpResponse(request.user.get_username(), status=403)


async def async_boom(_request):
    raise Broken("async")


class BreakingMiddleware:
    """A middleware of the site's that breaks on its own."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if request.path == "/broken-middleware/":
            raise Broken("in a middleware")
        return self.get_response(request)


urlpatterns = [
    path("ok/<int:number>/", ok),
    path("boom/<int:number>/", boom),
    path("slow/", slow),
    path("denied/", denied),
    path("absent/", absent),
    path("suspicious/", suspicious),
    path("answer/<int:status>/", answer),
    path("whoami/", whoami),
    path("async-boom/", async_boom),
]


def configure(folder: Path) -> None:
    """Once in a process."""
    settings.configure(
        SECRET_KEY="of tests",
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(folder / "site.sqlite"),
            }
        },
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
        ],
        MIDDLEWARE=[
            "include.middleware.django.ReportingMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            f"{__name__}.BreakingMiddleware",
        ],
        LOGGING_CONFIG=None,
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    )
    django.setup()
