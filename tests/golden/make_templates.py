"""Writes templates.h: chat templates and expressions, rendered by Jinja2 as
transformers sets it up (transformers/utils/chat_template_utils.py).

Needs jinja2 3.1.6.  Run as
    python3 tests/golden/make_templates.py > tests/golden/templates.h

The chat templates are written for this file, in the constructs of the families
they are named after."""
import json

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(line)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


ENVIRONMENT = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                            extensions=[Generation, loopcontrols])
ENVIRONMENT.filters["tojson"] = tojson
ENVIRONMENT.globals["raise_exception"] = raise_exception


def render(template, variables):
    try:
        return ENVIRONMENT.from_string(template).render(**variables)
    except Exception:  # of many kinds: SyntaxError, TypeError, UndefinedError, OverflowError, ...
        return None


VARIABLES = {
    "a": 3, "b": -7, "f": 0.5, "s": " Hello, W\u00f6rld\n", "e": "", "n": None, "t": True,
    "l": [1, "two", None, {"k": "v"}],
    "d": {"role": "user", "content": "x'y\"z", "n": {"m": [1, 2]}},
    "messages": [{"role": "system", "content": " sys "}, {"role": "user", "content": "hi\n"},
                 {"role": "assistant", "content": "yo"}]}

EXPRESSIONS = r'''
{{ a + b }} {{ a - b }} {{ a * b }} {{ a / 2 }} {{ b // 2 }} {{ b % 3 }} {{ -b % 4 }} {{ 2 ** 5 }} {{ f * 2 }} {{ 1/3 }}
{{ 10/2 }} {{ 100000000000000000.0 * 10 }} {{ 0.00001 }} {{ 123456.789 }} {{ 1.0 }} {{ 0.1+0.2 }}
{{ s|trim }}|{{ s.strip() }}|{{ s|upper }}|{{ s.lower() }}|{{ s|length }}|{{ s|title }}|{{ s|capitalize }}
{{ l }} {{ d }} {{ t }} {{ n }} {{ (1,) }} {{ () }} {{ (1,'a') }} {{ [] }} {{ {} }}
{{ l|tojson }} {{ d|tojson }} {{ d|tojson(indent=2) }} {{ []|tojson(indent=4) }} {{ s|tojson }}
{{ l[0] }} {{ l[-1].k }} {{ l[9] }} {{ d['role'] }} {{ d.role }} {{ d.nope }} {{ d.n.m[1] }} {{ d.get('x', 5) }} {{ d.get('x') }}
{{ nope }}|{{ nope is defined }}|{{ nope is not defined }}|{{ not nope }}|{{ nope or 'z' }}|{{ nope == nope2 }}
{{ nope.x }}
{{ nope + 1 }}
{{ n + 'x' }}
{{ s[1:4] }}|{{ s[::-1] }}|{{ s[-3:] }}|{{ s[:2] }}|{{ l[1:] }}|{{ l[::-2] }}|{{ l[5:1] }}|{{ s[100:] }}|{{ l[-100:2] }}
{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 1 == 1.0 }} {{ True == 1 }} {{ 'a' < 'b' }} {{ 'a' in 'cab' }} {{ 3 not in [1,2] }} {{ 'role' in d }}
{{ 'a' 'b' }} {{ "x\ny\t\u00e9\x41\\ \q \'" }} {{ 'it''s' }} {{ "\101\60" }}
{{ 'x' ~ 1 ~ none ~ true }} {{ 'a' if a else 'b' }} {{ 'a' if e }}| {{ ('a' if e else 'b') ~ 'c' }}
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }} {{ x }}{% if not loop.last %}, {% endif %}{% endfor %}
{% for m in messages if m.role != 'system' %}{{ loop.index }}{{ m.role }}{{ loop.previtem.role if loop.previtem is defined }}{{ loop.nextitem is defined }}{% else %}none{% endfor %}
{% for x in [] %}a{% else %}none{% endfor %}{% for x in nope %}q{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for c in 'añb' %}[{{ c }}]{% endfor %}
{% set x = 1 %}{% for i in range(3) %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}
{% set ns = namespace(x=1, found=false) %}{% for i in range(1, 10, 3) %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }} {{ ns.found }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c %}hi {{ a }}{% endset %}{{ c }}{{ c|length }}
{% macro m(x, y='d') %}[{{ x }}{{ y }}]{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(y=3, x=4) }}{{ m() }}
{% macro r(n) %}{{ n }}{% if n > 0 %}{{ r(n-1) }}{% endif %}{% endmacro %}{{ r(5) }}
{% macro r(n) %}{{ r(n+1) }}{% endmacro %}{{ r(5) }}
{% for i in range(10) %}{% if i == 3 %}{% continue %}{% endif %}{% if i == 6 %}{% break %}{% endif %}{{ i }}{% endfor %}
{{ raise_exception('no: ' ~ a) }}
{{ messages|map(attribute='role')|join(', ') }} {{ l|map('string')|list }} {{ messages|selectattr('role','equalto','user')|list|length }} {{ messages|rejectattr('role','in',['user'])|map(attribute='content')|join('|') }}
{{ [1,0,2]|select|list }} {{ [1,2,3]|select('odd')|list }} {{ [1,2,3]|reject('divisibleby', 2)|list }}
{{ messages|first }} {{ (messages|last).content }} {{ []|first }} {{ 'abc'|first }} {{ l|reverse|list }} {{ 'abc'|reverse }}
{{ x|default('q') }} {{ e|default('q') }} {{ e|default('q', true) }} {{ n|d('z') }} {{ n|default('z', boolean=True) }}
{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ ' a  b c'.split(none, 1) }} {{ ''.split(',') }} {{ ''.split() }} {{ 'a</think>b'.split('</think>')[-1].lstrip('\n') }}
{{ 'abcabc'.replace('b','XX') }} {{ 'abcabc'|replace('b','', 1) }} {{ 'xxabxx'.strip('x') }} {{ 'é é'.strip('é') }} {{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x','c')) }} {{ 'añb'.find('b') }} {{ 'aXbX'.count('X') }}
{{ 'a\nb\n'.splitlines() }} {{ '-'.join(['a','b']) }} {{ 'x' * 3 }} {{ [1] + [2] }}
{{ 5 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(3) }} {{ d is mapping }} {{ s is string }} {{ l is iterable }} {{ l is sequence }} {{ 1 is number }} {{ true is boolean }} {{ 1 is integer }} {{ 1.0 is float }} {{ true is true }} {{ 1 is true }} {{ none is none }} {{ 1 is eq 1 }} {{ 1 is in [1] }} {{ s is not none and s is defined }}
{{ not a is defined }} {{ -a|string }} {{ - a * 2 }} {{ 2 + 3 * 4 - 1 }} {{ (2 + 3) * 4 }} {{ 'a' ~ 'b' == 'ab' }}
{{ 1 ~ 2 + 3 }}
{{ l is nosuch }}
{{ l | nosuch }}
{% include 'x' %}
{% if a %}
{% if a == 1 %}1{% elif a == 3 %}three{% else %}x{% endif %}{% if e %}1{% elif n %}2{% else %}3{% endif %}{% if e %}1{% elif t %}{% if e %}a{% else %}b{% endif %}{% else %}3{% endif %}
{% if e %}1{% else %}{% if t %}2{% endif %}{% if t %}3{% endif %}{% endif %}
{{ {'a': 1, 'b': [1,2], 'a': 3} }} {{ {'x': {}}['x'] }} {{ {'a':{'b':1}}.a.b }}
{{ 1, 2 }} {{ "}}" }} {{ '{%' }}
{{ '12'|int + 1 }} {{ 'x'|int }} {{ 'x'|int(7) }} {{ 3.7|int }} {{ ' -5 '|int }}
{{ dict(a=1, b=2) }} {{ namespace is defined }}
{{ a.b.c }}
{{ a.b }}|{{ 'abc'[1] }}|{{ 'abc'[-1] }}|{{ 'abc'[5] }}|{{ l['x'] }}|{{ 5[0] }}
{{ 'A'~{'a':'q'}.a|upper }} {{ ('a'~'b')|upper }} {{ 'a'~'b'|upper }}
{% set message = messages[0] %}{{ message['content'] | trim + 'x' }}
{{ 7 // 2 * 2 ** 2 }} {{ 2 ** 3 ** 2 }} {{ 7.5 // 2 }} {{ 1 if a > 2 and b < 0 or false else 2 }}
{{ (a, b) == (3, -7) }} {{ [1] == (1,) }} {{ d == d }} {{ {'a':1} == {'a':1.0} }}
{% generation %}x{% endgeneration %}
{{ }}
{{ a
{# unclosed
{% for x in l %}
{{ 'unclosed }}
{{ a ! b }}
{{ (a }}
{{ a) }}
{{ "\x4" }}
{% set d.role = 1 %}
{% break %}
{{ [1,2,3].append(4) }}
{{ loop.index }}
{{ range(200000)|length }}
{{ 1 // 0 }}
{{ 5|length }}
{{ 'a'.upper().lower() }}{{ ['x','y'][1].upper() }}{{ (s|trim).split(', ')[1] }}
{{ true and 'x' }} {{ '' or [] or 'last' }} {{ none == false }} {{ 0 == false }} {{ not '' }}
{% for x in [[1,2],[3,4]] %}{% for y in x %}{{ loop.index }}:{{ y }} {{ loop.depth }}{% endfor %}{{ loop.index }};{% endfor %}
{% for x in [1,2] %}{% macro q() %}{{ x }}{% endmacro %}{{ q() }}{% endfor %}
{%- for x in (1,2,3) -%} {{- x -}} {%- endfor -%}
{{ loop is defined }} {{ raise_exception is defined }} {{ strftime_now is defined }}
{% for x in l %}{{ loop.revindex0 }}{{ loop.depth0 }}{{ loop.previtem is defined }}{{ loop == loop }}{{ loop is iterable }}{% endfor %}
{{ nope[1] }}
{{ {1:2}[1] }} {{ {1:2}[3] is defined }} {{ {1:2, 2.5:3, true:4}|length }} {{ 1 in {1:2} }} {{ 'a' in nope }} {{ d[1] is defined }}
{{ s['a':] }}
{{ s[::0] }}
{{ l[3:0:-1] }} {{ l[-1:-100:-1] }} {{ l[100:0:-2] }} {{ l[-100::-1] }} {{ s[0:100:3] }} {{ (1,2,3)[1:] }} {{ ''[::-1] }}
{{ s|trim(foo=1) }}
{{ 'a'.replace('a','b',old='c') }}
{{ s|replace('a') }}
{{ 'a'.split(1) }}
{{ 'a'.split(',', 'x') }}
{{ 'a'.split('') }}
{{ 'a'.replace(1, 'b') }}
{{ 'a'.replace('a', 1) }}
{{ 'a'.replace('a', 'b', 'c') }}
{{ 'a'.strip(1) }}
{{ 'a'.startswith(1) }}
{{ 'a'.startswith('abc') }}{{ 'a'.endswith('') }}{{ ''.startswith('') }}
{{ 'a'.find(1) }}
{{ 'a'.count(1) }}
{{ 'abc'.find('x') }}{{ ''.find('x') }}{{ ''.find('') }}{{ 'abc'.find('') }}{{ 'aaaa'.count('aa') }}{{ ''.count('a') }}
{{ 'a\nb'.splitlines() }}{{ ''.splitlines() }}{{ 'x'.strip(none) }}{{ '-'.join([]) }}{{ '-'.join('abc') }}
{{ 'a b c d e f g h i j k l m n o p q r s t'.split() }}{{ 'a,b,c,d,e,f,g,h,i,j'.split(',') }}{{ ' a b '.split(none, 0) }}{{ ' a '.split(none, 5) }}
{{ d.keys()|list }}{{ d.values()|list }}{{ d.get('role', 1) }}{{ 'ÀÉ é'.lower() }}{{ 'àé-b c2d {e (f'|title }}{{ 'àé-b c2d'.title() }}{{ 'ABC é'|capitalize }}
{{ 'abc'.get('x') }}
{% macro m(x) %}{{ x }}{% endmacro %}{{ m(y=1) }}
{% macro m(x) %}{{ x }}{% endmacro %}{{ m(1, 2) }}
{% macro m(x, y=nope.z) %}{{ x }}{% endmacro %}{{ m(1) }}
{% macro m(x) %}{{ x }}{% endmacro %}{{ m(1,) }}{{ m == m }}{{ m is callable }}
{{ range('a') }}
{{ range(1, 5, 0) }}
{{ range(5, 0, -2)|list }}{{ range(0)|list }}{{ range(3, 1)|list }}
{{ range(1, 2, 3, 4) }}
{{ range() }}
{{ dict({'a':1}, b=2) }}{{ dict() }}{{ namespace({'a':1}).a }}{% set n1 = namespace() %}{{ 1 if n1 else 2 }}
{{ dict(1) }}
{{ (1)(2) }}
{{ a() }}
{{ nope() }}
{{ nope.x() }}
{{ raise_exception() }}
{{ raise_exception(5) }}
{{ [1,[2,{'a':3}]] == [1,[2,{'a':3}]] }}{{ [1,2] == [1,3] }}{{ [1] == [1,2] }}{{ {'a':1} == {'b':1} }}{{ {'a':1} == {'a':1,'b':2} }}{{ {'a':1} == {'a':2} }}{{ 'a' == 1 }}{{ none == none }}{{ nope == 1 }}
{{ 1 < 'a' }}
{{ [1] < 1 }}
{{ 1.5 < 2 }}{{ 1.5 >= 1.5 }}{{ 'ab' < 'abc' }}{{ 'b' > 'abc' }}{{ 'a' <= 'a' }}{{ '' < 'a' }}{{ 3 > 2.5 }}{{ 2 >= 3 }}{{ 'a' != 'a' }}
{{ 1 in 'a' }}
{{ 1 in 5 }}
{{ 1 in [] }}{{ none in [none] }}{{ '' in '' }}{{ 'a' in '' }}{{ '' in 'a' }}{{ {} in [{}] }}
{% for x in namespace(a=1) %}{% endfor %}
{% for x in 5 %}{% endfor %}
{% for x, y in [1] %}{% endfor %}
{% for x, y in [[1]] %}{% endfor %}
{% for x in [1] if nope.y %}{% endfor %}
{% for (x, y) in [[1,2]] %}{{ x }}{{ y }}{% endfor %}{% for x in 1, 2 %}{{ x }}{% endfor %}
{{ {'a':1,'b':2,'c':3,'d':4,'e':5,'f':6,'g':7,'h':8,'i':9,'j':10} }}
{{ 1.5 - 1 }} {{ 1.5 * 2.0 }} {{ 1 / 4 + 1 }} {{ 5.0 // 2 }} {{ +a }} {{ +f }} {{ -f }} {{ 'x' * -1 }}| {{ (1,) + (2,) }} {{ true + 1 }} {{ 7 % -3 }} {{ -7 // 2 }} {{ 2 ** 0 }}
{{ 1.5 / 0 }}
{{ 1.5 // 0 }}
{{ 5 % 0 }}
{{ -s }}
{{ [1] + (2,) }}
{{ 'a' - 'b' }}
{{ 'a' * 'b' }}
{{ 5|first }}
{{ 5|last }}
{{ 5|list }}
{{ 5|reverse }}
{{ nope|items|list }}{{ d|items|list }}{{ nope|length }}{{ d|count }}{{ l|length }}{{ ''|length }}
{{ l|map('nosuch')|list }}
{{ 5|map('trim')|list }}
{{ 5|map(attribute='a')|list }}
{{ 5|join(',') }}
{{ 5|select('odd')|list }}
{{ [1]|select('nosuch')|list }}
{{ [1]|map('replace')|list }}
{{ [1]|select('divisibleby')|list }}
{{ ['a']|select('odd')|list }}
{{ messages|map(attribute='role.x')|list }}
{{ [d]|map(attribute='n.m')|list }}{{ messages|selectattr('role')|list|length }}{{ messages|join(',', attribute='role') }}{{ [1,2]|join(3) }}{{ s|safe }}{{ none|trim }}{{ 5|replace('5','6') }}{{ d|join(',') }}{{ ''|last }}{{ [1,2,3]|last }}{{ 'x'|last }}
{{ 5|int }}{{ true|int }}{{ ''|int }}{{ '1x'|int(2) }}{{ none|int(3) }}{{ -0.5|int }}{{ ' 7 '|int }}{{ 'x1'|int }}{{ '-'|int }}
{{ true|upper }}{{ none|lower }}{{ 5|title }}{{ d|string }}
{{ s|trim(5) }}
{% for v in [1, 1.5, 'a', none, true, false, [1], (1,), {'a':1}, 0, '', [], {}] %}{{ v is defined }}{{ v is undefined }}{{ v is none }}{{ v is string }}{{ v is mapping }}{{ v is sequence }}{{ v is iterable }}{{ v is boolean }}{{ v is true }}{{ v is false }}{{ v is integer }}{{ v is float }}{{ v is number }}{{ v is eq 1 }}{{ v is ne 1 }}{{ v is in [1, 'a'] }}{{ 'T' if v else 'F' }} {% endfor %}
{{ nope is string }}{{ nope is sequence }}{{ nope is iterable }}{{ nope is mapping }}{{ nope is none }}{{ 5 is divisibleby 2 }}{{ 5 is even }}{{ 4 is odd }}{{ 0.0 == 0 }}{{ 'T' if 0.0 else 'F' }}{{ 'T' if 0.5 else 'F' }}
{{ 5 is divisibleby 0 }}
{{ 'a' is odd }}
{{ 5 is divisibleby 'a' }}
{{ 5 is in 5 }}
{{ 5 is divisibleby }}
{{ ["'", '"', "'\"", "\t\r\n\x01\x7f\\", [none, true, 1.5], {}, ('a',)] }}{{ ["", nope] }}
{{ "\"\\\b\f\n\r\t\x01\x7f/é" | tojson }}{{ [1, 1.5, none, true, false, [], {}, {'a': []}] | tojson }}{{ {'a': [1, {'b': 2}]} | tojson(indent=3) }}
{% set ns = namespace(x=10.0) %}{% for i in range(10) %}{% set ns.x = ns.x * ns.x %}{% endfor %}{{ ns.x }} {{ -ns.x }} {{ ns.x - ns.x }} {{ 1.0 * 1234567890123456.0 }} {{ 0.0001 }} {{ -2.5 }} {{ 1e }}
{% set ns = namespace(x=10.0) %}{% for i in range(10) %}{% set ns.x = ns.x * ns.x %}{% endfor %}{{ ns.x }} {{ -ns.x }} {{ ns.x - ns.x }} {{ 1.0 * 1234567890123456.0 }} {{ 0.0001 }} {{ -2.5 }}
{{ nope|tojson }}
{{ "\a\b\f\v\r\t\u20ac\U0001f600\1\18\xff\v" }}{{ '\'' "\"" }}{{ "" "" }}
{{ "\xg1" }}
{{ "\u12" }}
{{ "\U00110000" }}
{{ 12ab }}
{{ 1.x }}
{{ a.0 }}{{ l.0 }}{{ l.1 }}
{# a +#}{# b -#}   x{#+ c #}y
{{ a, }}{{ (a) }}{{ (a,) }}{{ [a,] }}{{ {'a':1,} }}{{ range(2,)|list }}
{{ f(x=1, 2) }}
{{ l[1:2:3:4] }}
{{ d. }}
{{ |trim }}
{{ a | }}
{{ a is }}
{{ a b }}
{% set 5 = 1 %}
{% set a.5 = 1 %}
{% set x %}{% endset %}{% set (p, q) = (1, 2) %}{{ p }}{{ q }}{% set ns = namespace() %}{% set ns.a, w = 1, 2 %}{{ ns.a }}{{ w }}
{% set nope.x = 1 %}
{% set x = nope.y.z %}
{% for %}{% endfor %}
{% for x %}{% endfor %}
{% for x of y %}{% endfor %}
{% macro %}{% endmacro %}
{% macro m %}{% endmacro %}
{% macro m(5) %}{% endmacro %}
{% macro m(a b) %}{% endmacro %}
{% if a %}{% else %}{% else %}{% endif %}
{% if a b %}{% endif %}
{% endif %}
{% 5 %}
{% if a %}{% endif x %}
{% if nope.x.y %}{% endif %}
{% for x in nope.x.y %}{% endfor %}
{{ nope.x.y if 1 }}{{ 1 if nope.x.y }}
{{ 1 and nope.x.y }}
{{ [nope.x.y] }}
{{ {'a': nope.x.y} }}
{{ {nope.x.y: 1} }}
{{ l[nope.x.y] }}
{{ m(nope.x.y) }}{{ s|trim(nope.x.y) }}{{ 1 + nope.x.y }}{{ -nope.x.y }}{{ not nope.x.y }}
{{ s|trim(chars=nope.x.y) }}
{{ nope.x.y|trim }}
{{ nope.x.y() }}
{{ 1.5|tojson }}{{ 1 if 1 else nope.x }}{{ 2 if 0 else 3 if 0 else 4 }}
'''.strip("\n").split("\n")

