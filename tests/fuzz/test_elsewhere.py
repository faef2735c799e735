"""What registries elsewhere answer, and how people name them and their images: any text is read or refused."""

import contextlib
import warnings

import httpx
from hypothesis import given
from hypothesis import strategies as st

from registry.content.errors import ContentError
from registry.content.image_references import ImageReference
from registry.content.names import RepositoryName
from registry.content.versions import RangeInvalid, VersionRange, newest, version_of
from registry.mirror.endpoints import Endpoint
from registry.mirror.selection import Naming, NamingInvalid
from registry.mirror.upstream_answers import told
from registry.mirror.upstream_auth import parse_challenges
from registry.name_patterns import NamePattern, PatternInvalid

_LIKE_NAMES = st.text(st.sampled_from("aZ09.:/@_-[]{}*?\\ %~\u0661\x00sha256"), max_size=40)
_WORDS = st.one_of(_LIKE_NAMES, st.text(max_size=40))
_LIKE_VERSIONS = st.text(st.sampled_from("v0123456789.-+xX*^~<>=|, rc"), max_size=20)


@given(_WORDS)
def test_an_image_reference_is_read_or_refused_and_printed_as_it_was(text: str) -> None:
    with contextlib.suppress(ContentError):
        found = ImageReference.parse(text)
        assert str(found) == text
        assert ImageReference.parse(str(found.as_docker())) == found.as_docker()


@given(_WORDS, st.booleans())
def test_a_registry_is_read_or_refused_and_has_a_url(text: str, plain: bool) -> None:
    with contextlib.suppress(ValueError):
        url = httpx.URL(Endpoint.parse(text, plain_http=plain).url)
        assert url.host
        assert url.path == "/"


@given(st.lists(st.one_of(_WORDS, st.text(st.sampled_from('Basic Bearer realm="x\\",=')))))
def test_challenges_are_read_whatever_stands_there(fields: list[str]) -> None:
    for challenge in parse_challenges(fields):
        assert challenge.scheme == challenge.scheme.lower()


@given(st.binary(max_size=200))
def test_what_an_error_says_can_be_shown(body: bytes) -> None:
    code, message = told(body)
    assert message.isprintable()
    assert isinstance(code, str)


@given(_WORDS, _WORDS)
def test_a_pattern_is_refused_or_fits_or_not(pattern: str, name: str) -> None:
    with warnings.catch_warnings(), contextlib.suppress(PatternInvalid):
        warnings.simplefilter("ignore", FutureWarning)  # of sets in sets, which may mean something else one day
        found = NamePattern.parse(pattern)
        assert found.fits(name) or name != pattern or not found.is_exact


@given(_LIKE_VERSIONS, st.lists(_LIKE_VERSIONS, max_size=5))
def test_versions_and_ranges_are_read_or_refused(text: str, tags: list[str]) -> None:
    assert set(newest(tags, 3)) <= {tag for tag in tags if version_of(tag) is not None}
    with contextlib.suppress(RangeInvalid):
        found = VersionRange.parse(text)
        assert [tag for tag in tags if found.has(tag) and version_of(tag) is None] == []


@given(_WORDS)
def test_a_template_gives_names_or_is_refused(template: str) -> None:
    with contextlib.suppress(NamingInvalid, ContentError):
        naming = Naming.parse(template)
        with contextlib.suppress(ContentError):
            name = naming.target("Registry.test:5000", RepositoryName("a/b"))
            assert RepositoryName.parse(name) == name
