"""What a proxy's address may be, and what NO_PROXY means."""

import pytest

from syncd.config.proxy import is_exempt, of_environment, parse_proxy


@pytest.mark.parametrize(
    ("host", "port", "exceptions", "is_named"),
    [
        ("api.example.com", 443, "example.com", True),
        ("api.example.com", 443, ".example.com", True),
        ("api.example.com", 443, "*.example.com", True),
        ("API.Example.com.", 443, "api.EXAMPLE.com", True),
        ("notexample.com", 443, "example.com", False),
        ("example.com.evil", 443, "example.com", False),
        ("api.example.com", 443, "other, api.example.com:443", True),
        ("api.example.com", 8443, "api.example.com:443", False),
        ("10.1.2.3", 443, "10.0.0.0/8", True),
        ("11.1.2.3", 443, "10.0.0.0/8", False),
        ("10.1.2.3", 443, "10.1.2.3", True),
        ("fd00::9", 443, "fd00::/8", True),
        ("::1", 443, "[::1]:443", True),
        ("::1", 443, "[::1]:444", False),
        ("anything", 1, "*", True),
        ("anything", 1, "", False),
        ("anything", 1, " , ,", False),
        ("anything", 1, ".", False),
    ],
)
def test_what_no_proxy_names(host: str, port: int, exceptions: str, *, is_named: bool) -> None:
    assert is_exempt(host, port, exceptions) == is_named


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://a:1"}, "http://a:1"),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:1"}, "http://b:1"),
        ({"http_proxy": "http://a:1"}, None),
        ({"all_proxy": "a:1"}, "http://a:1"),
        ({"https_proxy": "http://a:1", "NO_PROXY": "example.com"}, None),
        ({"https_proxy": "http://a:1", "NO_PROXY": "example.com", "no_proxy": ""}, "http://a:1"),
        ({"https_proxy": ""}, None),
    ],
)
def test_which_variable_counts(environ: dict[str, str], proxy: str | None) -> None:
    found = of_environment("https://api.example.com/v3", environ)
    assert (found and found.address) == proxy


def test_a_visitor_of_a_web_server_cannot_set_a_proxy() -> None:
    environ = {"HTTP_PROXY": "http://evil:1", "REQUEST_METHOD": "GET"}
    assert of_environment("http://127.0.0.1", environ) is None


WRONG = (
    "socks5://u:hunter2@h:1", "SOCKS5h://u:hunter2@h", "ftp://u:hunter2@h", "http://u:hunt@er2@h", "http://u:hunter2@h/p",
    "http://u:hunter2@h?x", "http://u:hunter2@h:0", "http://u:hunter2@h:99999", "http://u:hunter2@",
    "http://u:hunter2 @h", "https://[::1", "", "http://",
)  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_proxy_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        parse_proxy(text)
    assert "hunter2" not in str(refused.value)
    assert "er2" not in str(refused.value)
    assert ("does not speak to socks5" in str(refused.value)) == text.lower().startswith("socks")