WHITE_SPACE = [
    "{{ 'a\\\nb' }}",
    "  {% if t %}\n  x\n  {% endif %}\n y\n", "a  {%- if t -%}  b  {%- endif %}  c", "{% if t %}\n\n{% endif %}\n\n",
    "x {# c #}\ny", "  {# c #}\n  y", "  {#- c -#}\n  y", " {{ a }} \n {{- a -}} \n b", "{%+ if t %}x{%+ endif %}",
    "  {%+ if t +%}\nx{% endif %}", "a\r\nb\rc\n", "\n", "", "\n\n", "{{ a }}\n", "{{ a }}\n\n",
    "{% set x = 1 -%}\n\n  z", "q\n\t {%- set x = 1 %}\nz", "{% if t %} \n{% endif %}", "q {% if t %}\nx {% endif %}",
    "\u3000{%- if t %}x{% endif %}\u00a0", "{{a}}{% if t %}  {% endif %}\n  {% if t %}x{% endif %}", "{#-#}x",
    "{# a -#}  x", "{{- a }}", "x{{-1}}", "a{% if t %}{# x #}\n{% endif %}b",
    "{% for m in messages %}\n    {%- if loop.first %}\n  A\n    {%- endif %}\n{{ m.role }}\n{% endfor %}\n",
    "  {% generation %}\n  x\n  {% endgeneration %}\n"]

