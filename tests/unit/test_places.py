"""Places in a JSON text."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connmgr.places import JsonSyntaxError, Lines, Path, locate, nodes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
JSONISH = st.text(st.sampled_from('{}[]",:\\/ \t\n\r-+.019eEutrflsn"N\'#\x00\x1fé\u201c\u00a0'), max_size=30)


def _leaves(value: Any, path: Path = ()) -> dict[Path, Any]:
    found = {path: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found |= _leaves(item, (*path, key))
    return found


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        ((), (1, 1), None),
        (("a",), (2, 8), (2, 3)),
        (("a", 1), (2, 12), None),
        (("a", 1, "ö"), (3, 11), (3, 6)),
        (("b\n",), (5, 10), (5, 3)),
    ],
)
def test_every_path_has_the_place_of_its_value_and_key(
    path: Path, value: tuple[int, int], key: tuple[int, int] | None
) -> None:
    """Lines end at LF or CRLF, columns count characters from 1, escapes in keys are understood."""
    text = '{\r\n  "a": [1, {\r\n   "\N{LATIN SMALL LETTER O WITH DIAERESIS}": "ß"\r\n}],\n  "b\\n": {}}'.replace(
        "   ", "     "
    )
    spot = locate(text, {path})[path]
    lines = Lines(text)
    assert lines.at(spot.value) == value
    assert (lines.at(spot.key) if spot.key is not None else None) == key


@settings(deadline=None)
@given(JSON, st.sampled_from([None, 1]))
def test_every_value_is_where_it_is_said_to_be(value: Any, indent: int | None) -> None:
    """Decoding at the offset found gives the value of that path."""
    text = json.dumps(value, indent=indent)
    leaves = _leaves(value)
    spots = locate(text, leaves.keys())
    assert spots.keys() == leaves.keys()
    for path, leaf in leaves.items():
        assert json.JSONDecoder().raw_decode(text, spots[path].value)[0] == leaf
        key = spots[path].key
        if key is not None:
            assert json.JSONDecoder().raw_decode(text, key)[0] == path[-1]


@settings(deadline=None)
@given(JSONISH | JSON.map(json.dumps).flatmap(lambda text: st.integers(0, len(text)).map(lambda cut: text[:cut])))
def test_it_accepts_what_the_standard_library_accepts(text: str) -> None:
    """No text is JSON for one of the two parsers only."""
    try:
        json.loads(text)
    except ValueError:
        with pytest.raises(JsonSyntaxError):
            list(nodes(text))
    else:
        list(nodes(text))


def test_depth_is_limited_without_recursion() -> None:
    """A hundred thousand brackets are refused at the 65th."""
    with pytest.raises(JsonSyntaxError, match="more than 64 deep") as caught:
        list(nodes("[" * 100_000))
    assert caught.value.offset == 64
    list(nodes("[" * 64 + "]" * 64))


def test_eight_megabytes_take_seconds() -> None:
    """The worst text of the size limit is scanned in a time somebody can wait."""
    text = "[" + "0," * (1 << 18) + "0]"
    started = time.process_time()
    assert (1 << 18,) in locate(text, {(1 << 18,)})
    assert (time.process_time() - started) * 16 < 60


SYNTAX = [
    ("", 1, 1, "the file is empty", "smallest valid file"),
    (" \n ", 1, 1, "the file is empty", ""),
    ('{"a": 1,}', 1, 8, "a comma with nothing after it", "delete the comma"),
    ('{"a": [1, 2,\n]}', 1, 12, "a comma with nothing after it", "delete the comma"),
    ('{"a": 1 // x\n}', 1, 9, "JSON has no comments", "delete it"),
    ('# x\n{"a": 1}', 1, 1, "JSON has no comments", ""),
    ('{"a": /* x */ 1}', 1, 7, "JSON has no comments", ""),
    ('{"a": 1,5}', 1, 8, "a comma inside a number", "1.5, not 1,5"),
    ("{'a': 1}", 1, 2, "not a quotation mark", 'straight "'),
    ("{\N{LEFT DOUBLE QUOTATION MARK}a\N{RIGHT DOUBLE QUOTATION MARK}: 1}", 1, 2, "not a quotation mark", ""),
    ("{a: 1}", 1, 2, "a key in double quotes", ""),
    ('{"a" 1}', 1, 6, "a colon is missing", ""),
    ('{"a": 1\n "b": 2}', 2, 2, "a comma is missing before this", ""),
    ('{"a": }', 1, 7, "a value is missing", ""),
    ('{"a": True}', 1, 7, "not a JSON value", "write true"),
    ('{"a": None}', 1, 7, "not a JSON value", "write null"),
    ('{"a": tcp}', 1, 7, "not a JSON value", "double quotes"),
    ('{"a": 01}', 1, 7, "not a JSON value", "a number looks like"),
    ('{"a": +1}', 1, 7, "not a JSON value", "a number looks like"),
    ('{"a": .5}', 1, 7, "not a JSON value", "a number looks like"),
    ('{"a": 0x10}', 1, 7, "not a JSON value", "a number looks like"),
    ('{"a": "x}\n', 1, 7, "is not closed", ""),
    ('{"a": "C:\\dir"}', 1, 10, "an escape that JSON does not know", r"backslash as \\"),
    ('{"a": "x\ty"}', 1, 9, "control character (U+0009)", r"\u0009"),
    ('{"a": 1}}', 1, 9, "more text after the end", ""),
    ('{"a": [1}', 1, 9, "'}' does not close the '[' of 1:7", ""),
    ('{\n"a": {', 2, 7, "before the '{' of 2:6 is closed", "saved completely"),
    ('{"a":\N{NO-BREAK SPACE}1}', 1, 6, "U+00A0 is not a space", ""),
    ("[" * 65, 1, 65, "more than 64 deep", ""),
]


@pytest.mark.parametrize(("text", "line", "column", "message", "remedy"), SYNTAX)
def test_a_syntax_error_says_where_what_and_what_to_do(
    text: str, line: int, column: int, message: str, remedy: str
) -> None:
    """The mistakes people make have words of their own."""
    with pytest.raises(JsonSyntaxError) as caught:
        list(nodes(text))
    assert Lines(text).at(caught.value.offset) == (line, column)
    assert message in caught.value.message
    assert remedy in caught.value.remedy
