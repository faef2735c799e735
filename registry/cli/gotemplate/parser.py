"""Tokens to nodes. Says of each mistake where it is; knows which functions there are, not what they do."""

import json
from collections.abc import Collection, Mapping, Sequence

from registry.cli.gotemplate.errors import TemplateInvalid
from registry.cli.gotemplate.lexer import Token, tokens
from registry.cli.gotemplate.nodes import (
    Call,
    Group,
    If,
    Literal,
    Loop,
    Node,
    Operand,
    Output,
    Path,
    Pipeline,
    Text,
    With,
)

_WORDS = {"true": True, "false": False, "nil": None}
_BLOCKS: Mapping[str, type[If | Loop | With]] = {"if": If, "range": Loop, "with": With}
_NESTED = 100
"""Deeper is no template that somebody wrote."""


class Parser:
    """One template. `functions` are the names that may be called."""

    def __init__(self, text: str, functions: Collection[str]) -> None:
        self._text = text
        self._functions = functions
        self._tokens = list(tokens(text))
        self._next = 0
        self._depth = 0
        self._variables: list[str] = ["$"]

    def parse(self) -> Sequence[Node]:
        """The whole template. Raises `TemplateInvalid`."""
        nodes, ended = self._nodes()
        if ended.kind != "end":
            raise self._wrong(f"'{ended.text}' belongs to nothing", ended)
        return nodes

    def _nodes(self) -> tuple[Sequence[Node], Token]:
        """All up to the end, or to the word `else` or `end` of an action that this part does not begin."""
        found: list[Node] = []
        while (token := self._take()).kind != "end":
            if token.kind == "text":
                if token.text:
                    found.append(Text(token.text))
                continue
            word = self._peek()
            if word.kind == "word" and word.text in ("else", "end"):
                return found, self._take()
            if word.kind == "word" and word.text in _BLOCKS:
                found.append(self._block(self._take()))
            elif word.kind == "word" and word.text in ("define", "template", "block", "break", "continue"):
                raise self._wrong(f"'{word.text}' is not supported", word)
            else:
                found.append(Output(self._pipeline("close")))
        return found, token

    def _block(self, opened: Token) -> If | Loop | With:
        """What `if`, `range` or `with` begins."""
        self._nest(opened)
        known = len(self._variables)
        pipeline = self._pipeline("close", loops=opened.text == "range")
        body, ended = self._nodes()
        otherwise: Sequence[Node] = ()
        if ended.text == "else":
            following = self._peek()
            if following.kind == "word" and following.text in ("if", "with"):
                otherwise = [self._block(self._take())]
                ended = Token("word", "end", ended.at)
            else:
                self._expect("close")
                otherwise, ended = self._nodes()
                self._close(opened, ended)
        else:
            self._close(opened, ended)
        del self._variables[known:]
        self._depth -= 1
        return _BLOCKS[opened.text](pipeline, body, otherwise)

    def _close(self, opened: Token, ended: Token) -> None:
        if ended.text != "end":
            raise self._wrong(f"'{opened.text}' has no '{{{{end}}}}'", opened)
        self._expect("close")

    def _pipeline(self, close: str, *, loops: bool = False) -> Pipeline:
        """Up to what closes it, which is taken."""
        first = self._peek()
        names, declares = self._declared(loops=loops)
        commands = [self._command()]
        while (token := self._take()).text == "|" and token.kind == "symbol":
            commands.append(self._command())
        if not self._is(token, close):
            raise self._wrong("this does not belong here", token)
        for later in commands[1:]:
            if not isinstance(later[0], Call):
                raise self._wrong("what follows '|' must be a function", self._at(later[0].at))
        if declares:
            self._variables += names
        return Pipeline(commands, names, declares, first.at)

    def _declared(self, *, loops: bool) -> tuple[Sequence[str], bool]:
        """The variables that a pipeline sets: `$x :=`, `$x =`, or of a loop `$i, $x :=`."""
        start, names = self._next, []
        while self._peek().kind == "variable":
            names.append(self._take())
            symbol = self._take()
            if symbol.kind == "symbol" and symbol.text in (":=", "="):
                if symbol.text == "=":
                    for name in names:
                        self._check_known(name)
                return [name.text for name in names], symbol.text == ":="
            if symbol.text != "," or not loops or len(names) == 2:
                break
        self._next = start
        return (), False

    def _command(self) -> Sequence[Operand]:
        """Operands, the first of which is a function if there are several."""
        operands: list[Operand] = []
        while not self._is(self._peek(), "close", "|", ")"):
            operands.append(self._operand(self._take()))
        if not operands:
            raise self._wrong("a value is missing", self._peek())
        if len(operands) > 1 and not isinstance(operands[0], Call):
            raise self._wrong("only a function takes arguments", self._at(operands[1].at))
        return operands

    def _operand(self, token: Token) -> Operand:
        if token.kind == "string":
            return Literal(self._unquoted(token), token.at)
        if token.kind == "number":
            number = float(token.text) if set(token.text) & set(".eE") else int(token.text)
            return Literal(number, token.at)
        if token.kind == "word":
            return self._word(token)
        if token.kind in ("field", "dot"):
            first = [token.text[1:]] if token.kind == "field" else []
            return Path(None, [*first, *(self._fields() if first else ())], token.at)
        if token.kind == "variable":
            self._check_known(token)
            return Path(token.text, self._fields(), token.at)
        if token.text == "(":
            self._nest(token)
            pipeline = self._pipeline(")")
            self._depth -= 1
            return Group(pipeline, self._fields(), token.at)
        raise self._wrong("this does not belong here", token)

    def _word(self, token: Token) -> Operand:
        if token.text in _WORDS:
            return Literal(_WORDS[token.text], token.at)
        if token.text not in self._functions:
            known = ", ".join(sorted(self._functions))
            raise self._wrong(f"there is no function '{token.text}' (there are {known})", token)
        return Call(token.text, token.at)

    def _fields(self) -> Sequence[str]:
        found = []
        while self._peek().kind == "field" and self._peek().joined:
            found.append(self._take().text[1:])
        return found

    def _unquoted(self, token: Token) -> str:
        if token.text[0] == "`":
            return token.text[1:-1]
        try:
            return str(json.loads(token.text, strict=False))
        except ValueError as error:
            raise self._wrong("this text has an escape that is not known", token) from error

    def _check_known(self, token: Token) -> None:
        if token.text not in self._variables:
            raise self._wrong(f"there is no variable '{token.text}'", token)

    def _nest(self, token: Token) -> None:
        self._depth += 1
        if self._depth > _NESTED:
            raise self._wrong("this is nested too deeply", token)

    def _is(self, token: Token, *kinds: str) -> bool:
        return token.kind in kinds or (token.kind == "symbol" and token.text in kinds)

    def _expect(self, kind: str) -> None:
        token = self._take()
        if token.kind != kind:
            raise self._wrong("this does not belong here", token)

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _at(self, at: int) -> Token:
        return Token("", "", at)

    def _wrong(self, problem: str, token: Token) -> TemplateInvalid:
        return TemplateInvalid(problem, self._text, token.at)
