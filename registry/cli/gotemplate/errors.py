"""What can be wrong with a template, with its place."""


class TemplateError(ValueError):
    """Base of both; the message says what is wrong and where."""

    def __init__(self, problem: str, text: str, at: int) -> None:
        line = text.count("\n", 0, at) + 1
        column = at - (text.rfind("\n", 0, at) + 1) + 1
        where = f"line {line}, character {column}" if "\n" in text else f"character {column}"
        rest = text[at : at + 30].split("\n", maxsplit=1)[0]
        super().__init__(f"{problem}, at {where} of the template" + (f": {rest!r}" if rest else ", its end"))


class TemplateInvalid(TemplateError):
    """It is none, or asks for what there never is."""


class TemplateFailed(TemplateError):
    """It cannot be filled in with these values, such as an index beyond the end of a list."""


class CallFailed(ValueError):
    """A function does not take these arguments; whoever calls it knows the place."""
