"""HTML as nested calls."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from canary.report.markup import join, tag


class Reader(HTMLParser):
    """Collects elements, attributes and text as a browser would."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One element begins."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Text between elements."""
        self.text += data


# A parser folds line ends and drops NUL, as the standard says; everything else must come through.
_ANY = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=40)
# Of all characters hardly ever two next to each other are the beginning of an element.
_HTML = st.sampled_from(
    ["<", "</", "b", "script", "p", ">", "/>", '"', "'", "=", " onclick=", "&", "&lt;", "&#60;", "<!--", "-->"]
)
_TEXT = st.lists(_HTML | _ANY, max_size=8).map("".join)


@given(text=_TEXT, value=_TEXT)
def test_no_text_becomes_an_element(text: str, value: str) -> None:
    """Whatever a label holds, a browser reads it as the same text and attribute."""
    reader = Reader()
    reader.feed(tag("p", text, title=value))
    reader.close()

    assert reader.elements == [("p", {"title": value})]
    assert reader.text == text


def test_markup_is_kept_and_text_is_escaped() -> None:
    """Nested elements stay elements; None is nothing, True is a bare attribute."""
    assert tag("p", tag("b", "a<b"), None, " ", 3) == "<p><b>a&lt;b</b> 3</p>"
    assert tag("input", required=True, disabled=False, class_="x") == '<input required class="x">'
    assert tag("rect", x=1) == '<rect x="1"/>'
    assert join("<", tag("i")) == "&lt;<i></i>"
