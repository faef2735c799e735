"""The page on the API lists the errors that there are."""

from pathlib import Path

from registry.api.errors import TABLE


def test_every_error_is_documented_with_its_status_and_no_other_is() -> None:
    page = Path(__file__).parents[3].joinpath("docs/api.md").read_text()
    documented = {
        (cells[1].strip(" `"), int(cells[2]))
        for cells in (line.split("|") for line in page.partition("## Errors")[2].splitlines())
        if len(cells) == 5 and cells[2].strip().isdigit()
    }

    assert documented == {(entry.code, entry.status) for entry in TABLE.values()}
