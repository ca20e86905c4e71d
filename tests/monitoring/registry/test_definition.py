"""What may be registered."""

from __future__ import annotations

import pytest
from monitoring.registry.definition import Registration, instance_key, normal_address
from pydantic import ValidationError


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("Sim-1.Internal", "sim-1.internal"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
def test_an_address_has_one_form(given: str, kept: str) -> None:
    assert normal_address(given) == kept


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "169.254.169.254", "fe80::1%eth0"),
        *("10.0.0", "10.0.0.256", "1.2.3.4.5", "a_b", "-a", "a..b", "http://a", "a b", "a:80"),
        *("a" * 64, ".".join(["a" * 50] * 6), "é", "127.0.0.1\n", ""),
    ],
)
def test_what_no_gateway_could_reach_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"give an address|neither an IP|broadcast|zone"):
        normal_address(address)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ValidationError) as raised:
        Registration.model_validate(
            {"service": "a b", "address": "0.0.0.0", "port": 0, "ttl_s": 0, "colour": 1}
        )
    assert [error["loc"] for error in raised.value.errors()] == [
        *(("service",), ("address",), ("port",), ("ttl_s",), ("colour",))
    ]


def test_an_instance_without_id_is_known_by_its_address() -> None:
    asked = Registration(service="sim", address="::1", port=80)
    assert asked.instance == "[::1]:80"
    assert asked.id == instance_key("sim", "[::1]:80")
    assert asked.forget_after_s == 90
