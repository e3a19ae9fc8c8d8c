"""What a custom gate may ask: its own namespace's series, on the hosts that are allowed, whatever its text tries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serin_operator.observe.custom_query import OPERATORS_MAX, Parameters, RefusedError, query_of, url_of

OWN = Parameters("digits", "shop", "digits-2", "digits-1", "digits-2.1.abc")
HOSTS = frozenset({"orders.shop.svc:8080", "json.example.com", "[fd00::9]:80"})


@pytest.mark.parametrize(
    ("template", "query"),
    [
        ('up{namespace="{{namespace}}"}', 'up{namespace="shop"}'),
        ('up{namespace="{{ namespace }}",pod=~"{{candidate}}-.*"}', 'up{namespace="shop",pod=~"digits-2-.*"}'),
        (
            'a{namespace="shop"} / a{namespace="shop",r="{{revision}}"}',
            'a{namespace="shop"} / a{namespace="shop",r="digits-2"}',
        ),
        (
            'x{namespace="shop",c="{{cohort}}",s="{{stable}}",n="{{name}}"}',
            'x{namespace="shop",c="digits-2.1.abc",s="digits-1",n="digits"}',
        ),
        ("vector(1)", "vector(1)"),
        (
            'sum(rate(x{namespace="shop"}[5m] offset 1h)) > bool 3',
            'sum(rate(x{namespace="shop"}[5m] offset 1h)) > bool 3',
        ),
        (
            'max_over_time((rate(x{namespace="shop"}[1m]))[10m:])',
            'max_over_time((rate(x{namespace="shop"}[1m]))[10m:])',
        ),
    ],
)
def test_a_query_of_the_own_namespace_is_asked_with_its_parameters(template: str, query: str) -> None:
    assert query_of(template, OWN) == query


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("up", "lacks namespace="),
        ("up{}", "lacks namespace="),
        ('up{namespace="finance"}', "lacks namespace="),
        ('up{namespace!="shop"}', "lacks namespace="),
        ('up{namespace=~"shop"}', "lacks namespace="),
        ('up{namespace=~"shop|finance"}', "lacks namespace="),
        ('up{Namespace="shop"}', "lacks namespace="),
        ('up{namespace="shop" or job="x"}', "lacks namespace="),
        ('up{namespace="shop"} + on() up', "lacks namespace="),
        ('up{namespace="shop"} or up{job="x"}', "lacks namespace="),
        ('sum(rate(up[5m])) + up{namespace="shop"}', "lacks namespace="),
        ('(up{namespace="shop"}) or max_over_time(up[5m:1m])', "lacks namespace="),
        ('{__name__=~".+"}', "lacks namespace="),
        ("up{x=\"namespace='shop'\"}", "double quotation marks"),
        ('up{namespace="shop"} # }', "no comment"),
        ('up{x="\\"} or up{namespace="shop"}', "no backslash"),
        ("up{namespace=`shop`}", "double quotation marks"),
        ('up{namespace="shоp"}', "ASCII"),
        ('up{namespace="shop"', "no PromQL"),
        ('up{namespace="shop}', "does not end"),
        ('info(up{namespace="shop"})', "info() reads series"),
        ("{{name}}", "outside quotation marks"),
        ('up{namespace="shop"} * {{candidate}}', "outside quotation marks"),
        ('up{namespace="{{secret}}"}', "no parameter of that name"),
        ("(" * 30 + "1" + ")" * 30, "20 brackets"),
        ("-" * 2000 + "1", f"{OPERATORS_MAX} operators"),
        ("2^" * 900 + "2", f"{OPERATORS_MAX} operators"),
    ],
)
def test_a_query_that_could_see_more_is_not_asked(template: str, said: str) -> None:
    with pytest.raises(RefusedError) as caught:
        query_of(template, OWN)
    assert said in str(caught.value)
    assert "finance" not in str(caught.value)


@pytest.mark.parametrize("value", ['x"} or up{a="', "x}", "x y", "", "x\n", "../x", "x\\", "é", "a" * 200])
def test_a_value_that_could_end_a_string_is_not_filled_in(value: str) -> None:
    hostile = Parameters("digits", "shop", value, "digits-1", "digits-2.1.abc")
    with pytest.raises(RefusedError, match=r"\{\{candidate\}\} has no value"):
        query_of('up{namespace="shop",pod="{{candidate}}"}', hostile)
    with pytest.raises(RefusedError, match=r"\{\{candidate\}\} has no value"):
        url_of("https://json.example.com/{{candidate}}", hostile, HOSTS)


@given(st.text(alphabet='up{}namespace="shop",ofr ()[]5m:-+~!|\\`\'#\n', max_size=60))
def test_whatever_is_written_is_refused_in_words_or_names_the_namespace(text: str) -> None:
    try:
        query = query_of(text, OWN)
    except RefusedError:
        return
    assert 'namespace="shop"' in query.replace(" ", "") or not any(name in query for name in ("up", "{"))


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("http://orders.shop.svc:8080/day?m={{name}}", "http://orders.shop.svc:8080/day?m=digits"),
        ("https://json.example.com/{{namespace}}/x", "https://json.example.com/shop/x"),
        ("https://json.example.com:443/", "https://json.example.com:443/"),
        ("http://[fd00::9]/x", "http://[fd00::9]/x"),
        ("https://JSON.example.com/", "https://JSON.example.com/"),
    ],
)
def test_a_document_on_an_allowed_host_is_asked_for(template: str, url: str) -> None:
    assert url_of(template, OWN, HOSTS) == url


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("https://evil.example.com/", "not among those"),
        ("https://json.example.com.evil.com/", "not among those"),
        ("https://json.example.com:8443/", "not among those"),
        ("http://orders.shop.svc/", "not among those"),
        ("http://169.254.169.254/latest", "not among those"),
        ("https://json.example.com@evil.com/", "without a user"),
        ("https://user:secret@json.example.com/", "without a user"),
        ("https://{{name}}.example.com/", "without a user or a parameter"),
        ("{{name}}://json.example.com/", "must begin with"),
        ("file:///etc/passwd", "must begin with"),
        ("gopher://json.example.com/", "must begin with"),
        ("https://json.example.com\\@evil.com/", "backslash"),
        ("https://json.example.com/a b", "may not stand"),
        ("https://json.example.com/\r\nHost: x", "may not stand"),
        ("https://json.example.com:99999999/", "cannot be read"),
        ("https:///x", "must begin with"),
        ("https://json.example.com/{{password}}", "no parameter of that name"),
    ],
)
def test_a_document_elsewhere_is_not(template: str, said: str) -> None:
    with pytest.raises(RefusedError) as caught:
        url_of(template, OWN, HOSTS)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
