"""Templates as docker users write them; `tests/clients/test_looking_around.py` has docker itself say the same."""

import pytest

from registry.cli.gotemplate import NilList, NilMap, Record, TemplateFailed, TemplateInvalid, parse

IMAGE = Record(
    Id="sha256:0123456789abcdef",
    Repository="team/app",
    Tag="1",
    Size=1234,
    Share=0.5,
    Config=Record(Labels={"foo": "bar", "a": "b"}, Env=["A=1", "B=2"], Cmd=None, Empty={}),
    Nothing=Record(Labels=NilMap(), Env=NilList()),
    RepoDigests=["x@y", "z"],
    RootFS=Record(Type="layers", Layers=["one", "two"]),
)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{{.Repository}}:{{.Tag}}", "team/app:1"),
        ("{{ .Repository }}@{{.Id}}", "team/app@sha256:0123456789abcdef"),
        ("a {{- .Tag -}} b", "a1b"),
        ("a {{/* nothing to see */}}b", "a b"),
        ("a {{- /* nothing */ -}} b", "ab"),
        ("{{json .Config.Labels}}", '{"a":"b","foo":"bar"}'),
        ("{{.Config.Env | json}}", '["A=1","B=2"]'),
        ("{{json .RootFS}}", '{"Type":"layers","Layers":["one","two"]}'),
        ("{{json .Config.Cmd}} {{json .Size}}", "null 1234"),
        ("{{.Config.Labels.foo}} {{.Config.Labels.nope}}", "bar <no value>"),
        ('{{index .Config.Labels "foo"}}-{{index .Config.Labels "nope"}}-{{index .Config.Empty "x"}}-', "bar---"),
        ("{{.Config.Labels}} {{.Config.Env}}", "map[a:b foo:bar] [A=1 B=2]"),
        ("{{.Config.Empty}} {{.Config.Cmd}}", "map[] <no value>"),
        ("{{.RootFS}} {{.Share}}", "{layers [one two]} 0.5"),
        (
            "{{.Nothing.Labels}} {{.Nothing.Env}} {{len .Nothing.Env}} {{json .Nothing}}",
            'map[] [] 0 {"Labels":null,"Env":null}',
        ),
        ("{{index .RepoDigests 0}}", "x@y"),
        ("{{(index .RepoDigests 1)}}", "z"),
        ("{{range .RootFS.Layers}}{{println .}}{{end}}", "one\ntwo\n"),
        ("{{range $i, $e := .RootFS.Layers}}{{if $i}},{{end}}{{$i}}={{$e}}{{end}}", "0=one,1=two"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}", "a=b foo=bar "),
        ("{{range .Config.Cmd}}x{{else}}none{{end}}", "none"),
        ("{{range .RootFS.Layers}}{{$.Tag}}{{.}} {{end}}", "1one 1two "),
        ("{{with .Config.Cmd}}x{{else}}{{.Tag}}{{end}}", "1"),
        ("{{with .RootFS}}{{.Type}}{{end}}", "layers"),
        ("{{if .Config.Cmd}}a{{else if eq .Tag `1`}}b{{else}}c{{end}}", "b"),
        ("{{if and .Tag (not .Config.Cmd)}}a{{end}}{{or .Config.Cmd .Tag}}", "a1"),
        ("{{if and (ge .Size 1234) (lt .Size 2000) (ne .Tag `2`)}}fits{{end}}", "fits"),
        ("{{if and (gt (len .RepoDigests) 5) (index .RepoDigests 5)}}a{{else}}b{{end}}", "b"),
        ("{{or .Tag (index .RepoDigests 5)}} {{and .Tag .Size | and 1}} {{0 | or .Tag}}", "1 1234 1"),
        ("{{$n := .Size}}{{if gt $n 5}}{{$n = 7}}{{end}}{{$n}}", "7"),
        ('{{join .RepoDigests ", "}}', "x@y, z"),
        ("{{lower `ABC`}}{{upper `abc`}} {{title `one two`}}", "abcABC One Two"),
        ('{{split .Id ":" | json}} {{len .Config.Env}}', '["sha256","0123456789abcdef"] 2'),
        ("{{truncate .Id 10 | printf `%s!`}}", "sha256:012!"),
        ("{{slice .Id 7 11}} {{slice .RepoDigests 1}}", "0123 [z]"),
        ("{{pad .Tag 2 1}}|{{pad `` 2 1}}|", "  1 ||"),
        ('{{printf "%-4s|%4d|%04d|%x|%%" .Tag .Size 7 255}}', "1   |1234|0007|ff|%"),
        ('{{printf "%q|%v|%t|%.1f" .Tag .Config.Env true .Share}}', '"1"|[A=1 B=2]|true|0.5'),
        ('{{print .Size 1 "a" 2}}', "1234 1a2"),
        ('{{"a\\tb"}}', "a\tb"),
    ],
)
def test_a_template_makes_what_docker_makes_of_it(template: str, text: str) -> None:
    assert parse(template).render(IMAGE) == text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.Tag", "'{{' is not closed with '}}', at character 1 of the template: '{{.Tag'"),
        ("{{.Tag}}\n {{.Tag", "at line 2, character 2 of the template"),
        ("{{.Tag {{", "this cannot be read, at character 8"),
        ("{{}}", "a value is missing, at character 3"),
        ("{{nope .Tag}}", "there is no function 'nope' (there are and, eq"),
        ("{{if .Tag}}x", "'if' has no '{{end}}', at character 3"),
        ("{{if .Tag}}{{else}}{{else}}{{end}}", "'if' has no '{{end}}'"),
        ("{{end}}", "'end' belongs to nothing"),
        ("{{$x}}", "there is no variable '$x'"),
        ("{{range $a, $b, $c := .Tag}}{{end}}", "there is no variable '$a'"),
        ("{{if .Tag}}{{$x := 1}}{{end}}{{$x}}", "there is no variable '$x'"),
        ("{{.Tag .Size}}", "only a function takes arguments, at character 8"),
        ("{{.Tag | .Size}}", "what follows '|' must be a function, at character 10"),
        ("{{.Tag)}}", "this does not belong here, at character 7"),
        ("{{(.Tag}}", "this does not belong here, at character 8"),
        ('{{"\\z"}}', "this text has an escape that is not known"),
        ("{{define `x`}}{{end}}", "'define' is not supported"),
        ("{{" + "(" * 3000 + ".Tag" + ")" * 3000 + "}}", "this is nested too deeply"),
        ("{{if .Tag}}" * 3000, "this is nested too deeply"),
    ],
)
def test_a_mistake_is_named_with_its_place(template: str, message: str) -> None:
    with pytest.raises(TemplateInvalid) as refused:
        parse(template)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "template", ["{{.Nope}}", "{{.Config.Nope}}", "{{truncate .Tag}}", "{{json}}", "{{eq 1 | eq}}"]
)
def test_what_never_fits_is_a_mistake_of_the_template(template: str) -> None:
    with pytest.raises((TemplateInvalid, TemplateFailed)):
        parse(template).render(IMAGE)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{index .RepoDigests 5}}", "index: there is no number 5 among 2, at character 3"),
        ("{{index .Tag `a`}}", "index: 1 has no a"),
        ("{{.Tag.Nope}}", "1 has no field .Nope"),
        ("{{range .Size}}{{end}}", "range: 1234 is no list"),
        ("{{join .Tag `,`}}", "join: 1 is no list"),
        ("{{lower .Size}}", "lower: 1234 is no text"),
        ("{{len .Size}}", "len: 1234 has no length"),
        ("{{slice .Tag 2 9}}", "slice: 2:9 is out of the 1 that there are"),
        ("{{lt .Tag 1}}", "1 and 1 cannot be compared"),
        ("{{printf `%d` .Tag}}", "printf: %d does not take 1"),
        ("{{pad .Tag 100000000 1}}", "pad: 100000000 is no number that fits"),
    ],
)
def test_what_these_values_do_not_have_is_named_with_its_place(template: str, message: str) -> None:
    with pytest.raises(TemplateFailed) as failed:
        parse(template).render(IMAGE)
    assert message in str(failed.value)


def test_a_field_that_never_is_there_is_found_without_values() -> None:
    fields = ("Repository", "Tag")

    parse("{{range .Tag}}{{.Anything}}{{end}}{{if .Tag}}{{$.Repository}}{{end}}").check(fields)
    for template in (
        "{{.Nope}}",
        "{{if .Tag}}{{json $.Nope}}{{end}}",
        "{{range .Nope}}{{end}}",
        "{{len (json .Nope)}}",
    ):
        with pytest.raises(TemplateInvalid, match=r"there is no field \.Nope \(there are \.Repository \.Tag\)"):
            parse(template).check(fields)
