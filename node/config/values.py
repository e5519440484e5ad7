"""Checking one setting's value, and giving it the form the node uses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from node.config.durations import parse_duration
from node.config.schema import JSONValue, Kind, Setting

__all__ = ["Value", "checked", "from_environment"]

Value: TypeAlias = (
    "str | int | float | bool | tuple[str, ...] | dict[str, str] "
    "| dict[str, tuple[str, ...]] | dict[str, JSONValue] | None"
)
_HEX_SECRET: Final = re.compile(r"[0-9a-fA-F]{64}")
_PEER_ID: Final = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,128}|[bk][a-z2-7]{32,256}")
_MAX_SHOWN_CHARS: Final = 80


def checked(setting: Setting, value: JSONValue) -> Value:
    """Return ``value`` as the node uses it: durations in seconds, lists as tuples.

    Raises:
        ValueError: the value is not what the setting allows; the message says both, but never
            shows a secret or a password.

    """
    if setting.is_unset_when_zero and value in ("", 0, "0s", "0", None) and value is not False:
        value = setting.default
    return _CHECKS[setting.kind](setting, value)


def from_environment(setting: Setting, text: str) -> JSONValue:
    """Return the JSON form of what an environment variable says (lists are comma-separated).

    Raises:
        ValueError: the text cannot be a value of that kind.

    """
    parse = _FROM_ENVIRONMENT.get(setting.kind)
    if parse is None:
        raise ValueError("cannot be set by the environment")
    try:
        return parse(text)
    except ValueError:
        raise _refusal(setting, text) from None


# The words of Go's strconv.ParseBool.
_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def _flag_from_text(text: str) -> JSONValue:
    if text not in _TRUE | _FALSE:
        raise ValueError(text)
    return text in _TRUE


def _list_from_text(text: str) -> JSONValue:
    return [part.strip() for part in text.split(",") if part.strip()]


def _credentials_from_text(text: str) -> JSONValue:
    pairs = (pair.partition(":") for pair in text.split(",") if pair)
    return {user: password for user, _, password in pairs}


_FROM_ENVIRONMENT: Final[dict[Kind, Callable[[str], JSONValue]]] = {
    Kind.TEXT: str,
    Kind.SECRET: str,
    Kind.DURATION: str,
    Kind.NUMBER: int,
    Kind.FLAG: _flag_from_text,
    Kind.TEXTS: _list_from_text,
    Kind.MULTIADDRS: _list_from_text,
    Kind.PEER_IDS: _list_from_text,
    Kind.CREDENTIALS: _credentials_from_text,
}


def _refusal(setting: Setting, value: object, allowed: str | None = None) -> ValueError:
    shown = f"{value!r}"
    if len(shown) > _MAX_SHOWN_CHARS:
        shown = shown[:_MAX_SHOWN_CHARS] + "..."
    return ValueError(f"{shown} is not allowed; it must be {allowed or setting.kind.value}")


def _refusal_of_secret(setting: Setting) -> ValueError:
    return ValueError(f"the value (not shown) is not allowed; it must be {setting.kind.value}")


def _text(setting: Setting, value: JSONValue) -> Value:
    value = setting.default if value is None else value  # as for Go, null sets nothing
    if not isinstance(value, str):
        raise _refusal(setting, value)
    return value


def _flag(setting: Setting, value: JSONValue) -> Value:
    value = setting.default if value is None else value
    if not isinstance(value, bool):
        raise _refusal(setting, value)
    return value


def _object(setting: Setting, value: JSONValue) -> Value:
    value = setting.default if value is None else value
    if not isinstance(value, dict):
        raise _refusal(setting, value)
    return value


def _number(setting: Setting, value: JSONValue) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refusal(setting, value)
    if setting.minimum is not None and value < setting.minimum:
        raise _refusal(setting, value, f"a whole number from {setting.minimum:g} up")
    return value


def _duration(setting: Setting, value: JSONValue) -> float:
    if not isinstance(value, str):
        raise _refusal(setting, value)
    seconds = parse_duration(value or "0s")
    if setting.minimum is not None and seconds < setting.minimum:
        raise _refusal(setting, value, f"a duration of at least {setting.minimum:g} s")
    return seconds


def _texts(setting: Setting, value: JSONValue) -> tuple[str, ...]:
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list):
        raise _refusal(setting, value)
    texts = tuple(text for text in values if isinstance(text, str))
    if len(texts) != len(values):
        raise _refusal(setting, value)
    return texts


def _multiaddr(setting: Setting, text: str) -> str:
    from multiaddr import Multiaddr
    from multiaddr.exceptions import Error

    try:
        return str(Multiaddr(text))
    except (Error, ValueError) as error:
        raise ValueError(
            f"{text!r} is not a multiaddr ({error}); write e.g. {_example(setting)}"
        ) from error


def _example(setting: Setting) -> str:
    port = 9094 if "http" in setting.key else 9096
    return f"/ip4/127.0.0.1/tcp/{port}"


def _multiaddrs(setting: Setting, value: JSONValue) -> Value:
    return tuple(_multiaddr(setting, text) for text in _texts(setting, value))


def _peer_ids(setting: Setting, value: JSONValue) -> Value:
    return tuple(_peer_id(setting, text) for text in _texts(setting, value))


def _peer_id(setting: Setting, text: str) -> str:
    if not _PEER_ID.fullmatch(text):
        raise _refusal(setting, text)
    return text


def _secret(setting: Setting, value: JSONValue) -> str:
    if value == "":
        return ""
    if not isinstance(value, str) or not _HEX_SECRET.fullmatch(value):
        raise _refusal_of_secret(setting)
    return value.lower()


def _credentials(setting: Setting, value: JSONValue) -> dict[str, str] | None:
    if value is None:
        return None
    pairs = value if isinstance(value, dict) else {}
    credentials = {user: password for user, password in pairs.items() if isinstance(password, str)}
    if not credentials or len(credentials) != len(pairs) or not all(map(all, credentials.items())):
        raise _refusal_of_secret(setting)
    return credentials


def _headers(setting: Setting, value: JSONValue) -> dict[str, tuple[str, ...]]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _refusal(setting, value)
    return {name: _texts(setting, texts) for name, texts in value.items()}


_CHECKS: Final[dict[Kind, Callable[[Setting, JSONValue], Value]]] = {
    Kind.TEXT: _text,
    Kind.SECRET: _secret,
    Kind.TEXTS: _texts,
    Kind.MULTIADDRS: _multiaddrs,
    Kind.PEER_IDS: _peer_ids,
    Kind.FLAG: _flag,
    Kind.NUMBER: _number,
    Kind.DURATION: _duration,
    Kind.CREDENTIALS: _credentials,
    Kind.HEADERS: _headers,
    Kind.OBJECT: _object,
}