# name, bos, eos, template; each a conversation with a prompt at its end, or not.
CHATS = [
    ("chatml", "<|im_start|>", "<|im_end|>",
     "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
     "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"),
    ("chatml with a first system message", "<|im_start|>", "<|im_end|>",
     "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
     "{{ '<|im_start|>system\nYou answer briefly.<|im_end|>\n' }}{% endif %}"
     "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"),
    ("llama 2", "<s>", "</s>",
     "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
     "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
     "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
     "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
     "{{ raise_exception('Roles must take turns: user, assistant, user, ...') }}{% endif %}"
     "{% if loop.index0 == 0 and system_message != false %}"
     "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
     "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
     "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
     "{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"),
    ("llama 3", "<|begin_of_text|>", "<|eot_id|>",
     "{% set loop_messages = messages %}{% for message in loop_messages %}"
     "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}"
     "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"),
    ("llama 3.2", "<|begin_of_text|>", "<|eot_id|>", """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message is taken out. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""),
    ("mistral", "<s>", "</s>", """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
        {{- raise_exception("Roles must take turns: user, assistant, user, ...") }}
    {%- endif %}
    {%- set ns.index = ns.index + 1 %}
{%- endfor %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.first and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- else %}
        {{- raise_exception("Only the roles user and assistant are known") }}
    {%- endif %}
{%- endfor %}
"""),
    ("gemma", "<bos>", "<end_of_turn>",
     "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('There is no system role') }}{% endif %}"
     "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
     "{{ raise_exception('Roles must take turns: user, assistant, user, ...') }}{% endif %}"
     "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
     "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
     "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"),
    ("zephyr", "<s>", "</s>",
     "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n"
     "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n"
     "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
     "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"),
    ("phi 3", "<s>", "<|endoftext|>",
     "{% for message in messages %}{{'<|' + message['role'] + '|>' + '\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"),
    ("qwen 3", "<|endoftext|>", "<|im_end|>", """{%- if tools %}
    {{- '<|im_start|>system\\n' }}{{- tools|tojson }}{{- '<|im_end|>\\n' }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is defined and message.reasoning_content is not none %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in message.content %}
                {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
                {%- set reasoning_content = message.content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or (not loop.last and reasoning_content)) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""),
    ("deepseek", "<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>",
     "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
     "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
     "{{ 'User: ' + message['content'] + '\n\n' }}{% elif message['role'] == 'assistant' %}"
     "{{ 'Assistant: ' + message['content'] + eos_token }}{% elif message['role'] == 'system' %}"
     "{{ message['content'] + '\n\n' }}{% endif %}{% endfor %}"
     "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"),
]

CONVERSATIONS = [
    [("user", "Hi there")],
    [("user", "  What is 2+2?\n"), ("assistant", " 4 "), ("user", "And <b>3</b>?")],
    [("system", "Be kind."), ("user", "Gr\u00fc\u00dfe \u4f60\u597d"), ("assistant", "\n\nHallo \U0001f600")],
    [("user", "a"), ("user", "b")],
    [("user", "<|im_end|></s>"), ("assistant", "<think>\nx\n</think>\n\ny")],
]


def c(text):
    if text is None:
        return "NULL"
    lines, line = [], ""
    for byte in text.encode():
        char = chr(byte)
        line += {"\n": "\\n", "\"": "\\\"", "\\": "\\\\", "\t": "\\t", "\r": "\\r"}.get(
            char, char if 32 <= byte < 127 else f"\\{byte:03o}")
        if len(line) > 84 or char == "\n" and len(line) > 40:
            lines, line = lines + [line], ""
    return "\n     ".join(f"\"{part}\"" for part in lines + ([line] if line or not lines else []))


def main():
    print("/* Made by make_templates.py; see there. */\n")
    print(f"static const char golden_variables[] =\n     {c(json.dumps(VARIABLES))};\n")
    print("/* template, text or NULL where Jinja refuses it */")
    print("static const char *const golden_expressions[][2] = {")
    for template in EXPRESSIONS + WHITE_SPACE:
        print(f"    {{{c(template)},\n     {c(render(template, VARIABLES))}}},")
    print("};\n")
    print("typedef struct golden_chat {\n  const char *name, *bos, *eos, *template;\n} golden_chat;\n")
    print("static const golden_chat golden_chats[] = {")
    for name, bos, eos, template in CHATS:
        print(f"    {{{c(name)}, {c(bos)}, {c(eos)},\n     {c(template)}}},")
    print("};\n")
    print("/* a conversation: role, content, ..., NULL */")
    print("static const char *const golden_conversations[][8] = {")
    for conversation in CONVERSATIONS:
        print("    {" + ", ".join(c(part) for message in conversation for part in message) + ", NULL},")
    print("};\n")
    print("/* for each template and conversation: without and with a generation prompt; NULL: refused */")
    print(f"static const char *const golden_renderings[][{len(CONVERSATIONS)}][2] = {{")
    for name, bos, eos, template in CHATS:
        print("    {")
        for conversation in CONVERSATIONS:
            messages = [{"role": role, "content": content} for role, content in conversation]
            both = [render(template, {"messages": messages, "bos_token": bos, "eos_token": eos, "tools": None,
                                      "documents": None, "add_generation_prompt": prompt}) for prompt in (False, True)]
            print(f"     {{{c(both[0])},\n     {c(both[1])}}},")
        print("    },")
    print("};")


main()
