"""Go templates, as far as `--format` needs them: what `docker … --format` reads. Content-free; imports nothing of ours.

`parse` reads a template once, `Template.render` fills it in. Not there: `define`, `template`, `block`, `break`,
`continue`, methods. Source: Go's documentation of text/template, and docker's own functions (`json`, `join`, …).
"""

from registry.cli.gotemplate.errors import TemplateFailed, TemplateInvalid
from registry.cli.gotemplate.template import Template, parse
from registry.cli.gotemplate.values import NilList, NilMap, Record

__all__ = ["NilList", "NilMap", "Record", "Template", "TemplateFailed", "TemplateInvalid", "parse"]
